"""Who this process is, so that others can tell whether it still lives."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Literal

from dataloader_core.control.records import Holder


def this_process(carrier: Holder | None = None, *, kind: Literal["worker", "hand"] = "worker") -> Holder:
    """A holder for this process; with ``carrier`` the same run, now in the hands of this process."""
    pid = os.getpid()
    here = Holder(kind, socket.gethostname(), pid, process_started(pid), user=_user())
    if carrier is None:
        return here
    return replace(here, kind=carrier.kind, run_id=carrier.run_id, user=carrier.user or here.user)


def process_started(pid: int) -> float | None:
    """Clock ticks since boot at which a process of this host started; None: no such process, or it cannot be known.

    A pid comes back with another process; together with its start it does not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return float(fields[19])


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
