"""The source of a plugin that offers one secret backend."""

from __future__ import annotations

BACKEND = """
from pydantic import SecretStr
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.plugins import SecretBackendRecord, hookimpl

class Vault(SecretBackend):
    name = {name!r}

    def get(self, name):
        return SecretStr("x")

def load():
    return Vault

@hookimpl
def dataloader_secret_backends():
    yield SecretBackendRecord({name!r}, "A vault", load=load, aliases={aliases!r}, extra={extra!r})
"""


def backend(name: str = "vault", aliases: tuple[str, ...] = (), extra: str | None = None) -> str:
    return BACKEND.format(name=name, aliases=aliases, extra=extra)
