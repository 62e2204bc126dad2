"""What a failed read means. DuckDB and ADBC give text only, so the source is asked again for an error code."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataloader_core.errors import (
    DataLoaderError,
    DestinationRefusedError,
    DestinationUnavailableError,
    MissingDriverError,
    SourceRefusedError,
    SourceUnavailableError,
    UnrepresentableValueError,
)
from dataloader_core.interfaces.source import Unrepresentable
from dataloader_core.plan import Column

_NOT_TEXT = re.compile(r"invalid unicode|not valid utf-?8|invalid utf-?8|byte sequence", re.IGNORECASE)
_FULL = re.compile(r"no space left|disk quota", re.IGNORECASE)
_DENIED = re.compile(r"permission denied|read-only file system", re.IGNORECASE)
_LOST = re.compile(
    r"terminating connection|server closed the connection|connection to server|no connection to the server|"
    r"could not (receive|send) data|unable to connect|ssl (error|syscall)|connection (reset|timed out|refused)",
    re.IGNORECASE,
)
_TIMED_OUT = re.compile(r"statement timeout", re.IGNORECASE)
_DRIVERS = ("duckdb", "_duckdb", "adbc_driver_manager", "pyarrow")
_FROM_THE_SOURCE = ("IOException", "ConnectionException", "OperationalError")
"""DuckDB's and ADBC's errors for what a server said; other classes are their own."""


@dataclass(frozen=True)
class Diagnosis:
    """Ways to find out more, in the same snapshot.

    Attributes:
        replay: Reads a SELECT again, to nowhere: the error of ours that the server's code means, or None.
        guarded: Values among the rows of the read that their types cannot hold.
        not_text: A text column whose bytes are not UTF-8.
    """

    replay: Callable[[str], DataLoaderError | None]
    guarded: Callable[[], Sequence[Unrepresentable]]
    not_text: Callable[[], Column | None]


def explain(cause: BaseException, sql: str | None, diagnosis: Diagnosis) -> DataLoaderError:
    """The error that says what happened, without the reader's own text: it repeats SQL, values and addresses.

    Raises:
        BaseException: ``cause`` itself, where no driver raised it: a fault of this program.
    """
    if isinstance(cause, DataLoaderError):
        return cause
    if isinstance(cause, ImportError):
        return MissingDriverError(
            f"{cause.name or 'A driver'} is not installed.", cure="Run: pip install 'dataloader-core[postgresql]'."
        )
    if not isinstance(cause, OSError) and not type(cause).__module__.startswith(_DRIVERS):
        raise cause
    text = str(cause)
    if _NOT_TEXT.search(text) and (column := diagnosis.not_text()) is not None:
        return not_text(column)
    if _LOST.search(text):
        return lost()
    if _TIMED_OUT.search(text):
        return SourceUnavailableError(
            "The source ended the read: the statement time-out was reached.", cure="Raise the statement time-out."
        )
    return _ask_again(cause, sql, diagnosis)


def unwritable(cause: BaseException, folder: Path) -> DataLoaderError | None:
    """What kept a file from being written to ``folder``; None where the file is not what failed.

    DuckDB names the file: a server's own full disk has the same words, but not this path.
    """
    text = str(cause)
    if isinstance(cause, DataLoaderError) or str(folder) not in text:
        return None
    if _FULL.search(text):
        return DestinationUnavailableError(
            f"There is no space left in {folder}.", cure="Free some space; then load again."
        )
    if _DENIED.search(text):
        return DestinationRefusedError(
            f"No permission to write to {folder}.", cure="Grant this process the right to write there."
        )
    return DestinationUnavailableError(
        f"A Parquet file could not be written to {folder}.", cure="Make sure that the folder is there; then load again."
    )


def _ask_again(cause: BaseException, sql: str | None, diagnosis: Diagnosis) -> DataLoaderError:
    """For what the text does not tell: servers answer in many languages, and only their codes are the same."""
    try:
        if sql is not None and (error := diagnosis.replay(sql)) is not None:
            return error
        if found := diagnosis.guarded():
            return guarded(found)
    except DataLoaderError as error:
        return error
    if sql is None or isinstance(cause, OSError) or type(cause).__name__ in _FROM_THE_SOURCE:
        # It failed at the source then and does not now: a conflict with recovery, a restart, a lock.
        return lost()
    return SourceRefusedError(
        "The reader could not take what the source sent.",
        cure="Choose another way_of_reading, or leave columns out until it works.",
        samples=(str(cause),),
    )


def lost() -> SourceUnavailableError:
    return SourceUnavailableError("The source went away in the middle of the read.", cure="Run the load again.")


def not_text(column: Column) -> UnrepresentableValueError:
    return UnrepresentableValueError(
        f"Column {column.name!r} holds bytes that are not UTF-8.",
        cure="Correct them at the source, leave the column out, or read it as bytes with a query of your own.",
    )


def type_changed(column: Column, found: str, wanted: str) -> SourceUnavailableError:
    """A reader gets another type than the plan says, which the next plan will know."""
    return SourceUnavailableError(
        f"Column {column.name!r} was {column.native} when the load was planned and arrives as {found}, not as "
        f"{wanted}: its type changed meanwhile.",
        cure="Load again: the next plan reads the new type.",
    )


def guarded(found: Sequence[Unrepresentable]) -> UnrepresentableValueError:
    named = ", ".join(f"{u.column!r}: {u.kind} ({u.rows} row{'s' if u.rows != 1 else ''})" for u in found)
    return UnrepresentableValueError(
        f"Values that the target type cannot hold: {named}.",
        cure="Correct them at the source, or set on_unrepresentable = null.",
    )
