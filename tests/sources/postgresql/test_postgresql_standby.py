"""A real standby: it can be read, its snapshots hold, and it proves no cap."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from reading import connect

from dataloader_core.embedded.cluster import Cluster, programs
from dataloader_core.plan import Read, Relation
from tests.conftest import PostgresServer


@pytest.fixture
def standby(postgres_server: PostgresServer, admin: psycopg.Connection) -> Iterator[Cluster]:
    admin.execute("CREATE TABLE ev (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
    admin.execute("INSERT INTO ev DEFAULT VALUES")
    folder = Path(tempfile.mkdtemp(prefix="dl-standby-"))
    folder.chmod(0o755)
    primary = postgres_server.cluster
    account = primary.account
    cluster = Cluster(folder / "data", folder / "socket", folder / "log", port=primary.port)
    try:
        account.own(folder / "data")
        subprocess.run(
            [
                *(str(programs() / "pg_basebackup"), "-h", str(primary.socket), "-p", str(primary.port)),
                *("-U", "postgres", "-D", str(folder / "data"), "-R", "-X", "stream", "-c", "fast", "--no-sync"),
            ],
            user=account.uid, group=account.gid, cwd="/", check=True, capture_output=True,
        )  # fmt: skip
        conf = folder / "data" / "postgresql.auto.conf"
        conf.write_text(conf.read_text() + "listen_addresses = ''\n")
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_standby_is_read_in_one_snapshot_and_proves_no_cap(standby: Cluster, admin: psycopg.Connection) -> None:
    dsn = standby.url(admin.info.dbname)
    with connect(dsn) as session:
        table = session.describe(Relation("public", "ev"))
        for column in table.columns:
            found = session.cap(table, column)
            assert not found.proven
            assert "standby" in found.reason
            assert found.value is not None
        caps = next(c for c in session.checks() if c.name == "caps")
        assert not caps.ok
        assert "primary" in str(caps.cure)
        assert not any(c.proven for c in session.discover(table.relation).cursors)
        with session.snapshot() as snapshot:
            admin.execute("INSERT INTO ev DEFAULT VALUES")
            deadline = time.monotonic() + 20
            while session.fetch("SELECT count(*) FROM ev") != [(2,)]:
                assert time.monotonic() < deadline, "the standby does not follow"
                time.sleep(0.05)
            assert snapshot.read_arrow(Read(table.relation, table.columns)).read_all().num_rows == 1
