"""Fail points end, stop and fail real processes, at the hit that was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader_core.errors import ConfigurationError
from dataloader_core.failpoints import parse

CODE = (
    "from dataloader_core.failpoints import hit\nfor n in range(3):\n    hit('a.b'); hit('c.d'); print(n, flush=True)"
)


def run(points: str, log: Path | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "DATALOADER_FAILPOINTS": points}
    if log:
        environment["DATALOADER_FAILPOINTS_LOG"] = str(log)
    return subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_without_points_nothing_happens() -> None:
    out, _ = run("").communicate(timeout=30)
    assert out == "0\n1\n2\n"


def test_kill_at_the_second_hit() -> None:
    process = run("a.b=kill:2")
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("0\n", -signal.SIGKILL)


def test_exit_at_once() -> None:
    process = run("x.y=kill;c.d=exit")
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("", 70)


def test_raise_names_the_point() -> None:
    _, errors = run("c.d=raise:3").communicate(timeout=30)
    assert errors.endswith("RuntimeError: fail point c.d\n")


@pytest.mark.parametrize("action", ["stop", "pause"])
def test_stop_until_continued(action: str) -> None:
    process = run(f"a.b={action}")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=30)
    assert out == "0\n1\n2\n"


def test_the_log_names_every_point_passed(tmp_path: Path) -> None:
    log = tmp_path / "hits"
    run("c.d=kill", log).communicate(timeout=30)
    assert log.read_text() == "a.b\nc.d\n"


@pytest.mark.parametrize("text", ["a", "a=", "a=explode", "a=kill:0", "a=kill:x", "a=kill:-1"])
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="DATALOADER_FAILPOINTS has"):
        parse(f"ok=kill;{text}")
