"""Waiting for a control database that went away, or does not let us in, in the middle of a load."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from dataloader_core.errors import ControlLoginError, ControlUnavailableError

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""What a load waits for before it gives up. Its commit is in the destination: the next load finds it there."""


def patiently(ask: Callable[[], T], stop: Callable[[], None], *, patience: float = PATIENCE_SECONDS) -> T:
    """Ask the control database, again and again while it is out of reach or refuses the login.

    Raises:
        ControlUnavailableError: still out of reach after ``patience`` seconds.
        ControlLoginError: the login is still refused: it was no credential that was being renewed.
    """
    deadline, pause = time.monotonic() + patience, 0.2
    while True:
        try:
            return ask()
        except (ControlUnavailableError, ControlLoginError) as error:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("control database out of reach, asking again in %.1f s: %s", pause, error)
        time.sleep(pause)
        stop()
        pause = min(pause * 2, 5.0)
