"""Named points at which a test may end, stop or fail a process. Without the variable they cost one comparison.

``DATALOADER_FAILPOINTS="engine.before_commit=kill:2;control.claim=pause"`` arms points. An action is

- ``kill``: SIGKILL this process, as a crash of the machine would;
- ``stop`` or ``pause``: SIGSTOP this process until somebody sends SIGCONT;
- ``raise``: raise ``RuntimeError``;
- ``exit``: leave at once with status 70, without clean-up.

``:n`` is the hit at which the action happens (default 1), counted in each process for itself. It happens once.
``DATALOADER_FAILPOINTS_LOG=<file>`` appends the name of every point that is passed, one a line, before its action.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

from dataloader_core.errors import ConfigurationError

POINTS_VARIABLE: Final = "DATALOADER_FAILPOINTS"
LOG_VARIABLE: Final = "DATALOADER_FAILPOINTS_LOG"
ACTIONS: Final = ("kill", "stop", "pause", "raise", "exit")
EXIT_STATUS: Final = 70


def parse(text: str) -> dict[str, tuple[str, int]]:
    """Points by name, each with its action and the number of the hit that triggers it.

    Raises:
        ConfigurationError: an unknown action, or no positive number behind the colon.
    """
    points: dict[str, tuple[str, int]] = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, _, rest = entry.partition("=")
        action, _, count = rest.partition(":")
        if action not in ACTIONS or not (count == "" or (count.isdecimal() and int(count) > 0)):
            raise ConfigurationError(
                f"{POINTS_VARIABLE} has {entry!r}.",
                cure=f"Write name=action or name=action:n, with an action of {', '.join(ACTIONS)}.",
            )
        points[name.strip()] = (action, int(count or 1))
    return points


class _Armed:
    """What the environment asked for, and how often each point was passed in this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.points = parse(environ.get(POINTS_VARIABLE, ""))
        self.log = environ.get(LOG_VARIABLE)
        self._hits: Counter[str] = Counter()
        self._lock = threading.Lock()

    def hit(self, name: str) -> None:
        if self.log:
            # One write of one line: O_APPEND keeps lines of several processes whole.
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"{name}\n")
        with self._lock:
            self._hits[name] += 1
            hits = self._hits[name]
        action, at = self.points.get(name, ("", 0))
        if hits == at:
            _act(name, action)


def _act(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action in ("stop", "pause"):
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "exit":
        os._exit(EXIT_STATUS)
    else:
        raise RuntimeError(f"fail point {name}")


_armed: _Armed | None = _Armed(os.environ) if POINTS_VARIABLE in os.environ or LOG_VARIABLE in os.environ else None


def hit(name: str) -> None:
    """Pass the point ``name``; names are ``<part>.<moment>``, for instance ``engine.before_commit``."""
    if _armed is not None:
        _armed.hit(name)


def arm(environ: Mapping[str, str]) -> None:
    """Arm anew from these variables: for a process that was forked after this module was imported."""
    global _armed
    _armed = _Armed(environ)
