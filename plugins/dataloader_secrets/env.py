"""Secrets in environment variables: the scope ``env``."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pydantic import SecretStr

from dataloader_core.errors import SecretError
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.plugins import SecretBackendRecord, hookimpl


class Env(SecretBackend):
    """A name is the variable's whole name. Sources may use ``DATALOADER_SECRET_*``, unless the deployment says more."""

    name = "env"

    def __init__(self, scope: str | None) -> None:
        super().__init__(scope)
        if scope is not None:
            raise SecretError(f"The secret scope 'env:{scope}' does not exist.", cure="Write 'env' alone.")

    def get(self, name: str) -> SecretStr:
        # os.environ refuses such names with a ValueError of its own.
        value = os.environ.get(name) if name and "=" not in name and "\0" not in name else None
        if not value:
            state = "is not set" if value is None else "is empty"
            raise SecretError(
                f"The environment variable {name!r} {state}.",
                cure="Set it for the process that loads: the worker, or Dagster's code location.",
            )
        return SecretStr(value)


@hookimpl
def dataloader_secret_backends() -> Iterable[SecretBackendRecord]:
    yield SecretBackendRecord("env", "Environment variables (scope: env)", load=lambda: Env)
