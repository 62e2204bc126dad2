"""Jobs that can be stopped: a load that is cancelled must not leave its reading behind on the cluster."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from dataloader_core.interfaces.source import Progress
from dataloader_engines.spark.kinds import is_connect
from dataloader_engines.spark.reading_errors import SPARK_ERRORS, being_stopped, raise_alone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_TICK: Final = 0.2
"""Seconds between two questions whether to go on: how late a cancellation may come."""


@dataclass(frozen=True)
class _Tags:
    """How jobs of one thread are marked, and ended by their mark from another thread.

    Both kinds of Spark have ``SparkSession.interruptTag``. A classic session's finds only the calling thread's own tags
    (seen with 4.1), so there the context's are used.
    """

    add: Callable[[str], None]
    remove: Callable[[str], None]
    end: Callable[[str], object]


def _tags_of(spark: SparkSession) -> _Tags:
    if is_connect(spark):
        return _Tags(spark.addTag, spark.removeTag, spark.interruptTag)
    context = spark.sparkContext
    return _Tags(context.addJobTag, context.removeJobTag, context.cancelJobsWithTag)


class _Watch(threading.Thread):
    """Asks whether to go on; once the answer was no, ends every job with the tag until it is told that it is over."""

    def __init__(self, end: Callable[[], object], progress: Progress) -> None:
        super().__init__(name="dataloader-spark-watch", daemon=True)
        self.error: BaseException | None = None
        self._end = end
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
            _quietly(self._end)
            self._over.wait(_TICK)

    def over(self) -> None:
        self._over.set()
        self.join()


def _quietly(end: Callable[[], object]) -> None:
    """A session that is going away has no jobs, and says so with an error."""
    try:
        end()
    except SPARK_ERRORS as error:
        log.info("a job could not be interrupted: %s", type(error).__name__)


@contextlib.contextmanager
def stoppable(spark: SparkSession, progress: Progress) -> Iterator[None]:
    """Around jobs of this thread: they end as soon as ``progress`` raises, or anything else ends the block.

    ``progress`` is called from another thread, without numbers: how far a job is, is not known before it ends.

    Raises:
        What ``progress`` raised, instead of Spark's own word for an interrupted job.
    """
    tag, tags = f"dataloader-{uuid4().hex}", _tags_of(spark)
    watch = _Watch(lambda: tags.end(tag), progress)
    tags.add(tag)
    stopped = being_stopped.set(lambda: watch.error is not None)
    watch.start()
    try:
        yield
    except BaseException:
        _quietly(lambda: tags.end(tag))
        if watch.error is None:
            raise
    finally:
        watch.over()
        being_stopped.reset(stopped)
        tags.remove(tag)
    if watch.error is not None:
        raise_alone(watch.error)
