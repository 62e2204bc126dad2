"""A whole deployment for tests: source, control database, lake, Dagster instance."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRun, RunRequest, build_sensor_context
from psycopg import sql

from dataloader_core.app import App
from dataloader_core.control.records import TableStatus
from dataloader_core.table import SourceConfig
from dataloader_dagster.definitions import defs
from dataloader_dagster.sensors import master_sensor
from tests.conftest import LOGIN, PASSWORD, PostgresServer

SECRET = "DATALOADER_SECRET_TEST"
KEY = "src"
T = TypeVar("T")
PATIENCE_SECONDS = 240.0
"""When a test gives up. What it waits for takes a second or two, and many on a machine that is busy."""


class Deployment:
    """Everything in ``os.environ``, as a deployment has it; loads run in processes of their own."""

    def __init__(self, server: PostgresServer, folder: Path, environ: pytest.MonkeyPatch) -> None:
        self.source = server.new_database("source")
        self.control_url = server.new_database("control")
        self.lake = folder / "lake"
        self.home = folder / "dagster"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        for name, value in {
            "DATALOADER_CONTROL_URL": self.control_url,
            "DATALOADER_LAKE": str(self.lake),
            "DATALOADER_SUBPROCESS_GRACE_SECONDS": "3",
            "DATALOADER_DAGSTER_URL": "http://dagster.example",
            "DAGSTER_HOME": str(self.home),
            SECRET: PASSWORD,
        }.items():
            environ.setenv(name, value)
        self.app = App.from_environment()
        self.app.open_control().migrate()
        self.control = self.app.control
        self.instance = DagsterInstance.from_config(str(self.home))
        self._add_source(server)

    def _add_source(self, server: PostgresServer) -> None:
        fields: dict[str, Any] = {
            "host": server.host,
            "port": server.port,
            "database": self.source.split("?")[0].rsplit("/", 1)[1],
            "user": LOGIN,
        }
        values = {name: {"value": value} for name, value in fields.items()}
        self.control.put_source(SourceConfig(KEY, "postgresql", values | {"password": SECRET}, "env"))

    def close(self) -> None:
        self.app.close()
        self.instance.dispose()

    def sql(self, statement: str, *, control: bool = False) -> Sequence[tuple[Any, ...]]:
        with psycopg.connect(self.control_url if control else self.source) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def add_table(self, name: str, rows: int = 3, strategy: str = "full", **columns: Any) -> str:
        """A table at the source and its control row, due now."""
        with psycopg.connect(self.source) as connection:
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} AS SELECT n AS id, 'row ' || n AS text FROM generate_series(1, {}) AS n"
                ).format(sql.Identifier(name), sql.Literal(rows))
            )
        row = {
            "control_key": f"{KEY}.{name}",
            "db_config_key": KEY,
            "source_table_schema": "public",
            "source_table_name": name,
            "destination_table_catalog": "bronze",
            "destination_table_schema": "test",
            "destination_table_name": name,
            "load_strategy": strategy,
        }
        self.control.apply_rows([row | columns], {})
        return row["control_key"]

    def tick(self) -> Sequence[RunRequest]:
        """One tick of the real sensor, as the daemon evaluates it."""
        context = build_sensor_context(instance=self.instance, definitions=defs, sensor_name="master_sensor")
        return master_sensor.evaluate_tick(context).run_requests or []

    def execute(self, request: RunRequest) -> DagsterRun:
        """Carry out a requested run in this process; its loads run in theirs."""
        job = defs.resolve_job_def(str(request.job_name))
        done = job.execute_in_process(request.run_config, self.instance, raise_on_error=False, tags=dict(request.tags))
        return done.dagster_run

    def waiting_run(self, request: RunRequest) -> DagsterRun:
        """The requested run as the daemon makes it, not launched yet."""
        job = defs.resolve_job_def(str(request.job_name))
        return self.instance.create_run_for_job(job, run_config=request.run_config)

    def age_claims(self, age: timedelta) -> None:
        """As if what is Queued had been claimed this long ago."""
        then = (datetime.now(UTC) - age).isoformat()
        self.sql(
            f"UPDATE control.table_control SET load_queued_at = '{then}', last_status_date_time = '{then}', "
            "heartbeat_at = NULL WHERE last_status = 'Queued'",
            control=True,
        )

    def status(self, control_key: str) -> TableStatus:
        return self.control.status([control_key])[0]

    def until(self, control_key: str, state: str, seconds: float = PATIENCE_SECONDS) -> TableStatus:
        return until(lambda: self.status(control_key), lambda found: found.last_status == state, seconds)

    @contextmanager
    def locked(self, table: str) -> Iterator[Callable[[], None]]:
        """While somebody holds the table at the source, its load can neither go on nor end; gives the release."""
        with psycopg.connect(self.source) as connection:
            connection.execute(sql.SQL("LOCK TABLE {}").format(sql.Identifier(table)))
            yield connection.rollback
            connection.rollback()

    @contextmanager
    def running(self, request: RunRequest) -> Iterator[list[DagsterRun]]:
        """The run in the background; the list holds it when the context has ended."""
        done: list[DagsterRun] = []
        thread = threading.Thread(target=lambda: done.append(self.execute(request)))
        thread.start()
        try:
            yield done
        finally:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def materialized(self, *key: str) -> dict[str, Any]:
        """Metadata of an asset's last materialization."""
        from dagster import AssetKey

        deadline = time.monotonic() + PATIENCE_SECONDS
        # the control row says Succeeded before the event of it has passed through the run
        while (event := self.instance.get_latest_materialization_event(AssetKey(list(key)))) is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert event is not None
        assert event.asset_materialization is not None
        return {name: entry.value for name, entry in event.asset_materialization.metadata.items()}


def until(ask: Callable[[], T], good: Callable[[T], bool], seconds: float = PATIENCE_SECONDS) -> T:
    deadline = time.monotonic() + seconds
    while not good(found := ask()):
        assert time.monotonic() < deadline, f"still {found} after {seconds} s"
        time.sleep(0.1)
    return found


def load_processes() -> Sequence[int]:
    """Process numbers of the loads that this process started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"dataloader_pipe" in command and parent == os.getpid():
            found.append(int(folder.name))
    return found
