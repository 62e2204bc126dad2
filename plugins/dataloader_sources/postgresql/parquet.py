"""The fast road: several connections in one snapshot, each written to Parquet by DuckDB, outside of Python."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from dataloader_core.interfaces.source import ParquetFile, ParquetOptions, Progress
from dataloader_core.plan import Column
from dataloader_sources.postgresql.scanner import Reader, ReaderSettings

_TICK = 0.1
"""Seconds between two looks at the readers: how late a cancellation may come."""
_GRACE = 30.0
"""Seconds that interrupted readers get to end, once the server has been told to end their connections."""


class ReadFailed(Exception):
    """A reader failed. Holds its SELECT and what DuckDB said, which may name values: never for people's eyes."""

    def __init__(self, sql: str | None, cause: BaseException) -> None:
        super().__init__(type(cause).__name__)
        self.sql = sql
        self.cause = cause


class ParquetCrew:
    """Readers that share out SELECTs and write one file for each.

    Args:
        settings: How each reader connects.
        selects: What to read, in the order of the files.
        columns: What each SELECT gives.
        terminate: Ends backends at the server, by process id; a reader that waits for rows hears nothing else.
    """

    def __init__(
        self,
        settings: ReaderSettings,
        selects: Sequence[str],
        columns: Sequence[Column],
        options: ParquetOptions,
        terminate: Callable[[Sequence[int]], None],
    ) -> None:
        self._settings = settings
        self._columns = columns
        self._options = options
        self._terminate = terminate
        self._open = deque(enumerate(selects))
        self._files: dict[int, ParquetFile] = {}
        self._failure: ReadFailed | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._readers: list[Reader] = []

    def write(self, threads: int, progress: Progress) -> list[ParquetFile]:
        """All files, in the order of the SELECTs. Every connection is closed when this returns or raises.

        Raises:
            ReadFailed: the first failure of a reader; the others were stopped.
            Whatever ``progress`` raises, likewise.
        """
        try:
            self._readers = [Reader(self._settings) for _ in range(min(threads, len(self._open)))]
        except Exception as error:  # noqa: BLE001  # as in a reader
            raise ReadFailed(None, error) from None
        workers = [threading.Thread(target=self._work, args=(reader,), daemon=True) for reader in self._readers]
        for worker in workers:
            worker.start()
        try:
            self._watch(workers, progress)
        except BaseException:
            self._stop(workers)
            raise
        if self._failure is not None:
            raise self._failure
        files = [self._files[number] for number in sorted(self._files)]
        progress(sum(file.rows for file in files), sum(file.bytes for file in files))
        return files

    def _watch(self, workers: Sequence[threading.Thread], progress: Progress) -> None:
        while any(worker.is_alive() for worker in workers):
            with self._changed:
                self._changed.wait(_TICK)
                files, failed = list(self._files.values()), self._failure is not None
            if failed:
                self._stop(workers)
                return
            size = sum(file.bytes for file in files) + sum(_size(reader.writing) for reader in self._readers)
            progress(sum(file.rows for file in files), size)

    def _stop(self, workers: Sequence[threading.Thread]) -> None:
        """Interrupt what computes, and end at the server what waits for it."""
        self._stopped = True
        deadline = time.monotonic() + _GRACE
        while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
            for reader in self._readers:
                reader.interrupt()
            self._terminate([reader.backend for reader in self._readers if reader.backend is not None])
            for worker in workers:
                worker.join(_TICK)

    def _work(self, reader: Reader) -> None:
        sql: str | None = None
        try:
            reader.open()
            while (task := self._next()) is not None:
                number, sql = task
                file = reader.copy(sql, self._columns, self._path(number), self._options)
                with self._changed:
                    if file is not None:
                        self._files[number] = file
                    self._changed.notify()
        except Exception as error:  # noqa: BLE001  # it is raised again where the load waits
            with self._changed:
                self._failure = self._failure or ReadFailed(sql, error)
        finally:
            reader.close()
            with self._changed:
                self._changed.notify()

    def _next(self) -> tuple[int, str] | None:
        with self._changed:
            return self._open.popleft() if self._open and not self._stopped and self._failure is None else None

    def _path(self, number: int) -> Path:
        return self._options.folder / f"{self._options.prefix}{number:05d}.parquet"


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except FileNotFoundError:
        return 0
