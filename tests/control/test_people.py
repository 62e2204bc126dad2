"""What people order, what the audit trail says of it, and why a table is not being loaded."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from dataloader_core.commit import version_of
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
from dataloader_core.control.records import LoadResult
from dataloader_core.errors import IllegalChangeError, UnknownNameError
from dataloader_core.table import SourceConfig
from tests.control.conftest import INCREMENTAL, Add, Sql, commit_of, row_of, started, uid_of

HAND = this_process("hand")


def test_cancel_ends_the_claim_and_leaves_it_open(control: ControlDatabase, add: Add) -> None:
    key = add()
    started(control, key)
    control.cancel(key, message="by me")
    row = row_of(control, key)
    assert (row["last_status"], row["last_status_message"], row["retry_count"]) == ("Failed", "by me", 0)
    assert row["claim_closed"] is False
    assert control.history(key)[0].load_status == "Cancelled"


def test_cancel_and_reset_name_the_state_that_forbids_them(control: ControlDatabase, add: Add) -> None:
    key = add()
    with pytest.raises(IllegalChangeError, match="not loaded yet"):
        control.reset(key)
    with pytest.raises(IllegalChangeError, match="no load to cancel"):
        control.cancel(key, message="x")
    started(control, key)
    with pytest.raises(IllegalChangeError, match="In Progress; only a Failed") as refused:
        control.reset(key)
    assert refused.value.cure == "Cancel it first."


def test_orders_for_unknown_tables_are_refused(control: ControlDatabase, add: Add) -> None:
    add()
    for order in (
        lambda: control.reset("nope"),
        lambda: control.cancel("nope", message="x"),
        lambda: control.order_full("nope"),
        lambda: control.adopt("nope", from_uid=None),
        lambda: control.why("nope"),
        lambda: control.history("nope"),
        lambda: control.status(["nope"]),
        lambda: control.apply_rows([], {"nope": {"filter": "x"}}),
    ):
        with pytest.raises(UnknownNameError, match="'nope'"):
            order()


def test_reset_makes_a_failed_table_due_and_is_recorded(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    control.fail(started(control, key), "broken")
    control.reset(key)
    assert control.tick(HAND).batches[0][0].control_key == key
    [entry] = sql("SELECT * FROM control.table_control_history WHERE change_source = 'status_reset'")
    assert (entry["changed_fields"], entry["old_values"]) == (["last_status"], {"last_status": "Failed"})


def test_the_audit_trail_says_what_changed_who_and_by_what(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    sql("SET dataloader.changed_by = 'ada'")
    sql("UPDATE control.table_control SET filter = 'a > 1', row_limit = 5")
    control.apply_rows([], {key: {"filter": "a > 2"}}, change_source="bulk_edit")
    sql("DELETE FROM control.table_control")
    insert, edit, bulk, delete = sql("SELECT * FROM control.table_control_history ORDER BY history_id")
    assert (insert["change_source"], insert["new_values"]["control_key"]) == ("apply", key)
    assert (edit["change_source"], edit["changed_by"], edit["changed_fields"]) == (
        "sql",
        "ada",
        ["filter", "row_limit"],
    )
    assert (edit["old_values"], edit["new_values"]["filter"]) == ({"filter": None, "row_limit": None}, "a > 1")
    assert bulk["change_source"] == "bulk_edit"
    assert (delete["change_type"], delete["old_values"]["filter"], delete["new_values"]) == ("DELETE", "a > 2", None)
    fields = sql("SELECT field FROM control.table_control_history_vw WHERE history_id = %s", edit["history_id"])
    assert [row["field"] for row in fields] == ["filter", "row_limit"]


def test_an_update_that_changes_nothing_is_not_recorded(control: ControlDatabase, add: Add, sql: Sql) -> None:
    add()
    sql("UPDATE control.table_control SET filter = filter")
    assert len(sql("SELECT history_id FROM control.table_control_history")) == 1


def test_rows_are_applied_all_or_not_at_all(control: ControlDatabase, add: Add) -> None:
    key = add()
    with pytest.raises(IllegalChangeError, match="unknown load_strategy"):
        control.apply_rows([], {key: {"filter": "a > 1"}, add("b"): {"load_strategy": "nonsense"}})
    assert row_of(control, key)["filter"] is None


def test_a_dry_run_lets_the_rules_judge_and_changes_nothing(control: ControlDatabase, add: Add) -> None:
    key = add()
    control.apply_rows([], {key: {"filter": "a > 1"}}, dry_run=True)
    assert row_of(control, key)["filter"] is None
    with pytest.raises(IllegalChangeError):
        control.apply_rows([], {key: {"row_limit": 0}}, dry_run=True)


def test_a_column_that_is_none_is_named_before_anything_is_sent(control: ControlDatabase, add: Add) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'row_limit'"):
        control.apply_rows([], {add(): {"row_limits": 5}})


def test_a_source_is_added_once_and_replaced_on_purpose(control: ControlDatabase) -> None:
    erp = SourceConfig("erp", "postgresql", "bundle", "file:/run/secrets", max_concurrent_loads=3, options={"a": 1})
    control.put_source(erp)
    with pytest.raises(IllegalChangeError, match="a source 'erp' already"):
        control.put_source(erp)
    control.put_source(SourceConfig("erp", "postgresql", {"host": {"value": "x"}}, "env"), replace=True)
    assert control.source("erp").db_config_value == {"host": {"value": "x"}}
    with pytest.raises(UnknownNameError, match="known: 'crm', 'erp'"):
        control.source("nope")


# adoption


def _deleted(control: ControlDatabase, sql: Sql, key: str) -> None:
    sql("DELETE FROM control.table_control WHERE control_key = %s", key)


def test_a_deleted_row_is_adopted_with_identity_version_and_watermark(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    old = add(**INCREMENTAL)
    for _ in range(3):
        claim = started(control, old)
        control.succeed(claim, commit_of(claim, watermark="42"), LoadResult())
    uid = uid_of(control, old)
    _deleted(control, sql, old)
    new = add(**INCREMENTAL, control_key="orders again")
    assert uid_of(control, "orders again") != uid
    control.adopt("orders again", from_uid=uid)
    row = row_of(control, "orders again")
    assert (row["table_uid"], row["incremental_value"], row["committed_version"]) == (uid, "42", version_of(3, 1))
    claim = started(control, "orders again")
    assert (claim.load_seq, claim.previous_closed) == (4, False)
    assert sql("SELECT change_source FROM control.table_control_history ORDER BY 1")[0]["change_source"] == "adopt"
    assert new


def test_a_row_of_another_configuration_gives_identity_but_no_watermark(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    old = add(**INCREMENTAL)
    claim = started(control, old)
    control.succeed(claim, commit_of(claim, watermark="42"), LoadResult())
    uid = uid_of(control, old)
    _deleted(control, sql, old)
    new = add(**INCREMENTAL, filter="a > 1")
    control.adopt(new, from_uid=uid)
    row = row_of(control, new)
    assert (row["table_uid"], row["incremental_value"], row["committed_version"]) == (uid, None, None)


def test_an_identity_that_nobody_remembers_is_taken_and_proven_by_the_load(control: ControlDatabase, add: Add) -> None:
    key, uid = add(), uuid4()
    control.adopt(key, from_uid=uid)
    assert uid_of(control, key) == uid
    assert started(control, key).previous_closed is False


def test_a_row_that_moved_away_and_loaded_elsewhere_keeps_its_identity(control: ControlDatabase, add: Add) -> None:
    other, key = add("other"), add()
    claim = started(control, other)
    control.succeed(claim, commit_of(claim), LoadResult())
    with pytest.raises(IllegalChangeError, match="has loaded its own destination"):
        control.adopt(key, from_uid=uid_of(control, other))


def test_a_destination_of_nobody_is_adopted_for_the_next_load(control: ControlDatabase, add: Add) -> None:
    key = add()
    control.adopt(key, from_uid=None)
    claim = started(control, key)
    assert (claim.adopt_unowned, claim.previous_closed) == (True, False)
    control.succeed(claim, commit_of(claim), LoadResult())
    assert row_of(control, key)["adopt_unowned"] is False


def test_a_claimed_row_adopts_nothing(control: ControlDatabase, add: Add) -> None:
    key = add()
    started(control, key)
    with pytest.raises(IllegalChangeError, match="In Progress, held by process"):
        control.adopt(key, from_uid=None)


# why


def test_why_names_each_reason(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add(load_cron="0 4 * * *", next_load_date_time=datetime(2100, 1, 1, tzinfo=UTC))

    def code() -> str:
        return control.why(key).code

    assert (code(), control.why(key).until) == ("not_due", datetime(2100, 1, 1, tzinfo=UTC))
    sql("UPDATE control.table_control SET next_load_date_time = now()")
    assert code() == "no_tick"
    sql("INSERT INTO control.ticks (host, pid, kind) VALUES ('h', 1, 'worker')")
    assert code() == "ready"
    sql("UPDATE control.ticks SET ticked_at = now() - interval '4 minutes'")
    assert code() == "no_tick"
    claim = control.claim_by_hand(key, HAND)
    assert claim is not None
    assert code() == "queued"
    control.start(claim, HAND)
    assert (code(), str(HAND.pid) in control.why(key).reason) == ("running", True)
    sql("UPDATE control.table_control SET next_load_date_time = NULL")
    control.fail(claim, "password refused")
    assert (code(), "password refused." in control.why(key).reason) == ("failed", True)
    sql("UPDATE control.table_control SET is_active = false")
    assert code() == "inactive"


def test_why_says_by_hand_after_the_first_load(control: ControlDatabase, add: Add) -> None:
    key = add()
    [[claim]] = control.tick(HAND).batches
    control.succeed(control.start(claim, HAND), None, LoadResult())
    assert control.why(key).code == "by_hand"


def test_a_source_that_tables_use_cannot_be_deleted(control: ControlDatabase, add: Add, sql: Sql) -> None:
    add()
    with pytest.raises(psycopg.IntegrityError, match="source_is_known"):
        sql("DELETE FROM control.table_control_dbconfig")
