"""One thread that keeps the claims of a process alive and notices which ones were lost."""

from __future__ import annotations

import logging
import threading
from uuid import UUID

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.records import LoadProgress
from dataloader_core.errors import DataLoaderError

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 15.0


class Heartbeat:
    """Renews the heartbeats of running loads every 15 s, with their progress.

    A control database that is out of reach is no reason to stop a load: should the claim be given to
    another meanwhile, the commit protocol keeps this one from committing.
    """

    def __init__(self, control: ControlDatabase, *, interval: float = INTERVAL_SECONDS) -> None:
        self._control = control
        self._interval = interval
        self._lock = threading.Lock()
        self._running: dict[UUID, LoadProgress | None] = {}
        self._lost: set[UUID] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="dataloader-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def add(self, load_id: UUID) -> None:
        with self._lock:
            self._running[load_id] = None

    def remove(self, load_id: UUID) -> None:
        with self._lock:
            self._running.pop(load_id, None)

    def tell(self, load_id: UUID, progress: LoadProgress) -> None:
        with self._lock:
            if load_id in self._running:
                self._running[load_id] = progress

    def lost(self, load_id: UUID) -> bool:
        """Whether the control database said that this load no longer holds its claim."""
        return load_id in self._lost

    def _beat(self) -> None:
        while not self._stop.wait(self._interval):
            with self._lock:
                running = dict(self._running)
            if not running:
                continue
            try:
                held = self._control.heartbeat(running)
            except DataLoaderError as error:
                # Of whatever kind: a login whose token is refused for a moment is no database error, and a thread that
                # ended would let every load of this process be reaped.
                log.warning("no heartbeat this time: %s", error)
                continue
            with self._lock:
                self._lost |= {load_id for load_id in running if load_id not in held and load_id in self._running}
