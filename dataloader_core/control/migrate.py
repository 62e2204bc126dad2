"""The control schema: numbered plain SQL files, applied in order under a lock."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from psycopg.errors import Diagnostic

from dataloader_core.control.pool import Connection, Pool
from dataloader_core.errors import SchemaVersionError

log = logging.getLogger(__name__)

_LOCK: Final = 0x64617461  # "data": any number that nobody else uses for an advisory lock in this database
_FILE: Final = re.compile(r"(\d{3})_\w+\.sql")
_CHECKOUT: Final = Path(__file__).parents[2] / "sql"


@dataclass(frozen=True)
class SchemaFile:
    """One numbered file. ``checksum`` is the SHA-256 of its text."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def schema_files() -> tuple[SchemaFile, ...]:
    """The files of this program: from the installed package, or from the checkout it runs in."""
    packaged = resources.files("dataloader_core") / "_sql"
    folder: Traversable = packaged if packaged.is_dir() else _CHECKOUT
    found = [(match, entry) for entry in folder.iterdir() if (match := _FILE.fullmatch(entry.name))]
    return tuple(
        sorted(
            (
                SchemaFile(int(match[1]), entry.name.removesuffix(".sql"), entry.read_text("utf-8"))
                for match, entry in found
            ),
            key=lambda file: file.number,
        )
    )


def migrate(pool: Pool) -> Sequence[str]:
    """Apply what is missing; names of the files applied. What the files warn of, such as roles left out, is logged.

    Raises:
        SchemaVersionError: the schema is newer than this program, or a file was changed after it was applied.
    """
    with pool.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        applied = _applied(connection)
        _refuse_newer(applied)
        missing = [file for file in schema_files() if file.number not in applied]
        _refuse_changed(applied)
        with _warnings_logged(connection):
            for file in missing:
                connection.execute(file.text.encode())
        for file in schema_files():
            connection.execute(
                "UPDATE control.schema_version SET checksum = %s WHERE number = %s AND checksum IS NULL",
                (file.checksum, file.number),
            )
    return [file.name for file in missing]


@contextmanager
def _warnings_logged(connection: Connection) -> Iterator[None]:
    # Notices proper only say what IF EXISTS did not find.
    def tell(said: Diagnostic) -> None:
        if said.severity_nonlocalized == "WARNING":
            log.warning("Control schema: %s %s", said.message_primary, said.message_hint or "")

    connection.add_notice_handler(tell)
    try:
        yield
    finally:
        connection.remove_notice_handler(tell)


def check_schema(pool: Pool) -> None:
    """Raises SchemaVersionError where the schema is newer or older than this program, or not there."""
    with pool.transaction() as connection:
        applied = _applied(connection)
    _refuse_newer(applied)
    missing = [file.name for file in schema_files() if file.number not in applied]
    if missing:
        found = f"lacks {', '.join(missing)}" if applied else "is not there"
        raise SchemaVersionError(f"The control schema in {pool.where} {found}.", cure="Run `dataloader init`.")


def _applied(connection: Connection) -> dict[int, tuple[str, str | None]]:
    there = connection.execute("SELECT to_regclass('control.schema_version') IS NOT NULL AS there").fetchone()
    if there is None or not there["there"]:
        return {}
    rows = connection.execute("SELECT number, name, checksum FROM control.schema_version").fetchall()
    return {row["number"]: (row["name"], row["checksum"]) for row in rows}


def _refuse_newer(applied: dict[int, tuple[str, str | None]]) -> None:
    newest = schema_files()[-1]
    newer = [name for number, (name, _) in sorted(applied.items()) if number > newest.number]
    if newer:
        raise SchemaVersionError(
            f"The control schema has {newer[-1]!r}; this program knows it up to {newest.name!r}.",
            cure="Use the release of DataLoader that the others use, or a newer one.",
        )


def _refuse_changed(applied: dict[int, tuple[str, str | None]]) -> None:
    for file in schema_files():
        _, checksum = applied.get(file.number, (file.name, None))
        if checksum is not None and checksum != file.checksum:
            raise SchemaVersionError(
                f"The control schema was made with another {file.name!r} than this program has.",
                cure="Install the release that made it, or apply this file with psql and set its checksum to NULL in "
                "control.schema_version.",
            )
