"""Claiming: who gets what, in which order, and what stops nobody else."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
from dataloader_core.control.records import Claim
from dataloader_core.errors import IllegalChangeError, UnknownNameError
from dataloader_core.table import SourceConfig
from tests.control.conftest import INCREMENTAL, Add, Sql, row_of, started

WORKER = this_process("worker")


def _keys(batches: object) -> list[list[str]]:
    return [[claim.control_key for claim in batch] for batch in batches]  # type: ignore[attr-defined]  # lists of claims


def test_a_new_table_is_claimed_by_the_next_tick_and_only_once(control: ControlDatabase, add: Add) -> None:
    key = add()
    assert _keys(control.tick(WORKER).batches) == [[key]]
    assert control.tick(WORKER).batches == []
    assert row_of(control, key)["last_status"] == "Queued"
    assert control.history(key)[0].load_status is None


def test_a_claim_raises_the_fencing_token_and_clears_the_links(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    control.fail(started(control, key), "x")
    sql(
        "UPDATE control.table_control"
        " SET last_dagster_run = 'a', last_databricks_run = 'b', next_load_date_time = now()"
    )
    [[claim]] = control.tick(WORKER).batches
    row = row_of(control, key)
    assert claim.load_seq == row["load_seq"] == 2
    assert (row["last_dagster_run"], row["last_databricks_run"], row["claim_closed"]) == (None, None, False)


def test_missed_times_become_one_load(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add(load_cron="*/5 * * * *")
    sql("UPDATE control.table_control SET next_load_date_time = now() - interval '3 days'")
    assert len(control.tick(WORKER).batches) == 1
    assert row_of(control, key)["next_load_date_time"] > datetime.now(UTC)


def test_without_a_cron_there_is_one_first_load(control: ControlDatabase, add: Add) -> None:
    key = add()
    control.tick(WORKER)
    assert row_of(control, key)["next_load_date_time"] is None


@pytest.mark.parametrize("change", ["load_cron = '0 3 * * *'", "time_zone = 'Asia/Tokyo'", "is_active = true"])
def test_an_edited_schedule_is_computed_anew_without_a_load(
    control: ControlDatabase, add: Add, sql: Sql, change: str
) -> None:
    key = add(load_cron="0 4 * * *", is_active=change != "is_active = true")
    sql(f"UPDATE control.table_control SET {change}")
    assert control.tick(WORKER).batches == []
    assert row_of(control, key)["next_load_date_time"] > datetime.now(UTC)


def test_due_now_in_the_same_statement_counts_more_than_an_edited_schedule(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    key = add(load_cron="0 4 * * *", next_load_date_time=datetime(2100, 1, 1, tzinfo=UTC))
    sql("UPDATE control.table_control SET load_cron = '0 5 * * *', next_load_date_time = now()")
    assert _keys(control.tick(WORKER).batches) == [[key]]


def test_activating_a_table_without_a_cron_gives_it_its_first_load(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    key = add(is_active=False)
    assert control.tick(WORKER).batches == []
    sql("UPDATE control.table_control SET is_active = true")
    assert _keys(control.tick(WORKER).batches) == [[key]]


@pytest.mark.parametrize("cron", ["61 * * * *", "nonsense", "0 0 30 2 *", "* * * * * *"])
def test_a_bad_cron_fails_its_table_once_and_no_other(control: ControlDatabase, add: Add, sql: Sql, cron: str) -> None:
    good, bad = add("good"), add("bad", load_cron=cron)
    result = control.tick(WORKER)
    assert _keys(result.batches) == [[good]]
    assert [failure.control_key for failure in result.failures] == [bad]
    assert cron in result.failures[0].reason
    assert row_of(control, bad)["next_load_date_time"] is None
    assert control.why(bad).code == "bad_row"
    assert control.tick(WORKER).failures == []
    sql("UPDATE control.table_control SET load_cron = '0 4 * * *' WHERE control_key = %s", bad)
    assert control.tick(WORKER).failures == []
    assert row_of(control, bad)["next_load_date_time"] is not None


def test_a_cron_edited_to_nonsense_fails_at_the_next_tick(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add(load_cron="0 4 * * *", next_load_date_time=datetime(2100, 1, 1, tzinfo=UTC))
    sql("UPDATE control.table_control SET load_cron = 'often'")
    assert [failure.control_key for failure in control.tick(WORKER).failures] == [key]
    assert control.history(key)[0].load_status == "Failed"


def test_a_row_that_its_strategy_refuses_fails_alone_and_is_due_again_by_its_cron(
    control: ControlDatabase, add: Add
) -> None:
    good, bad, broken = add("good"), add("bad", load_cron="0 * * * *"), add("broken")

    def check(claim: Claim) -> str | None:
        if claim.control_key == broken:
            raise RuntimeError("the plugin is broken")
        return "unknown option 'x'" if claim.control_key == bad else None

    result = control.tick(WORKER, check_row=check)
    assert _keys(result.batches) == [[good]]
    assert {failure.control_key for failure in result.failures} == {bad, broken}
    row = row_of(control, bad)
    assert (row["last_status"], row["last_status_message"]) == ("Failed", "unknown option 'x'")
    assert row["next_load_date_time"] > datetime.now(UTC)
    assert row["claim_closed"] is True


def test_a_refused_row_leaves_an_open_claim_open(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    control.writing(claim := started(control, key))
    control.fail(claim, "in mid-write")
    control.reset(key)
    control.tick(WORKER, check_row=lambda _: "no")
    assert row_of(control, key)["claim_closed"] is False


def test_a_backfill_cursor_that_cannot_be_read_fails_its_table_alone(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    good, bad = add("good"), add("bad", **{**INCREMENTAL, "load_strategy": "chunked_backfill"})
    sql("UPDATE control.table_control SET backfill_cursor = '{\"x\": 1}' WHERE control_key = %s", bad)
    result = control.tick(WORKER)
    assert _keys(result.batches) == [[good]]
    assert [failure.control_key for failure in result.failures] == [bad]


def test_tables_are_claimed_by_due_time_with_a_fair_share_for_each_source(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    control.put_source(SourceConfig("erp", "postgresql", {}, "env"))
    for i in range(8):
        add(f"crm_{i}", next_load_date_time=datetime.now(UTC) - timedelta(hours=9 - i))
    for i in range(2):
        add(f"erp_{i}", db_config_key="erp", next_load_date_time=datetime.now(UTC) - timedelta(minutes=2 - i))
    claimed = {claim.control_key for batch in control.tick(WORKER, limit=4).batches for claim in batch}
    assert claimed == {"crm.public.crm_0", "crm.public.crm_1", "erp.public.erp_0", "erp.public.erp_1"}


def test_batches_hold_one_source_and_at_most_the_tables_of_a_run(control: ControlDatabase, add: Add) -> None:
    control.put_source(SourceConfig("erp", "postgresql", {}, "env"))
    for i in range(5):
        add(f"a{i}")
        add(f"b{i}", db_config_key="erp")
    batches = control.tick(WORKER, limit=10, per_run=3).batches
    assert sorted(len(batch) for batch in batches) == [2, 2, 3, 3]
    assert all(len({claim.table.db_config_key for claim in batch}) == 1 for batch in batches)


def test_a_backfill_runs_alone_and_one_per_source_at_a_time(control: ControlDatabase, add: Add) -> None:
    backfill = {**INCREMENTAL, "load_strategy": "chunked_backfill"}
    add("first", **backfill)
    second = add("second", **backfill)
    add("other")
    batches = _keys(control.tick(WORKER).batches)
    assert sorted(batches) == [["crm.public.first"], ["crm.public.other"]]
    assert control.why(second).code == "backfill_ahead"
    assert control.claim_by_hand(second, WORKER) is None


def test_a_source_at_its_limit_gives_no_more(control: ControlDatabase, add: Add, sql: Sql) -> None:
    sql("UPDATE control.table_control_dbconfig SET max_concurrent_loads = 2")
    keys = [add(f"t{i}") for i in range(4)]
    claims = [claim for batch in control.tick(WORKER).batches for claim in batch]
    assert len(claims) == 2
    assert control.claim_by_hand(keys[3], WORKER) is None
    assert control.why(keys[3]).code == "source_limit"
    control.fail(claims[0], "gone")
    assert len(control.tick(WORKER).batches[0]) == 1


def test_a_disabled_source_or_table_is_left_alone(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    add("asleep", is_active=False)
    sql("UPDATE control.table_control_dbconfig SET is_active = false")
    assert control.tick(WORKER).batches == []
    assert control.why(key).code == "source_disabled"
    with pytest.raises(IllegalChangeError, match="disabled"):
        control.claim_by_hand(key, WORKER)


def test_a_claim_by_hand_leaves_the_schedule_alone(control: ControlDatabase, add: Add) -> None:
    key = add(load_cron="0 4 * * *")
    before = row_of(control, key)["next_load_date_time"]
    assert control.claim_by_hand(key, this_process("hand"), full=True).load_full  # type: ignore[union-attr]  # None would fail here too
    assert row_of(control, key)["next_load_date_time"] == before


def test_a_claimed_table_is_refused_by_hand_and_names_the_holder(control: ControlDatabase, add: Add) -> None:
    key = add()
    control.claim_by_hand(key, WORKER)
    with pytest.raises(IllegalChangeError, match=f"Queued since .* held by process {WORKER.pid} on"):
        control.claim_by_hand(key, WORKER)


def test_an_unknown_table_is_named_with_those_that_exist(control: ControlDatabase, add: Add) -> None:
    add()
    with pytest.raises(UnknownNameError, match=r"'crm\.public\.ordres'.*Did you mean 'crm\.public\.orders'"):
        control.claim_by_hand("crm.public.ordres", WORKER)


def test_claims_that_still_stand_are_read_in_the_order_asked_for(control: ControlDatabase, add: Add) -> None:
    keys = [add(f"t{i}") for i in range(3)]
    claims = [control.claim_by_hand(key, WORKER) for key in keys]
    ids = [claim.load_id for claim in reversed(claims) if claim]
    control.cancel(keys[1], message="no")
    assert [claim.control_key for claim in control.claims(ids)] == [keys[2], keys[0]]


def test_a_locked_row_is_skipped_and_not_waited_for(control: ControlDatabase, add: Add, dsn: str) -> None:
    import psycopg

    locked, free = add("locked"), add("free")
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM control.table_control WHERE control_key = %s FOR UPDATE", (locked,))
        assert _keys(control.tick(WORKER).batches) == [[free]]


def _hammer(dsn: str, out: str, most: int) -> None:
    """Claim and end loads until nothing is due; every claim, and every breach of the limit seen, is a line."""
    lines = []
    with ControlDatabase(dsn, pool_size=1) as control:
        idle = 0
        while idle < 30:
            claims = [claim for batch in control.tick(this_process("worker"), limit=3).batches for claim in batch]
            running = sum(
                s.last_status in ("Queued", "In Progress") for s in control.status() if s.db_config_key == "crm"
            )
            lines += [f"claim {claim.control_key} {claim.load_seq}" for claim in claims]
            lines += ["breach"] * (running > most)
            for claim in claims:
                control.fail(control.start(claim, this_process("worker")), "done", cancelled=True)
            idle = 0 if claims else idle + 1
    Path(out).write_text("\n".join(lines))


def test_ten_processes_share_what_is_due_and_keep_the_limit(
    control: ControlDatabase, add: Add, sql: Sql, dsn: str, tmp_path: Path
) -> None:
    sql("UPDATE control.table_control_dbconfig SET max_concurrent_loads = 4")
    control.put_source(SourceConfig("erp", "postgresql", {}, "env"))
    for i in range(60):
        add(f"t{i}", db_config_key="crm" if i % 2 else "erp")
    context = multiprocessing.get_context("spawn")
    outs = [tmp_path / str(i) for i in range(10)]
    processes = [context.Process(target=_hammer, args=(dsn, str(out), 4)) for out in outs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 10
    lines = [line for out in outs for line in out.read_text().splitlines()]
    assert "breach" not in lines
    assert len(lines) == len(set(lines)) == 60
