"""Errors of ours on their way from an executor to the load: Spark keeps of an exception only its text.

So an executor raises a text that holds the error's class, problem and cure; never a row's value, never a secret. The
row values that help to find a fault (``samples``) stay behind: Spark logs what a task raised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NoReturn

from pyspark.errors import PySparkException

from dataloader_core import errors
from dataloader_core.errors import DataLoaderError, MissingDriverError, SourceError, UnrepresentableValueError
from dataloader_core.interfaces.source import SourceSnapshot
from dataloader_core.plan import Read
from dataloader_core.redaction import redact_known

try:
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # PySpark brings it, without types
except ImportError:  # a client of Spark Connect alone
    Py4JError = PySparkException

SPARK_ERRORS: Final[tuple[type[BaseException], ...]] = (PySparkException, Py4JError)
"""What a failed job raises: classic Spark some as the one, some as the other; Connect always the first."""
_MARK: Final = "dataloader-error "
_JDBC: Final = re.compile(r"\bjava\.sql\.|SQL\w*Exception")
_NO_MODULE: Final = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


being_stopped: Final[ContextVar[Callable[[], bool]]] = ContextVar("being_stopped", default=lambda: False)
"""Whether somebody ended the jobs of this thread: what they then say is no question for the source."""


class CarriedError(Exception):
    """Raised in a task: its text is all that reaches the driver."""


def as_text(error: DataLoaderError) -> str:
    """The error as a text that :func:`carried` finds in whatever Spark puts around it."""
    told = {"class": type(error).__name__, "problem": error.problem, "cure": error.cure}
    return _MARK + redact_known(json.dumps(told))


def carried(text: str) -> DataLoaderError | None:
    """The error that a failed job's text carries, if it carries one."""
    start = text.find(_MARK)
    if start < 0:
        return None
    try:
        told, _ = json.JSONDecoder().raw_decode(text, start + len(_MARK))
        kind, problem, cure = told["class"], told["problem"], told["cure"]
    except (ValueError, KeyError, TypeError):
        return None
    return _class_of(kind)(problem, cure=cure)


def _class_of(name: str) -> type[DataLoaderError]:
    """The class of that name, or the nearest of its bases that is made of a problem and a cure alone."""
    found = getattr(errors, name, None)
    if not (isinstance(found, type) and issubclass(found, DataLoaderError)):
        return SourceError
    return next(
        kind
        for kind in found.__mro__
        if issubclass(kind, DataLoaderError) and kind.__init__ is DataLoaderError.__init__
    )


@contextmanager
def reading_errors(snapshot: SourceSnapshot, read: Read, *, told: bool = False) -> Iterator[None]:
    """Around a job that carries out a read: what failed at the source comes out as the error that it was.

    Errors of Spark that are about something else pass unchanged.

    Args:
        told: The source has said already that every value can be held, and is not asked for it again.

    Raises:
        DataLoaderError: what an executor raised, or what the source says when it is asked again.
    """
    try:
        yield
    except SPARK_ERRORS as error:
        problem = None if being_stopped.get()() else _of_source(str(error), snapshot, read, told)
        if problem is None:
            raise
    else:
        return
    raise_alone(problem)


def raise_alone(error: BaseException) -> NoReturn:
    """Raise an error without the one that is being handled: Spark's words quote what was read."""
    try:
        raise error
    finally:
        error.__context__ = None


def _of_source(text: str, snapshot: SourceSnapshot, read: Read, told: bool) -> DataLoaderError | None:
    if missing := _NO_MODULE.search(text):
        return MissingDriverError(
            f"The Python that Spark runs has no module {missing[1]!r}.",
            cure="Install dataloader-core with the source's extra on the cluster's nodes; on this machine, set "
            "PYSPARK_PYTHON to the Python that has it before Spark starts.",
        )
    problem = carried(text)
    if problem is not None and not isinstance(problem, UnrepresentableValueError):
        return problem
    try:
        refused = None if told else _unrepresentable(snapshot, read)
        return refused or problem or _of_jdbc(text, snapshot, read)
    except DataLoaderError as lost:
        return lost


def _unrepresentable(snapshot: SourceSnapshot, read: Read) -> UnrepresentableValueError | None:
    found = snapshot.unrepresentable(read, None) if read.on_unrepresentable == "fail" else ()
    if not found:
        return None
    listed = "; ".join(f"{u.column}: {u.kind} in {u.rows} rows" for u in found)
    return UnrepresentableValueError(
        f"Values that the column's type cannot hold: {listed}.",
        cure="Set on_unrepresentable to 'null', correct them at the source, or cast the column in a `query`.",
    )


def _of_jdbc(text: str, snapshot: SourceSnapshot, read: Read) -> DataLoaderError | None:
    """Drivers speak in words of their own and quote values: the source is asked instead."""
    return snapshot.why_failed(read) if _JDBC.search(text) else None
