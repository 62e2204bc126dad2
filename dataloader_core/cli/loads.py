"""Carrying out claims in this process, with an end for every one of them however the process is asked to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from dataloader_core.cli.exit_codes import ExitCode
from dataloader_core.cli.render import Output

if TYPE_CHECKING:
    from dataloader_core.app import App
    from dataloader_core.cli.progress import ProgressView
    from dataloader_core.control.records import Claim, Outcome
    from dataloader_core.loading.loader import DataLoader


AWAKE_SECONDS = 0.5
"""The main thread never sleeps longer: a signal that went to another thread is handled only when it wakes."""


class Loads:
    """Runs batches of claims of one source each, several batches at a time.

    After :meth:`cancel` running loads end as cancelled, and so do claims that are given later.
    """

    def __init__(self, app: App, view: ProgressView) -> None:
        self._app = app
        self._view = view
        self._lock = threading.Lock()
        self._loaders: set[DataLoader] = set()
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()
        with self._lock:
            for loader in self._loaders:
                loader.cancel()

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond :meth:`cancel`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.cancelled.wait(min(left, AWAKE_SECONDS)):
            continue

    def process(self, batches: Sequence[Sequence[Claim]]) -> list[Outcome]:
        """The outcomes of all batches; each batch has a loader and a thread of its own."""
        if not batches:
            return []
        with ThreadPoolExecutor(len(batches), "dataloader-batch") as pool:
            running = [pool.submit(self.batch, batch) for batch in batches]
            while wait(running, timeout=AWAKE_SECONDS).not_done:
                continue
            return [outcome for ended in running for outcome in ended.result()]

    def batch(self, claims: Sequence[Claim]) -> list[Outcome]:
        """One batch, in the calling thread."""
        from dataloader_core.loading.loader import DataLoader

        app = self._app
        loader = DataLoader(
            claims[0].source,
            app.control,
            app.registry,
            app.settings,
            app.engine,
            pool=app.settings.pool_size,
            on_outcome=self._view.outcome,
            on_progress=self._view.progress,
        )
        with self._lock:
            self._loaders.add(loader)
            if self.cancelled.is_set():
                loader.cancel()
        try:
            return loader.process_tables(claims)
        finally:
            with self._lock:
                self._loaders.discard(loader)


@contextmanager
def stopped_by_signals(loads: Loads, out: Output) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends the loads in order; a second one ends the process, as a kill would."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if loads.cancelled.is_set():
            os._exit(ExitCode.INTERRUPTED)
        # In a thread: the loads' lock may be held by the very frame that the signal interrupts.
        threading.Thread(target=loads.cancel, name="dataloader-cancel").start()
        loads.cancelled.set()
        os.write(2, b"\nStopping: running loads end as cancelled. Once more ends the process at once.\n")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
