"""What may be written into table_control, by plain SQL as by programs."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloader_core import names
from dataloader_core.control.database import ControlDatabase
from dataloader_core.errors import IllegalChangeError
from dataloader_strategies.chunked_backfill import SUCCESSORS
from tests.control.conftest import INCREMENTAL, Add, Sql, row_of, started

REFUSED = [
    ({"load_strategy": "incremntal"}, "unknown load_strategy 'incremntal'; known: .*'incremental'"),
    ({"load_strategy": "incremental", "incremental_column": "c"}, "needs primary_key_cols"),
    ({"load_strategy": "incremental", "primary_key_cols": ["id"]}, "needs incremental_column"),
    ({"load_strategy": "append_only"}, "needs incremental_column"),
    ({"load_strategy": "rolling", "primary_key_cols": ["id"]}, "needs rolling_column and rolling_days"),
    ({"load_strategy": "rolling", "primary_key_cols": ["id"], "rolling_column": "d"}, "needs rolling_column"),
    ({"load_strategy": "check_and_load", "incremental_column": "c"}, "needs primary_key_cols"),
    ({"load_strategy": "chunked_backfill"}, "strategy 'incremental' .* needs"),
    ({"load_strategy": "chunked_backfill", "strategy_options": {"then": "append_only"}}, "'append_only' .* needs"),
    (
        {"load_strategy": "chunked_backfill", "strategy_options": {"then": "nonsense"}},
        "cannot end as 'nonsense'; allowed: .*'incremental'",
    ),
    (
        {"load_strategy": "chunked_backfill", "strategy_options": {"then": "chunked_backfill"}},
        "cannot end as 'chunked_backfill'",
    ),
    ({"db_config_key": "crn"}, "unknown source 'crn'; known: 'crm'"),
    ({"destination_table_name": "a b"}, "'a b' is not a safe name.*'a_b'"),
    ({"destination_table_schema": "x;drop"}, "not a safe name"),
    ({"destination_table_catalog": ""}, "not a safe name"),
    ({"time_zone": "Mars/Olympus"}, "time_zone is 'Mars/Olympus'.*Europe/Berlin"),
    ({"time_zone": "XYZ3"}, "time_zone is 'XYZ3'"),
    ({"source_table_name": None}, "exactly one of source_table_name and query"),
    ({"query": "SELECT 1"}, "exactly one of source_table_name and query"),
    ({"incremental_type": "text"}, "timestamp, integer or NULL"),
    ({"incremental_type": "integer", "incremental_value": "12; DROP"}, "incremental_value .* is no integer"),
    ({"incremental_type": "timestamp", "incremental_value": "yesterday"}, "is no timestamp"),
    ({"incremental_type": "timestamp", "incremental_value": "2026-02-30 00:00:00"}, "is no timestamp"),
    ({"incremental_lookback": "two hours"}, "incremental_lookback"),
    ({"watermark_delay": "-5"}, "watermark_delay"),
    ({"rolling_days": -1}, "rolling_days"),
    ({"num_partitions": 4}, "need a partition_column"),
    ({"partition_column": "id", "lower_bound": "1"}, "go together"),
    ({"num_partitions": 0, "partition_column": "id"}, "num_partitions is '0'"),
    ({"row_limit": 0}, "row_limit"),
    ({"schema_policy": "whatever"}, "evolve, freeze or fail"),
    ({"on_unrepresentable": "skip"}, "fail or null"),
    ({"max_delete_fraction": 1.5}, "0 to 1"),
    ({"columns": []}, "columns"),
    ({"primary_key_cols": ["id", "id"]}, "different names"),
    ({"strategy_options": "x"}, "JSON"),
    ({"is_delete": True}, "do nothing yet"),
    ({"delete_mode": "soft"}, "do nothing yet"),
    ({"load_cron": " "}, "load_cron"),
    ({"next_load_date_time": "infinity"}, "next_time_is_a_time"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[str(values)[:60] for values, _ in REFUSED])
def test_a_row_that_cannot_work_is_refused_where_it_is_written(
    control: ControlDatabase, add: Add, values: dict[str, Any], message: str
) -> None:
    if values.get("strategy_options") == "x":
        from psycopg.types.json import Jsonb

        values = {"strategy_options": Jsonb("x")}
    with pytest.raises(IllegalChangeError, match=f"(?s){message}") as refused:
        add(**values)
    assert refused.value.cure or "next_load" in str(values)
    assert control.rows() == {}


@pytest.mark.parametrize(
    "values",
    [
        {
            **INCREMENTAL,
            "incremental_value": "17",
            "incremental_lookback": "2 hours",
            "watermark_delay": "1 day 02:00:00",
        },
        {**INCREMENTAL, "incremental_type": "timestamp", "incremental_value": "2026-01-31 12:00:00.123456789+00:00"},
        {"load_strategy": "check_and_load", "incremental_column": "c", "strategy_options": {"reload": "full"}},
        {"load_strategy": "chunked_backfill", "strategy_options": {"then": "full"}},
        {"load_strategy": "rolling", "primary_key_cols": ["id"], "rolling_column": "d", "rolling_days": 7},
        {"source_table_name": None, "query": "SELECT 1"},
        {"time_zone": "America/Argentina/Buenos_Aires", "load_cron": "0 6 * * *"},
    ],
)
def test_rows_that_can_work_are_taken(add: Add, control: ControlDatabase, values: dict[str, Any]) -> None:
    add(**values)
    assert len(control.rows()) == 1


def test_a_backfill_ends_as_exactly_what_the_program_can_hand_over_to(add: Add, sql: Sql) -> None:
    """A plugin's strategy is refused where it is written, and not by the first load."""
    sql("INSERT INTO control.known_strategies (name) VALUES ('snapshot_append')")
    columns = {"primary_key_cols": ["id"], "incremental_column": "c", "rolling_column": "d", "rolling_days": 7}
    for then in SUCCESSORS:
        add(then, load_strategy="chunked_backfill", strategy_options={"then": then}, **columns)
    with pytest.raises(IllegalChangeError, match="cannot end as 'snapshot_append'; allowed: ") as refused:
        add("other", load_strategy="chunked_backfill", strategy_options={"then": "snapshot_append"}, **columns)
    assert {name for name in SUCCESSORS if f"'{name}'" in str(refused.value)} == set(SUCCESSORS)


