"""What Spark and Delta say, told as DataLoader's errors.

Spark's texts may hold row values (the value that a cast or a constraint refused) and stack traces: nothing of them is
passed on but the error condition, which is a name, and what a catalog says about a grant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dataloader_core.errors import (
    ConfigurationError,
    DataLoaderError,
    DestinationRefusedError,
    DestinationUnavailableError,
    RivalCommitError,
    UnrepresentableValueError,
)
from dataloader_engines.spark.reading_errors import SPARK_ERRORS, carried

__all__ = ["SPARK_ERRORS", "condition_of", "rival", "spark_errors", "translated"]

_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]")
_JAVA_CLASS = re.compile(r"\b(?:java|scala|org|io|com)\.[\w.]*\.(\w*(?:Exception|Error))\b")
_GRANT = re.compile(
    r"(?:does not have|lacks|requires?)[^\n]{0,20}?\b([A-Z]{3,}(?: [A-Z]+)*) on (\w+(?: \w+)?) '([^'\n]+)'"
)
_CONSTRAINT = re.compile(r"(?:CHECK constraint|NOT NULL constraint|constraint)[: ]+(\w+)", re.IGNORECASE)

_RIVAL: Final = (
    "DELTA_CONCURRENT_", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED", "ConcurrentTransactionException",
    "ConcurrentModificationException", "ConcurrentAppendException", "ConcurrentDelete", "ConcurrentWriteException",
    "MetadataChangedException", "ProtocolChangedException", "DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS",
)  # fmt: skip
_MISMATCH: Final = ("NoSuchMethodError", "NoClassDefFoundError", "ClassNotFoundException", "AbstractMethodError")
_NO_SPARK: Final = (
    "Py4JNetworkError", "Connection refused", "INVALID_HANDLE.SESSION", "SESSION_CLOSED", "SESSION_NOT_FOUND",
    "StatusCode.UNAVAILABLE", "Answer from Java side is empty", "SparkContext was shut down", "stopped SparkContext",
    "ExecutorLostFailure", "cluster terminated", "Error while obtaining a new communication channel",
)  # fmt: skip
_WORKER: Final = ("Python worker exited unexpectedly", "Python worker faulthandler", "PythonWorkerDied")
_MEMORY: Final = ("OutOfMemoryError", "UNABLE_TO_ACQUIRE_MEMORY", "Container killed by YARN", "exit code 137")
_DENIED: Final = (
    "PERMISSION_DENIED", "INSUFFICIENT_PERMISSIONS", "INSUFFICIENT_PRIVILEGES", "UNAUTHORIZED_ACCESS", "AccessDenied",
    "AccessControlException", "Permission denied", "StatusCode.UNAUTHENTICATED", "403 Forbidden",
)  # fmt: skip
_FULL: Final = ("No space left on device", "DiskQuotaExceeded", "Disk quota exceeded", "QuotaExceeded")
_NO_FOLDER: Final = ("DELTA_CANNOT_CREATE_LOG_PATH", "NotDirectoryException", "ParentNotDirectoryException")
_NO_SCHEMA: Final = ("SCHEMA_NOT_FOUND", "NO_SUCH_CATALOG", "CATALOG_NOT_FOUND", "REQUIRES_SINGLE_PART_NAMESPACE")
_GONE: Final = (
    "FILE_NOT_EXIST", "FAILED_READ_FILE", "PATH_NOT_FOUND", "FileNotFoundException", "DELTA_FILE_NOT_FOUND",
    "TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE", "DELTA_PATH_DOES_NOT_EXIST",
)  # fmt: skip
_FEATURES: Final = ("DELTA_UNSUPPORTED_FEATURES", "DELTA_INVALID_PROTOCOL_VERSION", "DELTA_FEATURES_PROTOCOL")
_REFUSED: Final = (
    "UNRESOLVED_COLUMN", "AMBIGUOUS_REFERENCE", "DATATYPE_MISMATCH", "INCOMPATIBLE_DATA_FOR_TABLE",
    "PARSE_SYNTAX_ERROR",
    "DELTA_FAILED_TO_MERGE_FIELDS", "DELTA_DUPLICATE_COLUMNS_FOUND", "DELTA_INVALID_CHARACTERS_IN_COLUMN_NAME",
    "DELTA_IDENTITY_COLUMNS", "DELTA_CLUSTERING_COLUMN", "DELTA_ICEBERG_COMPAT_VIOLATION", "DELTA_UNIVERSAL_FORMAT",
    "DELTA_VIOLATE_TABLE_PROPERTY_VALIDATION_FAILED", "DELTA_UNSUPPORTED_ALTER_TABLE",
)  # fmt: skip
"""What a table or a statement is, and will be when it is tried again."""
_VALUES: Final = ("CAST_INVALID_INPUT", "CAST_OVERFLOW", "NUMERIC_VALUE_OUT_OF_RANGE", "ARITHMETIC_OVERFLOW")


def rival(location: str) -> RivalCommitError:
    return RivalCommitError(f"Somebody else committed to {location} meanwhile.", cure="The load looks again.")


def condition_of(error: BaseException) -> str:
    """Spark's name for what happened, or the class of the innermost exception; never a value."""
    told = getattr(error, "getCondition", lambda: None)()
    if told:
        return str(told)
    text = str(error)
    if match := _CONDITION.search(text):
        return match[1]
    found = _JAVA_CLASS.findall(text)
    return found[-1] if found else type(error).__name__


