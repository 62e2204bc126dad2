"""Fixtures that everyone uses: a real PostgreSQL, one a worker, as source and as control database."""

from __future__ import annotations

import importlib
import itertools
import shutil
import socket
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from urllib.parse import quote

import hypothesis
import psycopg
import pytest
from psycopg import sql

from dataloader_core.embedded.cluster import Cluster

# Time is no property of what hypothesis tests, and a busy machine would make it one.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")

_modules = itertools.count(1)
LOGIN = "loader"
PASSWORD = "correct horse"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: one that begins last is waited for by everybody."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


class PostgresServer:
    """A PostgreSQL that listens on its socket (superuser, no password) and on 127.0.0.1 (SCRAM passwords)."""

    host = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self._names = itertools.count(1)
        self.cluster = Cluster(
            folder / "data",
            folder / "socket",
            folder / "log",
            {
                "listen_addresses": "127.0.0.1",
                "max_prepared_transactions": "10",
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "wal_level": "replica",
            },
            port=self.port,
        )

    def start(self) -> None:
        self.cluster.create(durable=False)
        self.cluster.start()

    def stop(self) -> None:
        """As an administrator would: sessions end, and nobody answers any more."""
        self.cluster.stop()

    def restart(self) -> None:
        self.stop()
        self.cluster.start()

    @property
    def socket_dir(self) -> Path:
        return self.cluster.socket

    def dsn(self, dbname: str = "postgres") -> str:
        """A libpq URI by the socket, as superuser."""
        return self.cluster.url(dbname)

    def tcp_dsn(self, dbname: str = "postgres", user: str = LOGIN, password: str = PASSWORD) -> str:
        """A libpq URI by TCP; the default login may do everything."""
        return f"postgresql://{user}:{quote(password)}@{self.host}:{self.port}/{quote(dbname, safe='')}"

    def new_database(self, prefix: str = "db", options: str = "") -> str:
        """Create a database and give its DSN. ``options`` are those of CREATE DATABASE."""
        name = f"{prefix}_{next(self._names)}"
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} " + options).format(sql.Identifier(name)))
        return self.dsn(name)

    def new_login(self, name: str, password: str, options: str = "") -> None:
        """Create a role that may log in by TCP with this password."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + options)
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(password)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    # Not below tmp_path_factory: its folders are closed to the account that the server runs as under root, and long.
    folder = Path(tempfile.mkdtemp(prefix="dl-pg-"))
    folder.chmod(0o755)
    server = PostgresServer(folder)
    try:
        server.start()
        server.new_login(LOGIN, PASSWORD, "SUPERUSER")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    """A database of its own, by the socket."""
    return postgres_server.new_database("test")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EntryPoint]:
    """Write a plugin as an installed package of its own and give its entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, code: str, *, package: str = "", version: str = "1.2") -> EntryPoint:
        package = package or f"dataloader-{name}"
        # Never the name of another test's module, which stays imported.
        module = f"plugin_{next(_modules)}_{name}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        with (info / "entry_points.txt").open("a") as file:
            if file.tell() == 0:
                file.write("[dataloader.plugins]\n")
            file.write(f"{name} = {module}\n")
        importlib.invalidate_caches()
        found = Distribution.at(info).entry_points
        return next(e for e in found if e.name == name)

    return write
