"""Waiting for a control database that went away in the middle of a load."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from dataloader_core.errors import ControlUnavailableError

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""What a load waits for before it gives up. Its commit is in the destination: the next load finds it there."""


def patiently(ask: Callable[[], T], stop: Callable[[], None], *, patience: float = PATIENCE_SECONDS) -> T:
    """Ask the control database, again and again while it is out of reach.

    Raises:
        ControlUnavailableError: still out of reach after ``patience`` seconds.
    """
    deadline, pause = time.monotonic() + patience, 0.2
    while True:
        try:
            return ask()
        except ControlUnavailableError as error:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("control database out of reach, asking again in %.1f s: %s", pause, error)
        time.sleep(pause)
        stop()
        pause = min(pause * 2, 5.0)