@contextmanager
def spark_errors(location: str) -> Iterator[None]:
    """Turn what goes wrong in Spark into errors that say whether trying again helps."""
    try:
        yield
    except SPARK_ERRORS as error:
        try:
            problem = translated(location, error)
        except (OSError, EOFError):  # an error's text is asked of the JVM, which may be gone by now
            problem = _no_spark(location)
    except (ConnectionError, EOFError):
        problem = _no_spark(location)
    else:
        return
    raise problem  # outside the handler: the stack trace, and the values in it, must not travel along


def translated(location: str, error: BaseException) -> DataLoaderError:
    name = condition_of(error)
    text = f"{type(error).__name__} {name} {error}"
    if (problem := carried(text)) is not None:
        return problem
    if _says(text, _RIVAL):
        return rival(location)
    if _says(text, _MISMATCH):
        return ConfigurationError(
            f"Spark and the jar of Delta do not fit together ({name}).",
            cure="Use the Delta that is made for this Spark; `dataloader doctor` says which.",
        )
    if _says(text, _NO_SPARK) or _cut_off(error):
        return _no_spark(location)
    if _says(text, _WORKER):
        return DestinationUnavailableError(
            f"A Python worker of Spark was killed while it worked on {location}, most often for want of memory.",
            cure="Give the workers more memory (spark.executor.memoryOverhead), cut the read into more pieces "
            "(`parallel` of the source), or set way_of_reading to jdbc.",
        )
    if _says(text, _MEMORY):
        return DestinationUnavailableError(
            f"Spark ran out of memory with {location}.",
            cure="Give driver and executors more memory, or cut the read into more pieces (`parallel` of the source).",
        )
    return _of_storage(location, name, text) or _of_table(location, name, text)


def _of_storage(location: str, name: str, text: str) -> DataLoaderError | None:
    if _says(text, _DENIED):
        found = _GRANT.search(text)
        what = f": {found[1]} on {found[2]} {found[3]} is missing" if found else ""
        return DestinationRefusedError(
            f"No permission to read or write {location}{what}.", cure="Grant it to whoever runs the load."
        )
    if _says(text, _FULL):
        return DestinationUnavailableError(
            f"There is no space left for {location}; nothing of it was changed.",
            cure="Free some space; then load again.",
        )
    if _says(text, _NO_FOLDER):
        return DestinationRefusedError(f"A part of {location} is a file, not a folder.", cure="Move that file away.")
    if _says(text, _NO_SCHEMA):
        return DestinationRefusedError(
            f"The catalog or schema of {location} does not exist, or may not be seen ({name}).",
            cure="Create it, or grant USE CATALOG and USE SCHEMA.",
        )
    if _says(text, _GONE):
        return DestinationUnavailableError(
            f"{location}, or a file of it, is gone ({name}).",
            cure="Somebody may have vacuumed or dropped it; restore it or set load_full.",
        )
    return None


def _of_table(location: str, name: str, text: str) -> DataLoaderError:
    if _says(text, _FEATURES):
        return DestinationRefusedError(
            f"{location} uses Delta features that this Spark does not handle ({name}).",
            cure="Use a newer Spark or Databricks runtime, or drop the feature.",
        )
    if _says(text, ("DELTA_VIOLATE_CONSTRAINT", "DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "NOT_NULL_CONSTRAINT_VIOLATION")):
        found = _CONSTRAINT.search(text)
        return DestinationRefusedError(
            f"Rows break {f'the constraint {found[1]}' if found else 'a constraint'} of {location}; nothing changed.",
            cure="Drop the constraint, or leave those rows out with a `filter`.",
        )
    if _says(text, _VALUES):
        return UnrepresentableValueError(
            f"A value does not fit the type of its column in {location} ({name}).",
            cure="Set on_unrepresentable to 'null', correct it at the source, or cast the column in a `query`.",
        )
    if name.startswith(_REFUSED):
        return DestinationRefusedError(
            f"{location} cannot be read or written as the load would ({name}).",
            cure="Compare the table's columns and properties with the source's; Spark's own log says more.",
        )
    return DestinationUnavailableError(
        f"Spark could not read or write {location} ({name}).", cure="Spark's own log says more."
    )


def _says(text: str, signs: tuple[str, ...]) -> bool:
    return any(sign in text for sign in signs)


def _cut_off(error: BaseException) -> bool:
    """Whether the JVM died while it was asked: then py4j says nothing but what it had asked."""
    return type(error).__name__ == "Py4JError" and "Trace:" not in str(error)


def _no_spark(location: str) -> DataLoaderError:
    return DestinationUnavailableError(
        f"Spark went away while it worked on {location}.",
        cure="Look at the cluster, or at the memory that it has (spark.driver.memory); then load again.",
    )
