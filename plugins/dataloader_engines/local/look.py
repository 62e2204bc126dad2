"""What one handle on a Delta table shows of the commit protocol, read from its log and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from dataloader_core.commit import OWNER_PROPERTY, CommitRecord, Look, TargetColumn, app_id
from dataloader_core.errors import DestinationRefusedError
from dataloader_core.interfaces.source import ColumnStats
from dataloader_engines.local.features import find_problems
from dataloader_engines.local.storage import LOG_FOLDER, Storage
from dataloader_engines.local.types import read_columns

METADATA_KEY: Final = "userMetadata"
"""Where Spark keeps a commit's own metadata too."""
_BATCHES: Final = (1, 16, 256, None)


@dataclass(frozen=True)
class TargetFile:
    """A data file of the table. ``rows`` None: its statistics do not say."""

    path: str
    bytes: int
    rows: int | None


class Handle:
    """The table at one version. Every commit goes through it and is refused if the table has moved on."""

    def __init__(self, table: DeltaTable, columns: tuple[TargetColumn, ...]) -> None:
        self.table = table
        self.version = table.version()
        self.columns = columns

    @cached_property
    def adds(self) -> pa.Table:
        """The files with their statistics: ``path``, ``num_records``, ``min.<column>``, ``max.<column>``."""
        # By its stream: pa.table() would import pandas, a second of time, to ask whether this is a data frame.
        return pa.RecordBatchReader.from_stream(self.table.get_add_actions(flatten=True)).read_all()

    @cached_property
    def files(self) -> tuple[TargetFile, ...]:
        columns = (self._values(name) for name in ("path", "size_bytes", "num_records"))
        return tuple(TargetFile(*row) for row in zip(*columns, strict=True))

    def bounds(self, column: str) -> list[ColumnStats]:
        """What the log says of a column, file by file."""
        found = (self._texts(f"{kind}.{column}") for kind in ("min", "max"))
        nulls = self._values(f"null_count.{column}")
        return [ColumnStats(low, high, n) for low, high, n in zip(*found, nulls, strict=True)]

    def _texts(self, name: str) -> list[str | None]:
        return [_text(value) for value in self._values(name)]

    def _values(self, name: str) -> list[Any]:
        if name not in self.adds.schema.names:
            return [None] * self.adds.num_rows
        values: list[Any] = self.adds[name].to_pylist()
        return values


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.isoformat(" ")
    # "f": a decimal's text may otherwise be an exponent.
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def open_table(storage: Storage, version: int | None = None) -> DeltaTable | None:
    """The table, or None where nothing lies.

    Raises:
        DestinationRefusedError: something lies there that is no Delta table.
    """
    # Asked first: delta-rs' own answer to a missing folder is an error like any other.
    if not storage.has_log():
        others = sorted(n for n in storage.names() if n != LOG_FOLDER)
        if others:
            raise DestinationRefusedError(
                f"{storage.uri} holds files but no Delta log ({len(others)} entries, the first is {others[0]!r}).",
                cure="Move or delete them, or choose another destination.",
            )
        return None
    try:
        return DeltaTable(storage.uri, version=version)
    except TableNotFoundError:
        return None


def take_look(storage: Storage, table_uid: UUID, known_version: int | None) -> Look:
    table = open_table(storage)
    if table is None:
        return Look(exists=False)
    fields = table.schema().fields
    columns, strange = read_columns(fields)
    handle = Handle(table, columns)
    newest, fence, restored = _records(table, table_uid, known_version)
    return Look(
        exists=True,
        table_version=handle.version,
        app_version=table.transaction_version(app_id(table_uid)),
        owner=_owner(table),
        has_rows=any(f.rows is None or f.rows > 0 for f in handle.files),
        newest=newest,
        newest_fence=fence,
        restored=restored,
        columns=columns,
        problems=(*strange, *find_problems(table, fields)),
        handle=handle,
    )


def _owner(table: DeltaTable) -> UUID | None:
    text = table.metadata().configuration.get(OWNER_PROPERTY)
    try:
        return UUID(text) if text else None
    except ValueError:
        raise DestinationRefusedError(
            f"The table property {OWNER_PROPERTY} is {text!r}, which is no UUID.", cure="Unset that property."
        ) from None


def _records(
    table: DeltaTable, table_uid: UUID, known_version: int | None
) -> tuple[CommitRecord | None, CommitRecord | None, bool]:
    """This row's newest data commit, its newest fence, and whether a RESTORE came after the commit that is known."""
    fence: CommitRecord | None = None
    restored = False
    for entry in _history(table):
        record = CommitRecord.from_json(entry.get(METADATA_KEY))
        if record is None or record.table_uid != table_uid:
            restored = restored or entry.get("operation") == "RESTORE"  # a fence above it proves nothing
            continue
        if not record.is_fence:
            return record, fence, restored
        fence = fence or record
        if record.version == known_version:
            break  # the control row knows this commit: what lies before it is of no use
    return None, fence, restored


def _history(table: DeltaTable) -> Iterator[dict[str, Any]]:
    """The log's commits from the newest back, read in growing pieces."""
    given = 0
    for limit in _BATCHES:
        entries = table.history(limit)
        yield from entries[given:]
        if limit is not None and len(entries) < limit:
            return
        given = len(entries)
