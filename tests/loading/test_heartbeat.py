"""The thread that keeps a process's claims alive."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from uuid import UUID, uuid4

from dataloader_core.errors import ConfigurationError
from dataloader_core.loading.heartbeat import Heartbeat


class RefusedOnce:
    """A control database whose login is refused for a moment, as while a token is renewed."""

    def __init__(self) -> None:
        self.asked = 0
        self.twice = threading.Event()

    def heartbeat(self, running: Mapping[UUID, object]) -> set[UUID]:
        self.asked += 1
        if self.asked == 1:
            raise ConfigurationError("The token was refused.", cure="Wait.")
        self.twice.set()
        return set(running)


def test_a_login_that_is_refused_once_does_not_end_the_heartbeat() -> None:
    control, load = RefusedOnce(), uuid4()
    with Heartbeat(control, interval=0.01) as heartbeat:  # type: ignore[arg-type]  # it asks nothing else of it
        heartbeat.add(load)
        assert control.twice.wait(10)
        assert not heartbeat.lost(load)
