"""The process of a task: really started, really ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.databricks.workspace.routing import ApiError

_ROOT = Path(__file__).parents[3]


def command(task: Mapping[str, Any], volumes: Path, files: Mapping[str, Path]) -> list[str]:
    """How to start a task. ``files``: files of the workspace by their path."""
    start = [sys.executable, "-m", "tests.databricks.workspace.task", str(volumes)]
    if python := task.get("spark_python_task"):
        name = python["python_file"]
        local = volumes / name.removeprefix("/Volumes/") if name.startswith("/Volumes/") else files.get(name)
        if local is None or not local.is_file():
            raise FileNotFoundError(f"Cannot read the python file {name}: No such file or directory")
        return [*start, "file", str(local), *python.get("parameters", [])]
    if wheel := task.get("python_wheel_task"):
        return [*start, "wheel", wheel["package_name"], wheel["entry_point"], *wheel.get("parameters", [])]
    raise ApiError(400, "INVALID_PARAMETER_VALUE", "The stand-in runs spark_python_task and python_wheel_task only.")


class TaskProcess:
    """A process in a session of its own, so that what it starts can be ended with it."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                cwd=_ROOT,
                env={**environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, seconds: float | None = None) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def end(self, grace_seconds: float) -> None:
        """Ask, wait, and end it with all that it started."""
        with suppress(ProcessLookupError):
            if grace_seconds:
                self._process.terminate()
                self.wait(grace_seconds)
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_line(self) -> str:
        lines = self._output.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
