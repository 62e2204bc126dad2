"""Bad input about orders, and a control database that goes away at the wrong moment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.badinput.table import STAMPED, Table, wait_for
from tests.conftest import PostgresServer
from tests.support.deployment import Deployment

BACKFILL: dict[str, object] = {
    **STAMPED,
    "load_strategy": "chunked_backfill",
    "partition_column": "id",
    "strategy_options": {"chunk_rows": 25},
}


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("SELECT 1 AS id; SELECT 2 AS id", "more than one statement"),
        ("SELECT 1 AS id; DROP TABLE orders", "more than one statement"),
        ("DELETE FROM orders RETURNING id", "DELETE"),
        ("WITH gone AS (DELETE FROM orders RETURNING id) SELECT id FROM gone", "DELETE"),
        ("SELECT id INTO stolen FROM orders", "INTO"),
        ("SELECT id FROM orders FOR UPDATE", "FOR UPDATE"),
        ("TRUNCATE orders", "TRUNCATE"),
        ("COPY orders TO PROGRAM 'cat'", "COPY"),
        ("SELECT 1 AS id /* never closed", "comment"),
    ],
)
def test_a_query_of_two_statements_or_one_that_changes_data_never_reaches_the_source(
    deployment: Deployment, query: str, word: str
) -> None:
    orders = Table(deployment, "orders", load_strategy="full")
    orders.load()
    deployment.sql(
        "UPDATE control.table_control SET source_table_name = NULL, source_table_schema = NULL, query = %s", query
    )
    orders.refused("query", word)
    assert deployment.source_sql("SELECT count(*) FROM orders") == [(100,)]
    assert deployment.source_sql("SELECT to_regclass('stolen')") == [(None,)]


def test_a_function_that_writes_is_stopped_by_the_read_only_transaction(deployment: Deployment) -> None:
    deployment.source_sql(
        "CREATE FUNCTION sneaky() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders; RETURN 1; END $$"
    )
    orders = Table(deployment, "orders", load_strategy="full")
    deployment.sql("UPDATE control.table_control SET source_table_name = NULL, query = 'SELECT sneaky() AS n'")
    orders.refused("read only")
    assert deployment.source_sql("SELECT count(*) FROM orders") == [(100,)]


@pytest.mark.parametrize("column", ["load_strategy", "db_config_key"])
def test_an_unknown_strategy_or_source_is_refused_in_a_file_with_the_known_ones(
    deployment: Deployment, column: str
) -> None:
    orders = Table(deployment, "orders", load_strategy="full")
    orders.load()
    before = orders.state()
    misspelt = {"load_strategy": "incremantal", "db_config_key": "crn"}[column]
    file = deployment.folder / "wrong.yaml"
    file.write_text(json.dumps({"tables": [{"control_key": orders.key, column: misspelt}]}))
    result = deployment.run("apply", str(file))
    assert result.exit_code == 2
    assert repr(misspelt) in result.stderr
    assert repr({"load_strategy": "incremental", "db_config_key": "crm"}[column]) in result.stderr
    assert orders.state() == before


def test_a_strategy_of_a_plugin_that_is_gone_fails_its_table_alone(deployment: Deployment) -> None:
    orders = Table(deployment, "orders", load_strategy="full")
    orders.load()
    deployment.sql("INSERT INTO control.known_strategies (name) VALUES ('snapshot_append')")
    orders.set("load_strategy = 'snapshot_append'")
    orders.refused("'snapshot_append'", "'full'")
    orders.set("load_strategy = 'full'")
    orders.load()


@pytest.fixture
def control_server(deployment: Deployment) -> Iterator[PostgresServer]:
    """The control database stands on a server of its own, which can be stopped without the source noticing."""
    folder = Path(tempfile.mkdtemp(prefix="dl-pg-"))
    folder.chmod(0o755)
    server = PostgresServer(folder)
    server.start()
    try:
        deployment.control_url = server.dsn()
        deployment.environment["DATALOADER_CONTROL_URL"] = server.dsn()
        deployment.ok("init")
        deployment.add_source()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("point", ["load.after_plan", "load.after_read", "load.before_commit", "load.after_commit"])
def test_a_control_database_that_goes_away_in_the_middle_of_a_load_loses_nothing(
    deployment: Deployment, control_server: PostgresServer, point: str
) -> None:
    """Away for seconds: what was committed is told when it is back, or found by the next load."""
    orders = Table(deployment, "orders", **STAMPED)
    orders.load()
    orders.change("UPDATE orders SET name = 'new', updated_at = now() WHERE id <= 10")
    process = orders.held(point)
    control_server.stop()
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(3)
    control_server.cluster.start()
    code, outcome, output = orders.let_go(process)
    assert (code, outcome["status"]) in ((0, "Succeeded"), (1, "Failed")), output
    assert "Traceback" not in output
    wait_for(lambda: orders.control("last_status") in ("Succeeded", "Failed"))
    orders.load()
    rows = orders.rows()
    assert len(rows) == 100
    assert sorted(row["id"] for row in rows if row["name"] == "new") == list(range(1, 11))


def test_without_its_control_database_nothing_is_loaded_and_the_exit_code_says_so(
    deployment: Deployment, control_server: PostgresServer
) -> None:
    orders = Table(deployment, "orders", **STAMPED)
    orders.load()
    rows = orders.rows()
    control_server.stop()
    for command in (("load", orders.key), ("run", "--once"), ("status",), ("why", orders.key), ("plan", orders.key)):
        result = deployment.run(*command)
        assert result.exit_code == 3, (command, result.output)
        assert "Cure:" in result.stderr
        assert "Traceback" not in result.output
    control_server.cluster.start()
    assert orders.rows() == rows
    orders.load()


def test_a_backfill_whose_control_database_fails_as_it_resumes_goes_on_where_it_was(
    deployment: Deployment, control_server: PostgresServer
) -> None:
    orders = Table(deployment, "orders", **BACKFILL)
    process = deployment.start("load", orders.key, DATALOADER_FAILPOINTS="load.after_commit=kill:2")
    process.communicate(timeout=60)
    loaded = len(orders.rows())
    assert 0 < loaded < 100
    control_server.stop()
    assert deployment.run("load", orders.key).exit_code == 3
    assert len(orders.rows()) == loaded, "an unknown is not an empty"
    control_server.cluster.start()
    deployment.json("run", "--once")
    for point in ("load.after_fence", "load.before_recovery"):
        _resume_without_control(orders, control_server, point)
    if orders.control("last_status") != "Succeeded":
        orders.load()
    rows = orders.rows()
    assert sorted(row["id"] for row in rows) == list(range(1, 101))
    assert orders.control("load_strategy") == "incremental"


def _resume_without_control(orders: Table, server: PostgresServer, point: str) -> None:
    process: subprocess.Popen[str] = orders.deployment.start(
        "load", orders.key, "--json", DATALOADER_FAILPOINTS=f"{point}=stop"
    )
    wait_for(lambda: process.poll() is not None or _stopped(process), 60)
    if process.poll() is not None:
        process.communicate()
        return
    before = len(orders.rows())
    server.stop()
    process.kill()
    process.communicate()
    assert len(orders.rows()) == before
    server.cluster.start()
    orders.set("next_load_date_time = NULL")
    orders.deployment.json("run", "--once")


def _stopped(process: subprocess.Popen[str]) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_the_plan_of_a_query_says_that_it_is_one(deployment: Deployment) -> None:
    orders = Table(deployment, "orders", load_strategy="full")
    deployment.sql("UPDATE control.table_control SET source_table_name = NULL, query = 'SELECT id FROM orders'")
    assert "from its query" in deployment.ok("plan", orders.key)
