"""Logins of the control database: where it is, and with what each new connection proves who it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from pydantic import SecretStr

if TYPE_CHECKING:
    import psycopg

Parameters: TypeAlias = Mapping[str, str | SecretStr]
"""libpq's connection parameters by name; the password is a ``SecretStr``."""


class ControlLogin(ABC):
    """Built from a whole ``DATALOADER_CONTROL_URL`` of its scheme; nothing is asked or connected yet.

    One object serves a process: it is asked for every new connection, by many threads at once, so what it fetches
    it keeps and renews under a lock. A password that it fetched is given to
    :func:`dataloader_core.redaction.remember`, so that no log shows it.

    Example::

        class Rds(ControlLogin):
            name = "rds"

            def __init__(self, url):
                self._parts = urlsplit(url)

            @property
            def where(self):
                return f"{self._parts.path[1:]} at {self._parts.hostname}"

            def parameters(self):
                return {"host": self._parts.hostname, "user": "loader", "password": self._tokens.current(), ...}
    """

    name: ClassVar[str]

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError where the URL cannot be understood; the message holds no password."""
        self.url = url

    @property
    @abstractmethod
    def where(self) -> str:
        """The database in words, for messages; no secret."""

    @abstractmethod
    def parameters(self) -> Parameters:
        """What the next connection is opened with.

        Raises:
            ConfigurationError: somebody has to act: an unknown instance, a missing grant, no credentials.
            ControlUnavailableError: it may work later.
        """

    def refused(self, parameters: Parameters, error: psycopg.OperationalError) -> bool:
        """A connection with these parameters could not be opened.

        Returns:
            True: :meth:`parameters` has something new now, which is worth one more try.

        Raises:
            DataLoaderError: a reason that is clearer than the driver's.
        """
        return False
