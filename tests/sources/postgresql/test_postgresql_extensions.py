"""Types of extensions, XML and foreign tables, on a PostgreSQL that has them: an installation of the system."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from reading import WAYS, connect, load, read_of

from dataloader_core.plan import Relation
from dataloader_sources.postgresql.session import PostgresSession
from tests.conftest import PostgresServer

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
EXTENSIONS = ("hstore", "citext", "ltree", "postgis", "moddatetime", "postgres_fdw")

pytestmark = pytest.mark.skipif(
    not INSTALLED, reason="no PostgreSQL of the system with contrib modules; the wheel's has no extension but vector"
)


@pytest.fixture(scope="module")
def contrib(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of a server with the extensions in a schema of their own."""
    account = postgres_server.cluster.account
    folder = Path(tempfile.mkdtemp(prefix="dl-contrib-"))
    shutil.chown(folder, account.uid, account.gid)
    as_user: dict[str, Any] = {"user": account.uid, "group": account.gid, "cwd": "/", "check": True}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    control = [str(INSTALLED[-1]), "-D", str(folder / "data")]
    init = [*control, "init", "-s", "-o", "-U postgres -A trust -E UTF8 --locale=C.UTF-8"]
    start = [*control, "start", "-s", "-w", "-l", str(folder / "log"), "-o", f"-k {folder} -c listen_addresses="]
    try:
        subprocess.run(init, **as_user, **quiet)
        subprocess.run(start, **as_user, **quiet)
        dsn = f"postgresql://postgres@/postgres?host={folder}"
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute('CREATE SCHEMA "Ext s"')
            for name in EXTENSIONS:
                if not admin.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", (name,)).fetchone():
                    pytest.skip(f"the system's PostgreSQL has no extension {name}")
                admin.execute(f'CREATE EXTENSION {name} SCHEMA "Ext s"')
            admin.execute('ALTER DATABASE postgres SET search_path = public, "Ext s"')
        yield dsn
    finally:
        subprocess.run([*control, "stop", "-s", "-m", "immediate"], **{**as_user, "check": False}, **quiet)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def session(contrib: str) -> Iterator[PostgresSession]:
    with connect(contrib) as opened:
        yield opened


@pytest.fixture
def admin(contrib: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(contrib, autocommit=True) as connection:
        yield connection
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@pytest.mark.parametrize("way", WAYS)
def test_types_of_extensions_arrive_by_every_reader(
    session: PostgresSession, admin: psycopg.Connection, way: str, tmp_path: Path
) -> None:
    admin.execute("""
        CREATE TABLE e (h hstore, hs hstore[], c citext, p geometry(Point, 4326), g geography, l ltree, x xml);
        INSERT INTO e VALUES ('a=>1,b=>NULL', ARRAY['x=>y'::hstore], 'FooBar', 'SRID=4326;POINT(1 2)',
                              'SRID=4326;POINT(3 4)', 'a.b', '<a>1</a>')
    """)
    read = read_of(session, "e")
    with session.snapshot() as snapshot:
        row = load(snapshot, read, way, tmp_path).to_pylist()[0]
    shapes = [row.pop("p"), row.pop("g")]
    assert row == {
        "h": '{"a": "1", "b": null}', "hs": '[{"x": "y"}]', "c": "FooBar", "l": "a.b", "x": "<a>1</a>",
    }  # fmt: skip
    for ewkb, text in zip(shapes, ("POINT(1 2)", "POINT(3 4)"), strict=True):
        found = admin.execute("SELECT st_srid(s), st_astext(s) FROM st_geomfromewkb(%s) s", (ewkb,)).fetchone()
        assert found == (4326, text)


def test_tables_of_extensions_are_not_listed(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE mine (i int)")
    assert session.relations() == [Relation("public", "mine")]


def test_moddatetime_stamps_updates(session: PostgresSession, admin: psycopg.Connection) -> None:
    admin.execute("CREATE TABLE m (id int, updated timestamptz NOT NULL DEFAULT now())")
    admin.execute("CREATE TRIGGER t BEFORE UPDATE ON m FOR EACH ROW EXECUTE FUNCTION moddatetime(updated)")
    assert session.discover(Relation("public", "m")).cursors[0].proven


@pytest.mark.parametrize("way", WAYS)
def test_a_foreign_table_is_read_and_proves_no_cap(
    session: PostgresSession, admin: psycopg.Connection, way: str, tmp_path: Path
) -> None:
    host = session.settings.host
    admin.execute(f"""
        CREATE TABLE here (id int, at timestamptz DEFAULT now()); INSERT INTO here VALUES (1);
        CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}', dbname 'postgres');
        CREATE USER MAPPING FOR postgres SERVER loop OPTIONS (user 'postgres');
        CREATE FOREIGN TABLE far (id int, at timestamptz DEFAULT now())
          SERVER loop OPTIONS (schema_name 'public', table_name 'here')
    """)
    try:
        table = session.describe(Relation("public", "far"))
        assert table.kind == "foreign table"
        assert "behind a foreign table" in session.cap(table, table.column("at")).reason
        with session.snapshot() as snapshot:
            assert load(snapshot, read_of(session, "far"), way, tmp_path).column("id").to_pylist() == [1]
    finally:
        admin.execute("DROP SERVER loop CASCADE")
