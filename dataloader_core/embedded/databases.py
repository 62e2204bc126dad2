"""Databases on a server that is ours to administer."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

import psycopg
from psycopg import errors, sql


def create_database(url: str, name: str) -> str:
    """A database of this name on the server of ``url`` (by its socket), made if it is not there; gives its URI."""
    with psycopg.connect(url, autocommit=True) as connection:
        made = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if not made:
            # Suppressed: somebody else made it meanwhile.
            with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        at = connection.info
        return f"postgresql://{at.user}@/{quote(name, safe='')}?host={quote(at.host, safe='')}&port={at.port}"
