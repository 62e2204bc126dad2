"""What storage, delta-rs and DuckDB say, told as DataLoader's errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError, TableNotFoundError

from dataloader_core.errors import (
    DestinationError,
    DestinationRefusedError,
    DestinationUnavailableError,
    RivalCommitError,
)
from dataloader_engines.local.commits import CLEANED_UP, NotCommittedError

_FULL = ("no space left", "quota exceeded", "disk full", "(os error 28)")
_DENIED = ("permission denied", "read-only file system", "accessdenied", "access denied", "forbidden")
_UNHANDLED = ("unsupported", "max catalog version", "invalid protocol", "schema error", "kernel error: protocol")
_GONE = ("no such file", "no files found", "not found", "notfound")


def rival(location: str) -> RivalCommitError:
    return RivalCommitError(f"Somebody else committed to {location} meanwhile.", cure="The load looks again.")


@contextmanager
def destination_errors(location: str) -> Iterator[None]:
    """Turn what goes wrong at the destination into errors that say whether trying again helps."""
    try:
        yield
    except NotCommittedError as error:
        raise _translated(location, error.__cause__ or error) from error.__cause__
    except (OSError, DeltaError, duckdb.Error) as error:
        raise _translated(location, error) from error


def _translated(location: str, error: BaseException) -> DestinationError:
    if told := _told(location, error):
        return told
    if isinstance(error, duckdb.OutOfMemoryException):
        return DestinationRefusedError(
            f"Rows for {location} do not fit into the memory allowed.", cure="Raise DATALOADER_MEMORY_MB."
        )
    if isinstance(error, DeltaProtocolError) or (
        isinstance(error, DeltaError) and any(t in str(error).casefold() for t in _UNHANDLED)
    ):
        return DestinationRefusedError(
            f"{location} uses Delta features that this engine does not handle: {_first_line(error)}.",
            cure="Use the spark engine.",
        )
    if isinstance(error, CommitFailedError) or CLEANED_UP in str(error):
        return rival(location)
    return DestinationUnavailableError(f"{location} cannot be read or written: {_first_line(error)}.")


def _told(location: str, error: BaseException) -> DestinationError | None:
    text = str(error).casefold()
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or any(t in text for t in _FULL):
        return DestinationUnavailableError(
            f"There is no space left for {location}; nothing of it was changed.",
            cure="Free some space; then load again.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or any(t in text for t in _DENIED):
        return DestinationRefusedError(
            f"No permission to read or write {location}.", cure="Grant this process the right to read and write there."
        )
    if number in (errno.ENOTDIR, errno.EEXIST) or "not a directory" in text:
        return DestinationRefusedError(f"A part of {location} is a file, not a folder.", cure="Move that file away.")
    if not isinstance(error, TableNotFoundError) and (number == errno.ENOENT or any(t in text for t in _GONE)):
        return DestinationUnavailableError(
            f"A file of {location} is gone.",
            cure="Somebody may have vacuumed or deleted it; restore it or set load_full.",
        )
    return None


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0].rstrip(".")[:300] if str(error) else type(error).__name__
