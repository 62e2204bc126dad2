"""One source, one control database, one lake, and a table for each strategy with what it promises."""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from deltalake import DeltaTable

from dataloader_core.control.database import ControlDatabase
from dataloader_core.plugins.manager import default_registry
from dataloader_core.table import SourceConfig
from tests.conftest import PostgresServer
from tests.support.spark import CONF as SPARK_CONF

Rows = list[tuple[Any, ...]]

SOURCE_TABLE = """
CREATE TABLE {name} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL DEFAULT current_date,
    amount numeric(12, 2) NOT NULL,
    note text,
    changed timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION stamp();
"""
STAMP = """
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.changed := now(); RETURN NEW; END $$;
"""
FILL = """
INSERT INTO {name} (day, amount, note)
SELECT current_date - (i %% 20), (i * 7 %% 1000) / 100.0, 'row ' || i FROM generate_series(1, %s) i
"""
WATERMARK = {"incremental_column": "changed", "primary_key_cols": ["id"]}


@dataclass(frozen=True)
class Subject:
    """A table under trial. ``promise`` is the SELECT whose rows the destination must hold after a clean run."""

    name: str
    row: dict[str, Any]
    promise: str = "SELECT id, day, amount, note, changed FROM {name}"
    updates: bool = True
    deletes: bool = False

    @property
    def key(self) -> str:
        return f"src.public.{self.name}"


SUBJECTS = (
    Subject("t_full", {"load_strategy": "full"}, deletes=True),
    Subject("t_incremental", {"load_strategy": "incremental", **WATERMARK}),
    Subject("t_append_only", {"load_strategy": "append_only", "incremental_column": "id"}, updates=False),
    Subject(
        "t_rolling",
        {"load_strategy": "rolling", "rolling_column": "day", "rolling_days": 10, "primary_key_cols": ["id"]},
        promise="SELECT id, day, amount, note, changed FROM {name} WHERE day >= current_date - 10",
        deletes=True,
    ),
    Subject("t_check", {"load_strategy": "check_and_load", **WATERMARK}),
    Subject(
        "t_backfill",
        {"load_strategy": "chunked_backfill", **WATERMARK, "strategy_options": {"chunk_rows": 100}},
    ),
    Subject(
        "t_published",
        {
            "load_strategy": "chunked_backfill",
            **WATERMARK,
            "strategy_options": {"chunk_rows": 100, "publish": "at_end"},
        },
    ),
)


