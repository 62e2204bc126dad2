"""What a tick does about launched runs whose Dagster run is over, whatever their launchers do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from unittest.mock import Mock

import pytest

from dataloader_core.app import App
from dataloader_core.control.records import LaunchedRun
from dataloader_core.errors import TransientError
from dataloader_dagster import launching
from dataloader_dagster.launching import end_orphans
from dataloader_dagster.runs import DagsterRuns

log = logging.getLogger(__name__)
End = Callable[[str], bool]


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sequence[str]]:
    """Look once at these references, by a launcher that ends them so; those that were forgotten afterwards."""

    def look(end: End, *references: str, seconds: float = 5.0) -> Sequence[str]:
        app, runs = Mock(), Mock(spec=DagsterRuns)
        app.control.open_launches.return_value = [LaunchedRun("run", "there", one, None) for one in references]
        runs.is_over.return_value = True
        monkeypatch.setattr(launching, "launcher", lambda registry, name: Mock(end=end))
        end_orphans(cast(App, app), cast(DagsterRuns, runs), log, seconds)
        return [call.args[0].reference for call in app.control.launch_ended.call_args_list]

    return look


@pytest.mark.parametrize("error", [TransientError("out of reach"), RuntimeError("hunter2")])
def test_one_that_cannot_be_asked_does_not_hide_the_others(
    forgotten: Callable[..., Any], caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def end(reference: str) -> bool:
        if reference == "bad":
            raise error
        return True

    assert forgotten(end, "bad", "good") == ["good"]
    assert "bad may go on" in caplog.text
    assert "hunter2" not in caplog.text


def test_one_that_goes_on_is_asked_again(forgotten: Callable[..., Any]) -> None:
    assert forgotten(lambda reference: reference == "over", "goes on", "over") == ["over"]


def test_a_client_that_hangs_does_not_hold_up_the_tick(forgotten: Callable[..., Any]) -> None:
    release, asked = threading.Event(), []

    def hang(reference: str) -> bool:
        asked.append(reference)
        return release.wait(300)

    began = time.monotonic()
    assert forgotten(hang, "one", "two", seconds=0.2) == []
    assert forgotten(hang, "one", "two", seconds=0.2) == []
    assert time.monotonic() - began < 60
    assert asked == ["one"], "what hangs does not pile up"
    release.set()
    assert forgotten(lambda reference: True, "one", "two") == ["one", "two"]
