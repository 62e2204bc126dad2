"""The real thing: daemon, code server, run launcher and web server, as `dagster dev` starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from tests.dagster.deployment import PATIENCE_SECONDS, Deployment, until


@contextmanager
def dagster_dev(folder: Path) -> Iterator[None]:
    """`dagster dev` over our definitions, from its start until it has stopped with all it started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dagster", "dev", "-m", "dataloader_dagster.definitions", "-p", str(port)]
    with (folder / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE_SECONDS)
            finally:
                _end_session(process.pid)


def _end_session(leader: int) -> None:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == leader:
                os.kill(int(folder.name), signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.slow
def test_dagster_loads_what_is_due_and_a_cancelled_run_ends_in_failed(deployment: Deployment, tmp_path: Path) -> None:
    good, stuck = deployment.add_table("good", rows=7), deployment.add_table("stuck")
    with deployment.locked("stuck"), dagster_dev(tmp_path):
        deployment.until(good, "Succeeded")
        deployment.until(stuck, "In Progress")
        assert deployment.materialized("bronze", "test", "good")["rows"] == 7
        [run] = deployment.instance.get_runs()
        assert deployment.instance.run_launcher.terminate(run.run_id)
        until(lambda: deployment.instance.get_run_by_id(run.run_id), lambda r: r is not None and r.is_finished)
        deployment.until(stuck, "Failed")
    ended = deployment.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is DagsterRunStatus.CANCELED
    assert deployment.status(good).last_status == "Succeeded"


@pytest.mark.slow
def test_definitions_that_were_loaded_without_a_control_database_heal_by_themselves(
    deployment: Deployment, tmp_path: Path
) -> None:
    """The database is away while Dagster starts; the tick after it is back loads what is due."""
    key = deployment.add_table("orders")
    name = deployment.control_url.split("?")[0].rsplit("/", 1)[1]
    deployment.app.close()
    admin = deployment.control_url.replace(f"/{name}?", "/postgres?")
    _allow_connections(admin, name, False)
    with dagster_dev(tmp_path):
        time.sleep(20)
        _allow_connections(admin, name, True)
        from dataloader_core.app import App

        deployment.app = App.from_environment()
        deployment.control = deployment.app.control
        deployment.until(key, "Succeeded")


def _allow_connections(admin: str, name: str, allowed: bool) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(allowed))
        )
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
