"""What a table's history shows of the commit protocol."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias
from uuid import UUID

from dataloader_core.commit import OWNER_PROPERTY, CommitRecord, Look, TargetColumn
from dataloader_core.errors import DestinationRefusedError
from dataloader_engines.spark import log
from dataloader_engines.spark.address import STAGING_FOLDER, Address, is_local
from dataloader_engines.spark.errors import SPARK_ERRORS, condition_of
from dataloader_engines.spark.features import Fields, find_problems, must_ask
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.types import DEFAULT, column_type

_BATCHES: Final = (1, 16, 256, None)
_OF_WHOLE_WRITES: Final = frozenset({"mode", "partitionBy"})
"""What the history says of a write without a condition. Where it says more, as Databricks may, nothing is concluded."""
_FEATURE: Final = "delta.feature."
"""Listed from protocol version 7 on; before that a version says only what is possible."""
_NO_TABLE: Final = (
    "DELTA_TABLE_ONLY_OPERATION", "DELTA_MISSING_DELTA_TABLE", "DELTA_TABLE_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
)  # fmt: skip
_Records: TypeAlias = tuple[int | None, CommitRecord | None, CommitRecord | None, bool]
"""The version of a row's last commit, its newest data commit and fence, and whether a RESTORE came after."""
_NOT_DELTA: Final = ("DELTA_ONLY_OPERATION", "EXPECT_TABLE_NOT_VIEW", "NOT_A_TABLE", "UNSUPPORTED_FEATURE")


@dataclass(frozen=True)
class Entry:
    """One commit of the history. ``metrics`` are texts, as Delta keeps them."""

    version: int
    timestamp: Any
    operation: str
    metadata: str | None
    read_version: int | None
    metrics: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def record(self) -> CommitRecord | None:
        return CommitRecord.from_json(self.metadata)

    @property
    def rows_total(self) -> int | None:
        """Rows of the whole table, where this commit of a load wrote all of them."""
        mode, written = self.parameters.get("mode"), self.metrics.get("numOutputRows")
        if (self.operation, mode) != ("WRITE", "Overwrite") or not self.parameters.keys() <= _OF_WHOLE_WRITES:
            return None
        return int(written) if self.record is not None and written is not None else None

    @property
    def wrote_rows(self) -> bool:
        """Whether this commit of a load wrote rows, so that the table has some."""
        return self.record is not None and self.metric("numOutputRows") > 0

    def metric(self, name: str) -> int:
        return int(self.metrics.get(name) or 0)


@dataclass(frozen=True)
class Created:
    """A table that one load made: with this record as its fence, of this version, with this comment, at this place."""

    record: CommitRecord
    version: int
    comment: str | None
    location: str


@dataclass(frozen=True)
class Handle:
    """The table as a look found it.

    Attributes:
        entry: The newest commit then.
        rows: Of the whole table; None: there are some, and nobody counted them.
        properties: Of the table, Delta's features among them.
        clustered: Columns that it is clustered by; ``partitioned``: likewise.
        location: Its folder or URL.
        declared: What its log says about the columns where a look must know; None: not asked, or not to be read.
        defaults: Of columns, as SQL.
    """

    entry: Entry
    columns: tuple[TargetColumn, ...]
    properties: Mapping[str, str]
    rows: int | None = 0
    partitioned: tuple[str, ...] = ()
    clustered: tuple[str, ...] = ()
    location: str = ""
    comment: str | None = None
    features: frozenset[str] = field(default_factory=frozenset)
    declared: Fields | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return self.entry.version


def history(session: LoadSession, address: Address, limit: int | None) -> list[Entry]:
    """The newest commits, newest first."""
    clause = "" if limit is None else f" LIMIT {limit}"
    rows = session.sql(f"DESCRIBE HISTORY {address.sql}{clause}").collect()
    return [
        Entry(
            r.version,
            r.timestamp,
            r.operation,
            r.userMetadata,
            r.readVersion,
            dict(r.operationMetrics or {}),
            dict(r.operationParameters or {}),
        )
        for r in rows
    ]


