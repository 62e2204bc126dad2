"""From ``DATALOADER_CONTROL_URL`` to a login: libpq's own URLs here, other schemes by plugins."""

from __future__ import annotations

import re
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.control_login import ControlLogin, Parameters
from dataloader_core.plugins.manager import Registry

_SCHEME = re.compile(r"([a-z][a-z0-9_-]*)://")
_OF_LIBPQ: Final = ("postgresql", "postgres")


class LibpqLogin(ControlLogin):
    """A connection string of libpq: everything is in it, or in a password file."""

    name = "postgresql"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        try:
            self._given = conninfo_to_dict(url)
        except psycopg.Error:
            raise ConfigurationError(
                "The URL of the control database cannot be understood.",
                cure="Write it like postgresql://user@host:5432/database.",
            ) from None

    @property
    def where(self) -> str:
        return f"{self._given.get('dbname', '')} at {self._given.get('host', 'the default host')}"

    def parameters(self) -> Parameters:
        given = {name: str(value) for name, value in self._given.items() if value is not None}
        return {name: SecretStr(value) if name == "password" else value for name, value in given.items()}


def control_login(url: str, registry: Registry) -> ControlLogin:
    """The login for a control database's URL.

    Raises:
        ConfigurationError: the URL cannot be understood.
        UnknownNameError: no plugin offers its scheme.
    """
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1] in _OF_LIBPQ:
        return LibpqLogin(url)
    return registry.control_login(scheme[1])(url)
