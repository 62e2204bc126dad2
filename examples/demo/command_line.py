"""The command line, called as a person calls it."""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from pathlib import Path

from rich.console import Console
from rich.text import Text

_LINES = 12


def dataloader(console: Console, *arguments: str) -> None:
    """Run `dataloader ...`, show the command and what it said.

    Raises:
        SystemExit: it failed; what it said was shown.
    """
    program = Path(sysconfig.get_path("scripts")) / "dataloader"
    console.print(Text(f"  $ dataloader {shlex.join(arguments)}", style="bold"), soft_wrap=True)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    for line in _shortened((done.stdout + done.stderr).strip().splitlines()):
        console.print(Text(f"    {line}", style="dim"), soft_wrap=True)
    if done.returncode:
        raise SystemExit(f"dataloader {arguments[0]} failed with exit code {done.returncode}.")


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= _LINES:
        return lines
    return [*lines[: _LINES - 2], f"... ({len(lines) - _LINES + 1} more lines)", lines[-1]]