def test_a_destination_belongs_to_one_row_whatever_its_case(add: Add) -> None:
    add("orders")
    with pytest.raises(IllegalChangeError, match="belongs to another row") as refused:
        add("other", destination_table_name="ORDERS")
    assert refused.value.cure


def test_the_schema_of_the_destination_comes_from_the_source(control: ControlDatabase, add: Add, sql: Sql) -> None:
    sql("UPDATE control.table_control_dbconfig SET default_target_schema = 'landing'")
    key = add(destination_table_schema=None)
    assert row_of(control, key)["destination_table_schema"] == "landing"


def test_identity_never_changes(add: Add, sql: Sql) -> None:
    add()
    with pytest.raises(psycopg.IntegrityError, match="table_uid never changes"):
        sql("UPDATE control.table_control SET table_uid = gen_random_uuid()")


STATUSES = [None, "Queued", "In Progress", "Succeeded", "Failed"]
LEGAL = {
    (None, "Queued", 1), ("Succeeded", "Queued", 1), ("Failed", "Queued", 1), ("Queued", "In Progress", 0),
    ("Queued", "Failed", 0), ("In Progress", "Succeeded", 0), ("In Progress", "Failed", 0), ("Failed", None, 0),
}  # fmt: skip


def test_the_status_changes_only_as_the_state_machine_has_it(add: Add, sql: Sql) -> None:
    add()
    accepted = set()
    for before, after, step in itertools.product(STATUSES, STATUSES, (-1, 0, 1, 2)):
        sql("SET session_replication_role = replica")
        sql("UPDATE control.table_control SET load_seq = 5, last_status = %s", before)
        sql("SET session_replication_role = origin")
        try:
            sql("UPDATE control.table_control SET load_seq = load_seq + %s, last_status = %s", step, after)
        except psycopg.IntegrityError:
            continue
        if before != after:
            accepted.add((before, after, step))
    assert accepted == LEGAL


def test_an_unknown_status_is_refused(add: Add, sql: Sql) -> None:
    add()
    with pytest.raises(psycopg.IntegrityError, match="Paused"):
        sql("UPDATE control.table_control SET last_status = 'Paused'")


def test_the_fencing_token_cannot_be_lowered_or_raised_by_hand(add: Add, sql: Sql) -> None:
    add()
    with pytest.raises(psycopg.IntegrityError, match="load_seq cannot change"):
        sql("UPDATE control.table_control SET load_seq = 7")