def newest_entry(session: LoadSession, address: Address) -> Entry | None:
    """The newest commit; None where there is no table.

    Raises:
        DestinationRefusedError: something lies there that is no Delta table.
    """
    try:
        return history(session, address, 1)[0]
    except SPARK_ERRORS as error:
        name = condition_of(error)
        if name.startswith(_NO_TABLE):
            return None
        if not name.startswith(_NOT_DELTA):
            raise
    raise DestinationRefusedError(
        f"{address.location} is no Delta table but a view or a table of another format ({name}).",
        cure="Choose another destination, or move it away.",
    )


def take_look(
    session: LoadSession,
    address: Address,
    table_uid: UUID,
    known_version: int | None,
    before: Look | None,
    created: Created | None = None,
) -> Look:
    """A fresh look.

    Args:
        before: An earlier look of this load, which still holds while the table is at that version.
        created: How this load made the table; likewise.
    """
    entry = newest_entry(session, address)
    if entry is None:
        _refuse_other_files(address)
        return Look(exists=False)
    if before is not None and before.handle is not None and before.handle.entry == entry:
        cut = before.newest is None and before.newest_fence is not None and before.newest_fence.version != known_version
        if not cut:  # that look may have stopped at a fence that was known to it, and this one asks further
            return before
    if created is not None and (entry.record, entry.version) == (created.record, created.version):
        return _as_created(session, address, created, entry)
    handle, strange = _handle(session, address, entry)
    return _look(handle, strange, _records(session, address, handle, table_uid, known_version))


def _look(handle: Handle, strange: tuple[str, ...], records: _Records) -> Look:
    app_version, newest, fence, restored = records
    return Look(
        exists=True,
        table_version=handle.version,
        app_version=app_version,
        owner=_owner(handle),
        has_rows=handle.rows != 0,
        newest=newest,
        newest_fence=fence,
        restored=restored,
        columns=handle.columns,
        problems=(*strange, *find_problems(handle)),
        handle=handle,
    )


def _refuse_other_files(address: Address) -> None:
    """Where this process sees the folder; elsewhere the creation is refused."""
    if address.path is None or not is_local(address.path):
        return
    try:
        others = sorted(set(os.listdir(address.path)) - {"_delta_log", STAGING_FOLDER})
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise DestinationRefusedError(
            f"{address.path} is not a folder, or a part of it is a file.", cure="Move that file away."
        ) from None
    if others:
        raise DestinationRefusedError(
            f"{address.path} holds files but no Delta log ({len(others)} entries, the first is {others[0]!r}).",
            cure="Move or delete them, or choose another destination.",
        )


def _as_created(session: LoadSession, address: Address, created: Created, entry: Entry) -> Look:
    """A look at a table as its creation left it: without rows, partitions or clusters, which need not be asked."""
    handle = Handle(entry, (), {}, location=created.location, comment=created.comment, declared={})
    record = created.record
    return _look(*_described(session, address, handle), (record.version, None, record, False))


def location_of(session: LoadSession, address: Address) -> str:
    """Where the table lies; a catalog chooses that itself."""
    if address.path is not None:
        return address.path
    [detail] = session.sql(f"DESCRIBE DETAIL {address.sql}").collect()
    return detail.location or ""


def _handle(session: LoadSession, address: Address, entry: Entry) -> tuple[Handle, tuple[str, ...]]:
    [detail] = session.sql(f"DESCRIBE DETAIL {address.sql}").collect()
    rows = entry.rows_total if detail.numFiles else 0
    if rows is None and not entry.wrote_rows:
        rows = count_rows(session, address)
    handle = Handle(
        entry,
        (),
        {},
        rows=rows,
        partitioned=tuple(detail.partitionColumns or ()),
        clustered=tuple(getattr(detail, "clusteringColumns", None) or ()),
        location=detail.location or "",
        comment=detail.description,
    )
    return _described(session, address, handle)


def count_rows(session: LoadSession, address: Address, version: int | None = None) -> int:
    """Rows of the table, at this version if one is given, by the log's own numbers as far as it has them."""
    then = "" if version is None else f" VERSION AS OF {version}"
    [counted] = session.sql(f"SELECT count(*) AS rows FROM {address.sql}{then}").collect()
    return int(counted.rows)