class World:
    """Real servers, a real lake, and the worst day of their lives."""

    def __init__(
        self, folder: Path, server: PostgresServer, chance: random.Random, engines: Sequence[str] = ("local",)
    ) -> None:
        self.folder = folder
        self.server = server
        self.chance = chance
        self.engines = engines
        self.source_dsn = server.new_database("source")
        self.control_dsn = server.new_database("control")
        self.lake = folder / "lake"
        self.lake.mkdir()
        self.points_log = folder / "points.log"
        self.points_log.touch()
        self.environ = {
            "DATALOADER_CONTROL_URL": self.control_dsn,
            "DATALOADER_LAKE": str(self.lake),
            "DATALOADER_SECRET_CHAOS": "correct horse",
            "DATALOADER_SPARK_MASTER": "local[2]",
            "DATALOADER_SPARK_CONF": json.dumps(SPARK_CONF),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
        }
        self.control = ControlDatabase(self.control_dsn)
        self._set_up()

    def _set_up(self) -> None:
        self.control.migrate()
        self.control.register_strategies(default_registry())
        fields: dict[str, Any] = {
            "host": {"value": self.server.host},
            "port": {"value": str(self.server.port)},
            "user": {"value": "loader"},
            "database": {"value": self.source_dsn.rsplit("/", 1)[1].split("?")[0]},
            "password": "DATALOADER_SECRET_CHAOS",
        }
        self.control.put_source(SourceConfig("src", "postgresql", fields, "env"))
        with psycopg.connect(self.source_dsn, autocommit=True) as source:
            source.execute(STAMP)
            for subject in SUBJECTS:
                source.execute(SOURCE_TABLE.format(name=subject.name))
                source.execute(FILL.format(name=subject.name), (400,))
        self.control.apply_rows([self._control_row(subject) for subject in SUBJECTS], {})

    @staticmethod
    def _control_row(subject: Subject) -> dict[str, Any]:
        return {
            "control_key": subject.key,
            "db_config_key": "src",
            "source_table_schema": "public",
            "source_table_name": subject.name,
            "destination_table_catalog": "bronze",
            "destination_table_schema": "src",
            "destination_table_name": subject.name,
            "max_delete_fraction": 1.0,
            **subject.row,
        }

    def begin_anew(self, subject: Subject) -> None:
        """A backfill becomes another strategy at its end: order the next one."""
        if subject.row["load_strategy"] != "chunked_backfill":
            return
        with psycopg.connect(self.control_dsn, autocommit=True) as control:
            control.execute(
                "UPDATE control.table_control SET load_strategy = 'chunked_backfill', incremental_value = NULL,"
                " strategy_options = %s WHERE control_key = %s AND load_strategy <> 'chunked_backfill'",
                (json.dumps(subject.row["strategy_options"]), subject.key),
            )

    def start_over(self, subject: Subject) -> None:
        """A control row that was never loaded, and no destination yet."""
        with psycopg.connect(self.control_dsn, autocommit=True) as control:
            control.execute("DELETE FROM control.table_control WHERE control_key = %s", (subject.key,))
        shutil.rmtree(self.lake / "bronze" / "src" / subject.name, ignore_errors=True)
        self.control.apply_rows([self._control_row(subject)], {})

    def add_column(self, subject: Subject) -> None:
        """The destination has to follow, which takes a commit of its own before the load's."""
        number = self.chance.randint(1, 6)
        with psycopg.connect(self.source_dsn, autocommit=True) as source:
            source.execute(f"ALTER TABLE {subject.name} ADD COLUMN IF NOT EXISTS extra_{number} int DEFAULT {number}")

    def change_source(self, subject: Subject) -> None:
        """A few rows arrive; others change or go, where the strategy promises to follow."""
        with psycopg.connect(self.source_dsn, autocommit=True) as source:
            source.execute(FILL.format(name=subject.name), (self.chance.randint(1, 40),))
            if subject.updates:
                source.execute(
                    f"UPDATE {subject.name} SET amount = amount + 1, note = note || '!' WHERE id %% %s = 0",
                    (self.chance.randint(5, 50),),
                )
            if subject.deletes:
                source.execute(f"DELETE FROM {subject.name} WHERE id %% %s = 1", (self.chance.randint(20, 90),))

    def difference(self, subject: Subject) -> str | None:
        """None where the destination holds exactly what is promised, else what differs."""
        with psycopg.connect(self.source_dsn) as source:
            source.execute("SET TimeZone = 'UTC'")
            wanted = source.execute(subject.promise.format(name=subject.name).encode()).fetchall()
        found = self.destination_rows(subject)
        if sorted(map(str, wanted)) == sorted(map(str, found)):
            return None
        missing, extra = set(map(str, wanted)) - set(map(str, found)), set(map(str, found)) - set(map(str, wanted))
        return (
            f"{subject.name}: {len(wanted)} rows promised, {len(found)} found; {len(missing)} missing "
            f"({sorted(missing)[:2]}), {len(extra)} too many ({sorted(extra)[:2]})"
        )

    def destination_rows(self, subject: Subject) -> Rows:
        files = self.delta(subject).file_uris()
        if not files:
            return []
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            relation = f"read_parquet({files!r}, union_by_name = true)"
            rows = connection.execute(
                f"SELECT id, day, amount, note, strftime(changed, '%Y-%m-%d %H:%M:%S.%f+00:00') FROM {relation}"
            ).fetchall()
        return [(*row[:4], datetime.fromisoformat(row[4])) for row in rows]

    def delta(self, subject: Subject) -> DeltaTable:
        return DeltaTable(self.lake / "bronze" / "src" / subject.name)

    def state(self, subject: Subject) -> dict[str, Any]:
        return dict(self.control.rows([subject.key])[subject.key])

    def end_claim(self, subject: Subject) -> None:
        """What a monitor does to a load of which nothing has been heard for long."""
        with psycopg.connect(self.control_dsn, autocommit=True) as control:
            control.execute("SET session_replication_role = replica")
            control.execute(
                "UPDATE control.table_control SET heartbeat_at = now() - interval '1 hour',"
                " load_queued_at = now() - interval '1 hour' WHERE control_key = %s",
                (subject.key,),
            )
        self.control.reap_lost_loads(lambda _run: None)

    def cut_connections(self, dsn: str) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (dsn.rsplit("/", 1)[1].split("?")[0],),
            )

    @contextmanager
    def restored_control_row(self, subject: Subject) -> Iterator[None]:
        """Afterwards the control row is what it was before, as after a restore of yesterday's backup."""
        with psycopg.connect(self.control_dsn, autocommit=True) as control:
            control.execute("DROP TABLE IF EXISTS yesterday")
            control.execute(
                "CREATE TABLE yesterday AS SELECT * FROM control.table_control WHERE control_key = %s", (subject.key,)
            )
            yield
            control.execute("SET session_replication_role = replica")
            control.execute("DELETE FROM control.table_control WHERE control_key = %s", (subject.key,))
            columns = ", ".join(
                row[0]
                for row in control.execute(
                    "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'yesterday'::regclass"
                    " AND attnum > 0 AND attname NOT IN (SELECT attname FROM pg_attribute WHERE attgenerated <> ''"
                    " AND attrelid = 'control.table_control'::regclass)"
                )
            )
            control.execute(
                f"INSERT INTO control.table_control ({columns}) OVERRIDING SYSTEM VALUE"
                f" SELECT {columns} FROM yesterday".encode()
            )

    def close(self) -> None:
        self.control.close()


@contextmanager
def world(chance: random.Random, engines: Sequence[str] = ("local",)) -> Iterator[World]:
    """A world of its own in a temporary folder, gone afterwards; each load is carried out by any of the engines."""
    folder = Path(tempfile.mkdtemp(prefix="dl-chaos-"))
    folder.chmod(0o755)
    server = PostgresServer(folder)
    try:
        server.start()
        server.new_login("loader", "correct horse", "SUPERUSER")
        here = World(folder, server, chance, engines)
        try:
            yield here
        finally:
            here.close()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