def test_a_reset_by_plain_sql_makes_the_table_due(add: Add, control: ControlDatabase, sql: Sql) -> None:
    key = add()
    control.fail(started(control, key), "broken")
    sql("UPDATE control.table_control SET next_load_date_time = NULL")
    sql("UPDATE control.table_control SET last_status = NULL")
    assert control.why(key).code in ("ready", "no_tick")


def test_a_load_failed_by_plain_sql_ends_in_the_history_and_stays_open(
    add: Add, control: ControlDatabase, sql: Sql
) -> None:
    key = add()
    started(control, key)
    sql("UPDATE control.table_control SET last_status = 'Failed', last_status_message = 'by the DBA'")
    assert control.history(key)[0].load_status == "Failed"
    assert control.history(key)[0].log_message == "by the DBA"
    assert row_of(control, key)["claim_closed"] is False


KEPT_CHANGES = [
    "load_strategy = 'full'", "filter = 'a > 1'", "source_table_name = 'other'", "incremental_column = 'other'",
    "incremental_type = NULL", "primary_key_cols = '{id,part}'", "destination_table_name = 'other'",
    "source_table_name = NULL, query = 'SELECT 1'",
]  # fmt: skip


@pytest.mark.parametrize("change", KEPT_CHANGES)
def test_what_a_watermark_depends_on_changes_only_together_with_it(add: Add, sql: Sql, change: str) -> None:
    add(**INCREMENTAL, incremental_value="10")
    with pytest.raises(psycopg.IntegrityError, match="cannot change while incremental_value '10' is kept"):
        sql(f"UPDATE control.table_control SET {change}")
    sql(f"UPDATE control.table_control SET {change}, incremental_value = NULL")
    sql("UPDATE control.table_control SET filter = 'x > 2', incremental_value = NULL")


def test_setting_the_same_watermark_again_is_an_order(add: Add, control: ControlDatabase, sql: Sql) -> None:
    key = add(**INCREMENTAL, incremental_value="10")
    sql("UPDATE control.table_control SET filter = 'a > 1', incremental_value = '10'")
    assert row_of(control, key)["watermark_sets"] > 0


def test_a_change_to_append_only_must_clear_the_watermark(add: Add, sql: Sql) -> None:
    add(**INCREMENTAL, incremental_value="10")
    with pytest.raises(psycopg.IntegrityError, match="must clear incremental_value"):
        sql("UPDATE control.table_control SET load_strategy = 'append_only', incremental_value = '10'")
    sql("UPDATE control.table_control SET load_strategy = 'append_only', incremental_value = NULL")


def test_leaving_an_unfinished_backfill_must_clear_it(add: Add, control: ControlDatabase, sql: Sql) -> None:
    key = add(**{**INCREMENTAL, "load_strategy": "chunked_backfill"})
    sql("UPDATE control.table_control SET backfill_cursor = '{}'")
    with pytest.raises(psycopg.IntegrityError, match="an unfinished backfill"):
        sql("UPDATE control.table_control SET load_strategy = 'incremental'")
    with pytest.raises(psycopg.IntegrityError, match="must clear incremental_value"):
        sql("UPDATE control.table_control SET load_strategy = 'incremental', incremental_value = '5'")
    sql("UPDATE control.table_control SET load_strategy = 'incremental', incremental_value = NULL")
    assert row_of(control, key)["backfill_cursor"] is None


def test_a_backfill_takes_no_watermark_by_hand(add: Add) -> None:
    with pytest.raises(IllegalChangeError, match="must be NULL while"):
        add(**{**INCREMENTAL, "load_strategy": "chunked_backfill", "incremental_value": "5"})


def test_a_changed_destination_forgets_what_was_committed_there(add: Add, control: ControlDatabase, sql: Sql) -> None:
    key = add(**INCREMENTAL)
    sql("UPDATE control.table_control SET committed_version = 77, disputed_version = 77")
    sql("UPDATE control.table_control SET is_active = true")
    assert row_of(control, key)["committed_version"] == 77
    sql("UPDATE control.table_control SET destination_table_name = 'elsewhere'")
    assert row_of(control, key)["committed_version"] is None


def test_each_order_of_load_full_has_a_mark_of_its_own(add: Add, control: ControlDatabase, sql: Sql) -> None:
    key = add()
    sql("UPDATE control.table_control SET load_full = true")
    first = row_of(control, key)["load_full_orders"]
    control.order_full(key)
    assert row_of(control, key)["load_full_orders"] > first > 0