def _described(session: LoadSession, address: Address, handle: Handle) -> tuple[Handle, tuple[str, ...]]:
    """With the table's properties and columns, and what is strange about these."""
    properties = {r.key: r.value for r in session.sql(f"SHOW TBLPROPERTIES {address.sql}").collect()}
    features = frozenset(k.removeprefix(_FEATURE) for k in properties if k.startswith(_FEATURE))
    columns, strange = [], []
    defaults: dict[str, str] = {}
    for found in session.spark.table(address.sql).schema.fields:
        kind = None if "__CHAR_VARCHAR_TYPE_STRING" in found.metadata else column_type(found.dataType)
        if kind is None:
            strange.append(
                f"Column {found.name} has a type that is never written here: {found.dataType.simpleString()}."
            )
            continue
        if "delta.invariants" in found.metadata:
            strange.append(f"Column {found.name} has an invariant (delta.invariants). Drop that from the column.")
        if not found.nullable:
            strange.append(
                f"Column {found.name} is NOT NULL. Run ALTER TABLE ... ALTER COLUMN {found.name} DROP NOT NULL."
            )
        columns.append(TargetColumn(found.name, kind, found.metadata.get("comment")))
        if DEFAULT in found.metadata:
            defaults[found.name] = found.metadata[DEFAULT]
    handle = replace(handle, columns=tuple(columns), properties=properties, features=features, defaults=defaults)
    if handle.declared is None and must_ask(handle):
        handle = replace(handle, declared=log.fields(session, handle.location))
    return handle, tuple(strange)


def _owner(handle: Handle) -> UUID | None:
    text = handle.properties.get(OWNER_PROPERTY)
    try:
        return UUID(text) if text else None
    except ValueError:
        raise DestinationRefusedError(
            f"The table property {OWNER_PROPERTY} is {text!r}, which is no UUID.", cure="Unset that property."
        ) from None


def _records(
    session: LoadSession, address: Address, handle: Handle, table_uid: UUID, known_version: int | None
) -> _Records:
    app_version: int | None = None
    fence: CommitRecord | None = None
    restored = False
    oldest = handle.version
    for entry in _entries(session, address, handle.entry):
        oldest = entry.version
        record = entry.record
        if record is None or record.table_uid != table_uid:
            restored = restored or entry.operation == "RESTORE"  # a fence above it proves nothing
            continue
        app_version = record.version if app_version is None else app_version
        if not record.is_fence:
            return app_version, record, fence, restored
        fence = fence or record
        if record.version == known_version:
            return app_version, None, fence, restored  # what lies before it is of no use
    if app_version is None and oldest > 0:
        # The log was cleaned up: only its transactions still know.
        app_version = log.transaction_version(session, handle.location, table_uid)
    return app_version, None, fence, restored


def _entries(session: LoadSession, address: Address, newest: Entry) -> Iterator[Entry]:
    """The commits up to ``newest`` from the newest back, read in growing pieces."""
    yield newest
    given = newest.version
    for limit in _BATCHES[1:]:
        if given == 0:
            return
        found = history(session, address, limit)
        fresh = [e for e in found if e.version < given]
        yield from fresh
        if limit is not None and len(found) < limit:
            return
        given = min((e.version for e in fresh), default=given)


def history_since(session: LoadSession, address: Address, since: int) -> list[Entry]:
    """All commits behind version ``since``, newest first."""
    found: list[Entry] = []
    for limit in _BATCHES[1:]:
        found = history(session, address, limit)
        if limit is None or len(found) < limit or min(e.version for e in found) <= since:
            break
    return [e for e in found if e.version > since]


def own_entry(session: LoadSession, address: Address, record: CommitRecord, since: int) -> Entry | None:
    """The commit of the history behind version ``since`` that is this very one; None: it never landed."""
    for limit in _BATCHES:
        found = history(session, address, limit)
        for entry in found:
            told = entry.record
            if told is not None and (told.load_id, told.version) == (record.load_id, record.version):
                return entry
        if limit is None or len(found) < limit or min(e.version for e in found) <= since:
            return None
    return None
