"""Bad input at the source: names, secrets, permission, and a source that changes or goes away."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.badinput.table import STAMPED, Table, wait_for
from tests.support.deployment import Deployment, name_of


@pytest.fixture
def orders(deployment: Deployment) -> Table:
    """Loaded once; 100 rows and a watermark."""
    table = Table(deployment, "orders", **STAMPED)
    table.load()
    return table


def sources_row(deployment: Deployment, **fields: object) -> None:
    """Change fields of the connection by plain SQL."""
    deployment.sql(
        "UPDATE control.table_control_dbconfig SET db_config_value = db_config_value || %s::jsonb", json.dumps(fields)
    )


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("columns", "'{id,nmae}'", ("'nmae'", "'name'", "Did you mean")),
        ("primary_key_cols", "'{idd}'", ("'idd'", "'id'")),
        ("incremental_column", "'updatedat'", ("'updatedat'", "'updated_at'")),
    ],
)
def test_an_unknown_column_is_named_with_the_known_ones(
    orders: Table, column: str, value: str, words: tuple[str, ...]
) -> None:
    before = orders.control(column)
    orders.set(f"{column} = {value}, incremental_value = incremental_value")
    orders.refused(*words)
    orders.deployment.sql(
        f"UPDATE control.table_control SET {column} = %s, incremental_value = incremental_value", before
    )
    orders.load()
    assert len(orders.rows()) == 100


def test_a_secret_that_is_not_there_is_named(orders: Table) -> None:
    del orders.deployment.environment["DATALOADER_SECRET_CRM"]
    orders.refused("DATALOADER_SECRET_CRM")
    orders.deployment.environment["DATALOADER_SECRET_CRM"] = "correct horse"
    orders.load()


def test_a_secret_that_the_source_may_not_use_is_refused_though_it_exists(
    orders: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame-street")
    sources_row(orders.deployment, password="AWS_SECRET_ACCESS_KEY")
    orders.refused("AWS_SECRET_ACCESS_KEY", "DATALOADER_SECRET_*", hidden=("sesame-street",))
    sources_row(orders.deployment, password="DATALOADER_SECRET_CRM")
    orders.load()


def test_a_folder_of_secrets_that_is_not_listed_is_refused(orders: Table) -> None:
    orders.deployment.sql("UPDATE control.table_control_dbconfig SET db_kv_scope = 'file:/etc'")
    sources_row(orders.deployment, password="hostname")
    orders.refused("file:/etc", "DATALOADER_SECRET_SCOPES")


def test_a_wrong_password_is_told_and_not_shown(orders: Table) -> None:
    orders.deployment.environment["DATALOADER_SECRET_CRM"] = "battery staple"
    outcome = orders.refused("password authentication failed", hidden=("battery staple",))
    assert not outcome["transient"]
    orders.deployment.environment["DATALOADER_SECRET_CRM"] = "correct horse"
    orders.load()


def test_an_unreachable_host_is_a_passing_fault(orders: Table) -> None:
    sources_row(orders.deployment, port={"value": 1})
    outcome = orders.refused("127.0.0.1:1")
    assert outcome["transient"]
    assert outcome["error_class"] == "SourceUnavailableError"


def test_without_permission_the_grant_is_named(orders: Table) -> None:
    deployment = orders.deployment
    login = f"poor_{name_of(deployment.source_url)}"
    deployment.server.new_login(login, "correct horse")
    sources_row(deployment, user={"value": login})
    orders.refused("public.orders", "GRANT SELECT")
    deployment.source_sql(f"GRANT SELECT ON orders TO {login}")
    orders.load()
    assert len(orders.rows()) == 100


@pytest.mark.parametrize("change", ["DROP TABLE orders", "ALTER TABLE orders RENAME TO bestellungen"])
def test_a_table_that_went_away_after_it_was_configured_is_named(orders: Table, change: str) -> None:
    orders.deployment.source_sql(change)
    orders.refused("'public'", "'orders'", "renamed", "is_active = false")


@pytest.mark.parametrize("point", ["load.after_plan", "load.after_fence"])
@pytest.mark.parametrize("strategy", [STAMPED, {"load_strategy": "full"}], ids=["incremental", "full"])
def test_a_table_that_is_renamed_while_it_is_being_loaded_loses_nothing(
    deployment: Deployment, point: str, strategy: dict[str, object]
) -> None:
    orders = Table(deployment, "orders", **strategy)
    orders.load()
    if point == "load.after_fence":
        orders.kill(orders.held("load.after_read"))  # its claim stays open: the next load fences
    before = orders.state()
    held = orders.held(point)
    deployment.source_sql("ALTER TABLE orders RENAME TO bestellungen")
    code, outcome, output = orders.let_go(held)
    assert (code, outcome["status"]) == (1, "Failed")
    orders.judge(outcome["message"], output, ("orders",))
    assert orders.state() == before
    deployment.source_sql(
        "ALTER TABLE bestellungen RENAME TO orders; UPDATE orders SET name = 'new', updated_at = now()"
    )
    deployment.source_sql("SELECT pg_sleep(1.2)")
    orders.load()
    assert {row["name"] for row in orders.rows()} == {"new"}


def slowly(deployment: Deployment, **fields: object) -> Table:
    """A table whose rows take half a minute to come."""
    deployment.source_sql(
        "CREATE FUNCTION slowly() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM pg_sleep(0.3)';"
        "CREATE VIEW slow AS SELECT id, slowly() AS n FROM orders"
    )
    return Table(deployment, "slow", **fields)


def test_a_source_that_dies_in_mid_stream_is_a_passing_fault_and_loses_nothing(deployment: Deployment) -> None:
    deployment.source_sql("CREATE VIEW slow AS SELECT id, 1 AS n FROM orders WHERE id <= 5")
    slow = Table(deployment, "slow", load_strategy="full")
    slow.load()
    before = slow.state()
    deployment.source_sql("DROP VIEW slow")
    slow = slowly(deployment, load_strategy="full")
    process = deployment.start("load", slow.key, "--json")
    reading = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state = 'active' AND query LIKE '%\"slow\"%' AND query NOT LIKE '%pg_catalog%'"
    )
    with psycopg.connect(deployment.source_url, autocommit=True) as admin:
        wait_for(lambda: bool(admin.execute(reading.encode()).fetchall()))
        admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({reading}) AS r".encode())
    code, outcome, output = slow.let_go(process)
    assert (code, outcome["status"], outcome["transient"]) == (1, "Failed", True), output
    slow.judge(outcome["message"], output, ())
    assert slow.state() == before
    deployment.source_sql("CREATE OR REPLACE VIEW slow AS SELECT id, 1 AS n FROM orders")
    slow.load()
    assert len(slow.rows()) == 100