def test_a_name_of_a_staging_table_is_nobodys_destination(add: Add) -> None:
    with pytest.raises(IllegalChangeError, match="staging table"):
        add(destination_table_name="orders__backfill_3_0123abcd")


def test_a_new_row_brings_no_state(add: Add, sql: Sql) -> None:
    add()
    with pytest.raises(psycopg.IntegrityError, match="columns of state"):
        sql(
            "INSERT INTO control.table_control (db_config_key, source_table_name, destination_table_catalog,"
            " destination_table_schema, destination_table_name, load_strategy, last_status)"
            " VALUES ('crm', 'x', 'a', 'b', 'x', 'full', 'Queued')"
        )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_sql_and_python_make_the_same_control_key(sql: Sql, parts: list[str]) -> None:
    made = sql("SELECT control.readable_key(VARIADIC %s::text[]) AS key", parts)[0]["key"]
    assert made == names.control_key(*parts)


LITERAL_SECRETS = [
    ('{"host": {"value": "db"}, "password": {"value": "hunter2"}}', "{}", "db_config_value password"),
    ('{"password": {"val": "hunter2"}}', "{}", "db_config_value password"),
    ('{"database": {"value": "postgresql://a:hunter2@h/d"}}', "{}", "db_config_value database.value"),
    ('{"database": {"value": "postgresql://a:hun/ter2@h/d"}}', "{}", "db_config_value database.value"),
    ('{"database": {"value": "host=h PASSWORD = hunter2"}}', "{}", "db_config_value database.value"),
    ('{"database": "Server=h;Pwd=hunter2"}', "{}", "db_config_value database"),
    ('"postgresql://a:hunter2@h/d"', "{}", "db_config_value"),
    ("{}", '{"password": "hunter2"}', "options password"),
    ("{}", '{"password": {"value": "hunter2"}}', "options password.value"),
    ("{}", '{"PassWord": 2}', "options PassWord"),
    ("{}", '{"driver": {"api_token": ["hunter2"]}}', "options driver.api_token"),
    ("{}", '{"url": "postgresql://a:hunter2@h/d"}', "options url"),
    ("{}", '{"more": [["x", "passwd=hunter2"]]}', "options more"),
]


@pytest.mark.parametrize(("value", "options", "where"), LITERAL_SECRETS)
def test_a_literal_password_is_refused_where_it_is_written(
    control: ControlDatabase, sql: Sql, value: str, options: str, where: str
) -> None:
    for statement in (
        "INSERT INTO control.table_control_dbconfig (db_config_key, db_type, db_config_value, options)"
        " VALUES ('x', 'y', %s, %s)",
        "UPDATE control.table_control_dbconfig SET db_config_value = %s, options = %s",
    ):
        with pytest.raises(psycopg.errors.CheckViolation, match=f": {where} holds a secret") as refused:
            sql(statement, value, options)
        assert "hunter2" not in str(refused.value)


def test_options_alone_are_judged_as_well(control: ControlDatabase, sql: Sql) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="options password holds a secret"):
        sql("""UPDATE control.table_control_dbconfig SET options = '{"password": "hunter2"}'""")


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ('{"host": {"value": "::1"}, "port": {"value": 5432}, "password": "CRM_PASSWORD"}', "{}"),
        ('{"password": null, "token": "CRM_TOKEN"}', "{}"),
        ('"crm-password-bundle"', "{}"),
        (
            '{"database": {"value": "postgresql://a@h:5432/d"}}',
            '{"statement_timeout": "2h", "list": [1, null, true], "by_token": false}',
        ),
        ("{}", '{"init_statement": "SET TIME ZONE \'UTC\'", "fetch_rows": 1000}'),
    ],
)
def test_names_of_secrets_and_plain_settings_are_taken(
    control: ControlDatabase, sql: Sql, value: str, options: str
) -> None:
    sql("UPDATE control.table_control_dbconfig SET db_config_value = %s, options = %s", value, options)
    assert len(control.sources()) == 1


def test_a_destination_does_not_change_its_case(add: Add, sql: Sql) -> None:
    add(destination_table_name="orders")
    with pytest.raises(psycopg.errors.CheckViolation, match="differ only in case"):
        sql("UPDATE control.table_control SET destination_table_name = 'Orders'")
