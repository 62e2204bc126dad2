"""Processes of a test's own: scripts that it runs, and those that a process started, by Linux's own account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


def run_script(script: Path, *arguments: str) -> tuple[Any, str]:
    """Run a Python script to its end: the JSON of its last line, and all of its stderr."""
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def descendants(pid: int) -> dict[int, str]:
    """Command lines of all living processes below one, by their ids."""
    found: dict[int, str] = {}
    for child in _children(pid):
        with suppress(OSError):
            found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        found |= descendants(child)
    return found


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]
    return []
