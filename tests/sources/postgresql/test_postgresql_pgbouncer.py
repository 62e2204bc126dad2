"""A real PgBouncer between us and the server: session mode works, transaction mode is refused with the cure."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from dataloader_core.errors import SourceRefusedError
from dataloader_core.interfaces.source import SessionOptions
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.session import PostgresSession
from tests.conftest import PostgresServer

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
SETTINGS = "set timezone=UTC; set intervalstyle=iso_8601; set default_transaction_read_only=on"

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is a system package, not on PyPI, and not installed")

Connect = Callable[..., PostgresSession]


@pytest.fixture
def through_pool(postgres_server: PostgresServer, admin: psycopg.Connection) -> Iterator[Connect]:
    folder = Path(tempfile.mkdtemp(prefix="dl-pool-"))
    folder.chmod(0o777)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)

        def connect(mode: str, *, ignore: str = "", settings: str = "") -> PostgresSession:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            target = f"host={postgres_server.socket_dir} port={postgres_server.port} user=postgres"
            query = f" connect_query='{settings}'" if settings else ""
            (folder / "users.txt").write_text('"postgres" ""\n')
            (folder / "pool.ini").write_text(
                f"[databases]\npool = {target} dbname={admin.info.dbname}{query}\n[pgbouncer]\n"
                f"listen_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\n"
                f"auth_file={folder}/users.txt\npool_mode={mode}\nignore_startup_parameters={ignore}\n"
            )
            account = postgres_server.cluster.account
            as_user = {"user": account.uid, "group": account.gid} if os.geteuid() == 0 else {}
            pool = subprocess.Popen(
                [str(PROGRAM), "-q", str(folder / "pool.ini")], stderr=subprocess.DEVNULL, cwd="/", **as_user
            )
            stack.callback(pool.wait)
            stack.callback(pool.kill)
            _wait_for(port)
            model = PostgresConnection(host="127.0.0.1", port=port, user="postgres", database="pool")
            return Postgres().connect(model, SessionOptions())

        yield connect


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "pgbouncer did not start"
            time.sleep(0.05)


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("ignore", ["", "options"])
def test_a_pool_that_drops_the_session_settings_is_refused(through_pool: Connect, mode: str, ignore: str) -> None:
    with pytest.raises(SourceRefusedError, match="Connect to the server itself"):
        through_pool(mode, ignore=ignore)


def test_transaction_mode_is_refused_even_where_the_pool_sets_the_settings(through_pool: Connect) -> None:
    with pytest.raises(SourceRefusedError, match="transaction mode"):
        through_pool("transaction", ignore="options", settings=SETTINGS)


def test_session_mode_that_sets_the_settings_works(through_pool: Connect) -> None:
    with through_pool("session", ignore="options", settings=SETTINGS) as session:
        assert session.fetch("SELECT 1") == [(1,)]
