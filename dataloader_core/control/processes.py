"""Processes of this host: who holds a claim, and whether it still lives."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Literal

from dataloader_core.control.records import Holder


def this_process(kind: Literal["dagster", "worker", "hand"], *, run_id: str | None = None) -> Holder:
    """A holder that is the calling process."""
    pid = os.getpid()
    return Holder(kind, socket.gethostname(), pid, process_started(pid), run_id, _user())


def process_started(pid: int) -> float | None:
    """Clock ticks after the boot at which the process started; None where that cannot be known.

    Field 22 of ``/proc/<pid>/stat``, counted behind the name in parentheses (which may hold blanks itself).
    """
    fields = _stat(pid)
    return float(fields[19]) if len(fields) > 19 else None


def is_gone(holder: Holder) -> bool:
    """Whether the process is known to have ended; a pid that somebody else has by now counts.

    Only processes of this host can be known.
    """
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    now = process_started(holder.pid)
    if _stat(holder.pid)[:1] == ["Z"]:
        return True
    return None not in (now, holder.process_started) and now != holder.process_started


def _stat(pid: int) -> list[str]:
    """The fields behind the name, from the third on (the state); none where there is no such file."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
