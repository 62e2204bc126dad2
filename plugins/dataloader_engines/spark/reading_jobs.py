"""Jobs that can be stopped: a load that is cancelled must not leave its reading behind on the cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from dataloader_core.interfaces.source import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TICK: Final = 0.2
"""Seconds between two questions whether to go on: how late a cancellation may come."""


class _Watch(threading.Thread):
    """Asks whether to go on; once the answer was no, interrupts every job with the tag until it is told to end."""

    def __init__(self, spark: SparkSession, tag: str, progress: Progress) -> None:
        super().__init__(name="dataloader-spark-watch", daemon=True)
        self.error: BaseException | None = None
        self._spark = spark
        self._tag = tag
        self._progress = progress
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(_TICK):
            try:
                self._progress(0, 0)
            except BaseException as error:  # noqa: BLE001  # it is raised again where the job is waited for
                self.error = error
                break
        while not self._over.is_set():
            interrupt(self._spark, self._tag)
            self._over.wait(_TICK)

    def end(self) -> None:
        self._over.set()
        self.join()


def interrupt(spark: SparkSession, tag: str) -> None:
    """End the jobs of this tag, if there are any; a session that is going away has none."""
    with contextlib.suppress(Exception):
        spark.interruptTag(tag)


@contextlib.contextmanager
def stoppable(spark: SparkSession, progress: Progress) -> Iterator[None]:
    """Around jobs of this thread: they end as soon as ``progress`` raises, or anything else ends the block.

    Both kinds of Spark know a job by its tag; a tag belongs to the thread that sets it. ``progress`` is called from
    another thread, without numbers: how far a job is, is not known before it ends.

    Raises:
        What ``progress`` raised, instead of Spark's own word for an interrupted job.
    """
    tag = f"dataloader-{uuid4().hex}"
    spark.addTag(tag)
    watch = _Watch(spark, tag, progress)
    watch.start()
    try:
        yield
    except BaseException:
        interrupt(spark, tag)
        if watch.error is None:
            raise
    finally:
        watch.end()
        spark.removeTag(tag)
    if watch.error is not None:
        raise watch.error
