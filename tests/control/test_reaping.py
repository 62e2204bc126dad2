"""Loads that nobody runs any more. Time passes by moving timestamps, as the database's clock is what counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import is_gone, process_started, this_process
from dataloader_core.control.records import Claim, Holder
from dataloader_core.errors import ClaimLostError
from tests.control.conftest import Add, Sql, row_of

DAGSTER = Holder("dagster", "another-host", 7)
ELSEWHERE = Holder("worker", "another-host", 7)


def _nobody(run: str) -> bool | None:
    raise AssertionError(f"nobody should ask for {run}")


def _later(sql: Sql, minutes: int) -> None:
    sql(
        "UPDATE control.table_control SET load_queued_at = load_queued_at - %s::interval,"
        " load_started_at = load_started_at - %s::interval,"
        " heartbeat_at = heartbeat_at - %s::interval",
        *[f"{minutes} minutes"] * 3,
    )


def _claim(control: ControlDatabase, key: str, holder: Holder) -> Claim:
    claim = control.claim_by_hand(key, holder)
    assert claim is not None
    return claim


def _dead_process() -> Holder:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return replace(this_process("worker"), pid=process.pid, process_started=process_started(process.pid))


@pytest.mark.parametrize(("alive", "reaped"), [(True, False), (None, False), (False, True)])
def test_a_queued_table_is_lost_five_minutes_after_its_run_ended(
    control: ControlDatabase, add: Add, sql: Sql, alive: bool | None, reaped: bool
) -> None:
    key = add()
    claim = _claim(control, key, DAGSTER)
    control.attach_run([claim.load_id], run_id="run-1")
    asked: list[str] = []

    def run_is_alive(run: str) -> bool | None:
        asked.append(run)
        return alive

    assert control.reap_lost_loads(run_is_alive) == []
    _later(sql, 6)
    assert control.reap_lost_loads(run_is_alive) == ([key] if reaped else [])
    assert asked == ["run-1"]


def test_what_another_instance_of_dagster_queued_is_left_to_it(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    claim = _claim(control, key, replace(DAGSTER, instance="one"))
    control.attach_run([claim.load_id], run_id="run-1")
    _later(sql, 6)
    assert control.reap_lost_loads(lambda run: False, "two") == []
    assert control.reap_lost_loads(lambda run: False, "one") == [key]


def test_a_sensor_killed_between_claim_and_run_loses_its_tables_to_the_reaper(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    key = add()
    [[claim]] = control.tick(DAGSTER).batches
    _later(sql, 6)
    asked: list[str] = []
    assert control.reap_lost_loads(lambda run: asked.append(run) or False) == [key]  # type: ignore[func-returns-value]  # `append` gives None
    assert asked == [str(claim.load_id)]
    row = row_of(control, key)
    assert (row["last_status"], row["claim_closed"], row["retry_count"]) == ("Failed", False, 1)
    assert control.history(key)[0].load_status == "Failed"
    with pytest.raises(ClaimLostError):
        control.start(claim, DAGSTER)


def test_a_running_load_is_lost_after_five_minutes_without_a_heartbeat(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    key = add()
    claim = control.start(_claim(control, key, DAGSTER), DAGSTER)
    _later(sql, 4)
    assert control.reap_lost_loads(_nobody) == []
    _later(sql, 2)
    control.heartbeat({claim.load_id: None})
    assert control.reap_lost_loads(_nobody) == []
    _later(sql, 6)
    assert control.reap_lost_loads(_nobody) == [key]
    assert "no heartbeat" in row_of(control, key)["last_status_message"]


def test_what_a_dead_process_of_this_host_held_is_lost_at_once(control: ControlDatabase, add: Add) -> None:
    queued, running = add("queued"), add("running")
    dead = _dead_process()
    _claim(control, queued, dead)
    control.start(_claim(control, running, dead), dead)
    assert sorted(control.reap_lost_loads(_nobody)) == [queued, running]


def test_a_dagster_load_whose_process_died_here_is_lost_at_once_too(control: ControlDatabase, add: Add) -> None:
    """While it is queued the holder is the sensor's process, which may come and go."""
    queued, running = add("queued"), add("running")
    dead = replace(_dead_process(), kind="dagster")
    _claim(control, queued, dead)
    control.start(_claim(control, running, dead), dead)
    assert control.reap_lost_loads(_nobody) == [running]


def test_a_living_process_keeps_what_it_holds(control: ControlDatabase, add: Add) -> None:
    _claim(control, add(), this_process("worker"))
    assert control.reap_lost_loads(_nobody) == []


def test_a_pid_that_somebody_else_has_by_now_is_gone() -> None:
    here = this_process("worker")
    assert not is_gone(here)
    assert here.process_started is not None
    assert is_gone(replace(here, process_started=here.process_started - 1))
    assert not is_gone(replace(here, host="another-host", pid=2**22 + 1))


def test_tables_that_wait_in_a_worker_elsewhere_live_as_long_as_it_gives_heartbeats(
    control: ControlDatabase, add: Add, sql: Sql
) -> None:
    waiting, running = add("waiting"), add("running")
    _claim(control, waiting, ELSEWHERE)
    claim = control.start(_claim(control, running, ELSEWHERE), ELSEWHERE)
    _later(sql, 6)
    control.heartbeat({claim.load_id: None})
    assert control.reap_lost_loads(_nobody) == []
    _later(sql, 6)
    assert sorted(control.reap_lost_loads(_nobody)) == [running, waiting]


def test_what_a_finished_run_did_not_report_is_failed(control: ControlDatabase, add: Add) -> None:
    claims = [_claim(control, add(f"t{i}"), DAGSTER) for i in range(3)]
    ids: list[UUID] = [claim.load_id for claim in claims]
    control.attach_run(ids[:2], run_id="run-1")
    control.fail(claims[0], "reported")
    assert control.fail_unreported("run-1", "The run ended without a word.") == [claims[1].control_key]
    assert row_of(control, claims[1].control_key)["last_status_message"] == "The run ended without a word."
    assert row_of(control, claims[2].control_key)["last_status"] == "Queued"


def test_a_load_that_ends_while_the_reaper_asks_is_left_alone(control: ControlDatabase, add: Add, sql: Sql) -> None:
    key = add()
    claim = _claim(control, key, DAGSTER)
    _later(sql, 6)

    def ends(run: str) -> bool | None:
        control.fail(claim, "its own word")
        return False

    reap: Callable[[], object] = lambda: control.reap_lost_loads(ends)  # noqa: E731  # one line, used once
    assert reap() == []
    assert row_of(control, key)["last_status_message"] == "its own word"
