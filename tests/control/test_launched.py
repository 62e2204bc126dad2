"""Runs that launchers started elsewhere: remembered until they have ended, linked to the rows of their loads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.records import Claim, Holder, LaunchedRun, LoadResult
from tests.control.conftest import Add, Sql, row_of

DAGSTER = Holder("dagster", "another-host", 7)
RUN = LaunchedRun(
    "dagster-1", "databricks", "https://workspace.example/run/7", "https://workspace.example/#job/1/run/7", "instance-1"
)


def _claimed(control: ControlDatabase, key: str, run_id: str) -> Claim:
    claim = control.claim_by_hand(key, DAGSTER)
    assert claim is not None
    control.attach_run([claim.load_id], run_id=run_id, run_url=f"http://dagster/runs/{run_id}")
    return claim


def test_the_control_row_links_to_both_runs(control: ControlDatabase, add: Add) -> None:
    key = add()
    claim = _claimed(control, key, RUN.run_id)
    control.record_launch(RUN, [claim.load_id])
    row = row_of(control, key)
    assert (row["last_dagster_run"], row["last_databricks_run"]) == ("http://dagster/runs/dagster-1", RUN.url)


def test_a_launch_is_open_until_it_has_ended(control: ControlDatabase) -> None:
    control.record_launch(RUN, [])
    control.record_launch(RUN, [])
    assert control.open_launches() == [RUN]
    control.launch_ended(RUN)
    assert control.open_launches() == []


def test_a_launch_is_remembered_with_the_page_that_it_is_told_later(control: ControlDatabase) -> None:
    control.record_launch(replace(RUN, url=None), [])
    control.record_launch(RUN, [])
    assert control.open_launches() == [RUN]
    control.record_launch(replace(RUN, url=None), [])
    assert control.open_launches() == [RUN]


def test_a_problem_is_news_once(control: ControlDatabase) -> None:
    control.record_launch(RUN, [])
    said = [control.launch_problem(RUN, problem) for problem in ("away", "away", "forbidden", "away")]
    assert said == [True, False, True, True]
    assert control.open_launches() == [RUN], "it is tried again"


@pytest.mark.parametrize(
    ("launched", "ended", "is_kept"),
    [(90, 31, False), (90, 29, True), (59, None, True), (61, None, False), (0, 0, True)],
)
def test_old_launches_are_forgotten(
    control: ControlDatabase, sql: Sql, launched: int, ended: int | None, is_kept: bool
) -> None:
    """A month after their end; those that never ended when no workspace knows them any more."""
    control.record_launch(RUN, [])
    sql(
        "UPDATE control.launched_runs SET launched_at = now() - make_interval(days => %s), "
        "ended_at = now() - make_interval(days => %s)",
        launched,
        ended,
    )
    assert control.forget_old_launches() == (0 if is_kept else 1)
    assert len(sql("SELECT 1 FROM control.launched_runs")) == is_kept


def test_who_loads_may_forget_old_launches(control: ControlDatabase, sql: Sql) -> None:
    sql("SET ROLE dataloader_loader")
    sql("DELETE FROM control.launched_runs WHERE ended_at < now()")
    sql("RESET ROLE")


def test_a_late_record_is_remembered_and_links_to_nobody_elses_load(control: ControlDatabase, add: Add) -> None:
    key = add()
    claim = _claimed(control, key, "dagster-2")
    control.record_launch(RUN, [claim.load_id])
    assert row_of(control, key)["last_databricks_run"] is None
    assert control.open_launches() == [RUN]


def test_a_load_that_has_ended_keeps_no_link_of_a_run_that_came_too_late(control: ControlDatabase, add: Add) -> None:
    key = add()
    claim = _claimed(control, key, RUN.run_id)
    control.fail(claim, "stuck in queue")
    control.record_launch(RUN, [claim.load_id])
    assert row_of(control, key)["last_databricks_run"] is None


def test_how_loads_ended_is_told_without_the_values_of_rows(control: ControlDatabase, add: Add) -> None:
    """The history's log may name values; what is told here goes to events."""
    done, failed, running = (_claimed(control, add(name), RUN.run_id) for name in "abc")
    control.succeed(control.start(done, DAGSTER), None, LoadResult(rows=0, skipped=True, notes=("nothing changed",)))
    control.fail(control.start(failed, DAGSTER), "keys are doubled", log="Values: Ada Lovelace")
    outcomes = control.ended_loads([done.load_id, failed.load_id, running.load_id])
    assert [(one.load_id, one.status, one.message) for one in outcomes] == [
        (done.load_id, "Succeeded", "nothing changed"),
        (failed.load_id, "Failed", "keys are doubled"),
    ]
    assert outcomes[0].result is not None
    assert outcomes[0].result.skipped
    assert "Ada" not in repr(outcomes)
