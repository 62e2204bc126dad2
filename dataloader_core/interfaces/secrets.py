"""Secret backends: from a name to a value, as late as possible."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import SecretStr


class SecretBackend(ABC):
    """Resolves names. Built from the part of ``db_kv_scope`` behind the colon (``file:/run/secrets``).

    Whoever may edit a source must not thereby read a secret: a backend refuses names outside what the
    deployment allows.

    Example::

        class Env(SecretBackend):
            name = "env"

            def get(self, name: str) -> SecretStr: ...
    """

    name: ClassVar[str]

    def __init__(self, scope: str | None) -> None:
        self.scope = scope

    @abstractmethod
    def get(self, name: str) -> SecretStr:
        """The secret's value.

        Raises:
            SecretError: not allowed, not there, not readable. Never names a value.
        """
