"""One load's own updates: guarded, and said twice without harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from dataloader_core.commit import version_of
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
from dataloader_core.control.records import LoadProgress, LoadResult
from dataloader_core.errors import ClaimLostError, RowChangedError
from dataloader_core.loading.preview import as_recovered
from dataloader_core.loading.recovery import Finding
from dataloader_core.plan import Backfill
from tests.control.conftest import INCREMENTAL, Add, Sql, commit_of, row_of, started

BACKFILL = {**INCREMENTAL, "load_strategy": "chunked_backfill"}
HAND = this_process("hand")


def _backfill(done: int, then: str = "incremental") -> Backfill:
    return Backfill("id", ("1", "5", "9"), False, "90", then, done, 1)


def test_a_start_reads_the_row_anew(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add(**INCREMENTAL)
    claim = control.claim_by_hand(key, HAND)
    assert claim is not None
    sql("UPDATE control.table_control SET filter = 'a > 1', load_full = true")
    began = control.start(claim, HAND)
    assert (began.table.filter, began.load_full) == ("a > 1", True)
    assert began.load_full_orders != claim.load_full_orders
    assert began.fingerprint != claim.fingerprint


def test_a_start_said_twice_by_one_process_is_one_start(control: ControlDatabase, add: Add) -> None:
    claim = started(control, add())
    assert control.start(claim, HAND) == claim


def test_only_one_process_can_start_a_claim(control: ControlDatabase, add: Add) -> None:
    claim = started(control, add())
    with pytest.raises(ClaimLostError, match="it is In Progress"):
        control.start(claim, this_process("worker"))


def test_a_heartbeat_tells_which_loads_still_hold(control: ControlDatabase, add: Add) -> None:
    kept, lost = started(control, add("kept")), started(control, add("lost"))
    control.cancel(lost.control_key, message="stop")
    progress = LoadProgress("chunk 1", 10, 100)
    assert control.heartbeat({kept.load_id: progress, lost.load_id: None, uuid4(): None}) == {kept.load_id}
    [status] = control.status([kept.control_key])
    assert status.progress == progress


def test_an_end_writes_everything_at_once(control: ControlDatabase, add: Add) -> None:
    key = add(**INCREMENTAL)
    claim = started(control, key, full=True)
    result = LoadResult(rows=7, rows_deleted=1, bytes=99, watermark_before=None, watermark_after="42", notes=("fine",))
    control.succeed(claim, commit_of(claim, watermark="42"), result)
    row = row_of(control, key)
    assert (row["last_status"], row["incremental_value"], row["load_full"]) == ("Succeeded", "42", False)
    assert (row["claim_closed"], row["retry_count"], row["watermark_sets"]) == (True, 0, 0)
    assert row["committed_version"] == version_of(1, 1)
    entry = control.history(key)[0]
    assert (entry.load_status, entry.rows_processed, entry.bytes_processed) == ("Succeeded", 7, 99)
    assert (entry.watermark_after, entry.log_message) == ("42", "fine")


def test_an_end_said_twice_is_one_end(control: ControlDatabase, add: Add) -> None:
    claim = started(control, add())
    for _ in range(2):
        control.succeed(claim, commit_of(claim), LoadResult(rows=7))
    for _ in range(2):
        again = started(control, claim.control_key)
        control.fail(again, "broken")
        control.fail(again, "broken")
    assert row_of(control, claim.control_key)["retry_count"] == 2


def test_a_load_that_lost_its_claim_changes_nothing(control: ControlDatabase, add: Add) -> None:
    key = add(**INCREMENTAL)
    stale = started(control, key)
    control.cancel(key, message="too slow")
    newer = started(control, key)
    record = commit_of(stale, watermark="9")
    before = row_of(control, key)
    for late in (
        lambda: control.succeed(stale, record, LoadResult()),
        lambda: control.fail(stale, "late"),
        lambda: control.writing(stale),
        lambda: control.dispute(stale, 1),
        lambda: control.record_commit(stale, record, rows=1, bytes=1),
        lambda: control.record_recovery(stale, committed_version=1, found=record, apply=True),
        lambda: control.raise_load_seq(stale, past=5),
    ):
        with pytest.raises(ClaimLostError, match=r"claimed again \(load_seq 2\)"):
            late()
    assert row_of(control, key) == before
    control.fail(newer, "end")


def test_a_watermark_set_meanwhile_is_kept_and_the_commit_stays_to_be_found(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    key = add(**INCREMENTAL, incremental_value="5")
    claim = started(control, key)
    sql("UPDATE control.table_control SET incremental_value = '5'")
    control.succeed(claim, commit_of(claim, watermark="42"), LoadResult())
    row = row_of(control, key)
    assert (row["last_status"], row["incremental_value"], row["committed_version"]) == ("Succeeded", "5", None)


def test_a_watermark_of_another_configuration_is_not_applied(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add(**INCREMENTAL)
    claim = started(control, key)
    sql("UPDATE control.table_control SET destination_table_name = 'elsewhere'")
    control.succeed(claim, commit_of(claim, watermark="42"), LoadResult())
    assert row_of(control, key)["incremental_value"] is None
    assert row_of(control, key)["committed_version"] is None


def test_a_full_load_ordered_again_meanwhile_is_not_cleared(control: ControlDatabase, add: Add) -> None:
    key = add()
    claim = started(control, key, full=True)
    control.order_full(key)
    control.succeed(claim, commit_of(claim), LoadResult())
    assert row_of(control, key)["load_full"] is True


def test_a_load_that_did_not_carry_the_order_does_not_clear_it(control: ControlDatabase, add: Add) -> None:
    key = add()
    claim = started(control, key)
    control.order_full(key)
    control.succeed(claim, commit_of(claim), LoadResult())
    assert row_of(control, key)["load_full"] is True


@pytest.mark.parametrize(("wrote", "closed"), [(False, True), (True, False)])
def test_a_failure_closes_the_claim_only_before_the_first_write(
    control: ControlDatabase, add: Add, wrote: bool, closed: bool
) -> None:
    key = add()
    claim = started(control, key)
    if wrote:
        control.writing(claim)
    control.fail(claim, "broken", log="row 7 holds 'secret value'")
    row = row_of(control, key)
    assert (row["claim_closed"], row["retry_count"], row["last_status_message"]) == (closed, 1, "broken")
    assert "row 7" in (control.history(key)[0].log_message or "")


def test_a_claim_that_failed_early_does_not_close_the_one_before_it(control: ControlDatabase, add: Add) -> None:
    key = add()
    first = started(control, key)
    control.writing(first)
    control.fail(first, "broken")
    control.fail(started(control, key), "source is down")
    assert started(control, key).previous_closed is False


def test_a_cancelled_load_does_not_count_as_a_failure(control: ControlDatabase, add: Add) -> None:
    key = add()
    control.fail(started(control, key), "stopped", cancelled=True)
    assert row_of(control, key)["retry_count"] == 0
    assert control.history(key)[0].load_status == "Cancelled"


def test_messages_are_cut_and_hold_no_zero_byte(control: ControlDatabase, add: Add) -> None:
    key = add()
    control.fail(started(control, key), "a\0" + "x" * 5000)
    message = row_of(control, key)["last_status_message"]
    assert len(message) == 2000
    assert "\0" not in message


def test_a_chunk_records_progress_and_no_watermark(control: ControlDatabase, add: Add) -> None:
    key = add(**BACKFILL)
    claim = started(control, key, full=True)
    after = control.record_commit(claim, commit_of(claim, 1, backfill=_backfill(1).to_json()), rows=4, bytes=40)
    row = row_of(control, key)
    assert (row["incremental_value"], row["load_full"], after.load_full) == (None, False, False)
    assert after.backfill == _backfill(1)
    assert after.committed_version == row["committed_version"] == version_of(1, 1)
    assert control.history(key)[0].rows_processed == 4


def test_a_chunk_said_twice_is_counted_once(control: ControlDatabase, add: Add) -> None:
    key = add(**BACKFILL)
    claim = started(control, key)
    record = commit_of(claim, 1, backfill=_backfill(1).to_json())
    first = control.record_commit(claim, record, rows=4, bytes=40)
    assert control.record_commit(claim, record, rows=4, bytes=40) == first
    assert control.history(key)[0].rows_processed == 4


def test_the_last_chunk_hands_over_strategy_and_watermark_together(control: ControlDatabase, add: Add) -> None:
    key = add(**BACKFILL, strategy_options={"then_options": {}, "chunk_rows": 4})
    claim = started(control, key)
    record = commit_of(claim, 2, "90", backfill=_backfill(2).to_json(), becomes="incremental")
    control.succeed(claim, record, LoadResult(rows=8))
    row = row_of(control, key)
    assert (row["load_strategy"], row["incremental_value"]) == ("incremental", "90")
    assert (row["backfill_cursor"], row["strategy_options"]) == (None, {})
    assert control.completed_backfills([key]) == {key}


@pytest.mark.parametrize("recovered", [False, True])
def test_a_backfill_hands_over_the_options_that_it_was_started_with(
    control: ControlDatabase, add: Add, sql: Sql, recovered: bool
) -> None:
    """Options edited meanwhile belong to another ``then``, and a row with both could never load."""
    key = add(**BACKFILL, strategy_options={"then_options": {"reload": "full"}})
    claim = started(control, key)
    ending = replace(_backfill(2, "check_and_load"), then_options={"reload": "full"})
    record = commit_of(claim, 2, "90", backfill=ending.to_json(), becomes="check_and_load")
    sql('UPDATE control.table_control SET strategy_options = \'{"then_options": {"delete_missing": false}}\'')
    if recovered:
        control.cancel(key, message="gone")
        claim = started(control, key)
        assert as_recovered(claim, Finding(found=record, apply=True)).table.strategy_options == {"reload": "full"}
        control.record_recovery(claim, committed_version=version_of(2, 0), found=record, apply=True)
    else:
        control.succeed(claim, record, LoadResult())
    row = row_of(control, key)
    assert (row["load_strategy"], row["strategy_options"]) == ("check_and_load", {"reload": "full"})


def test_recovery_adopts_what_was_committed_and_marks_the_lost_load(control: ControlDatabase, add: Add) -> None:
    key = add(**INCREMENTAL)
    lost = started(control, key, full=True)
    record = commit_of(lost, watermark="42", rows=11)
    control.cancel(key, message="its process is gone")
    claim = started(control, key)
    assert claim.load_full
    recovered = control.record_recovery(claim, committed_version=version_of(2, 0), found=record, apply=True)
    assert (recovered.watermark, recovered.load_full, recovered.committed_version) == ("42", False, version_of(2, 0))
    mine, theirs = control.history(key)
    assert (theirs.recovered_by, theirs.load_status, theirs.rows_processed) == (claim.load_id, "Cancelled", 11)
    assert mine.recovered_by is None
    again = control.record_recovery(claim, committed_version=version_of(2, 0), found=record, apply=True)
    assert again == recovered


def test_recovery_of_a_finished_backfill_makes_the_row_what_it_becomes(control: ControlDatabase, add: Add) -> None:
    key = add(**BACKFILL)
    lost = started(control, key)
    record = commit_of(lost, 2, "90", backfill=_backfill(2).to_json(), becomes="incremental")
    control.cancel(key, message="gone")
    claim = control.record_recovery(started(control, key), committed_version=version_of(2, 0), found=record, apply=True)
    assert (claim.table.load_strategy, claim.watermark, claim.backfill) == ("incremental", "90", None)
    control.succeed(claim, commit_of(claim, watermark="95"), LoadResult())
    assert row_of(control, key)["incremental_value"] == "95"


def test_recovery_without_applying_only_remembers_the_version(control: ControlDatabase, add: Add) -> None:
    key = add(**INCREMENTAL, incremental_value="5")
    lost = started(control, key)
    control.cancel(key, message="gone")
    claim = started(control, key)
    after = control.record_recovery(
        claim, committed_version=version_of(2, 0), found=commit_of(lost, watermark="42"), apply=False
    )
    assert (after.watermark, after.committed_version) == ("5", version_of(2, 0))


def test_recovery_stops_where_somebody_set_the_watermark_meanwhile(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    key = add(**INCREMENTAL)
    lost = started(control, key)
    control.cancel(key, message="gone")
    claim = started(control, key)
    sql("UPDATE control.table_control SET incremental_value = '3'")
    with pytest.raises(RowChangedError) as error:
        control.record_recovery(
            claim, committed_version=version_of(2, 0), found=commit_of(lost, watermark="42"), apply=True
        )
    assert error.value.transient
    assert row_of(control, key)["incremental_value"] == "3"


def test_recovery_ends_no_order_that_was_given_again(control: ControlDatabase, add: Add) -> None:
    key = add()
    lost = started(control, key, full=True)
    record = commit_of(lost)
    control.order_full(key)
    control.cancel(key, message="gone")
    after = control.record_recovery(started(control, key), committed_version=version_of(2, 0), found=record, apply=True)
    assert after.load_full is True


def test_a_restored_control_database_jumps_past_what_the_table_has_seen(control: ControlDatabase, add: Add) -> None:
    key = add()
    claim = control.raise_load_seq(started(control, key), past=70)
    assert (claim.load_seq, claim.previous_closed) == (1070, False)
    control.writing(claim)
    control.succeed(claim, commit_of(claim), LoadResult())
    assert control.history(key)[0].load_seq == 1070


def test_a_dispute_remembers_what_the_load_had_seen(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add(**INCREMENTAL)
    claim = started(control, key)
    control.dispute(claim, 99)
    control.fail(claim, "which one?")
    sql("UPDATE control.table_control SET incremental_value = NULL")
    again = started(control, key)
    assert (again.disputed_version, again.disputed_sets) == (99, 0)
    assert again.watermark_sets != 0


def test_nothing_committed_leaves_version_and_watermark_alone(control: ControlDatabase, add: Add) -> None:
    key = add(**INCREMENTAL, incremental_value="5")
    control.succeed(started(control, key), None, LoadResult(skipped=True, notes=("nothing changed",)))
    row = row_of(control, key)
    assert (row["incremental_value"], row["last_status_message"]) == ("5", "nothing changed")
    assert row["last_load_date_time"] <= datetime.now(UTC)


def test_loads_write_no_audit_entries(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add(**INCREMENTAL, load_cron="0 4 * * *")
    [[claim]] = control.tick(HAND).batches
    control.attach_run([claim.load_id], run_id="r1", run_url="http://dagster/runs/r1")
    claim = control.start(claim, HAND)
    control.heartbeat({claim.load_id: LoadProgress("x", 1, 1)})
    control.succeed(claim, commit_of(claim, watermark="42"), LoadResult())
    assert [row["change_type"] for row in sql("SELECT change_type FROM control.table_control_history")] == ["INSERT"]
    assert row_of(control, key)["last_dagster_run"] == "http://dagster/runs/r1"
    assert control.history(key)[0].run_id == "r1"
