"""Commits: each goes through one handle, is never retried, and is refused if anything else committed since.

After a failure the log is asked whether the commit landed after all: a conditional PUT that was answered too
late, or a checkpoint behind the commit that failed, looks like a failure and is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote as url_quote

from deltalake import CommitProperties, DeltaTable, TableFeatures, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from dataloader_core import failpoints
from dataloader_core.commit import OWNER_PROPERTY, CommitRecord, TargetColumn, app_id
from dataloader_core.engine_mark import mark_of
from dataloader_core.interfaces.source import ColumnStats
from dataloader_engines.local.look import METADATA_KEY, Handle, TargetFile
from dataloader_engines.local.stats import delta_stats
from dataloader_engines.local.types import delta_field, delta_schema

CLEANED_UP = "Invalid table version"
"""delta-rs' error where the log no longer goes back to the handle's version. It is found before anything is tried."""
_NTZ = "timestamp_ntz"


class NotCommittedError(Exception):
    """A commit failed and the log proves that nothing of it landed. The cause is delta-rs' own error."""


def properties(record: CommitRecord | None) -> CommitProperties:
    """What a commit carries; without a record (a change of metadata before the commit proper) nothing."""
    if record is None:
        return CommitProperties(max_commit_retries=0)
    return CommitProperties(
        app_transactions=[Transaction(app_id(record.table_uid), record.version)],
        custom_metadata={METADATA_KEY: record.to_json()},
        max_commit_retries=0,
    )


def add_action(
    name: str,
    rows: int,
    size: int,
    stats: Mapping[str, ColumnStats],
    columns: Sequence[TargetColumn],
    keys: Sequence[str],
) -> AddAction:
    """A new file of the table, by its name in the table's folder."""
    return AddAction(url_quote(name), size, {}, _now(), True, delta_stats(rows, stats, columns, keys))


def remove_action(file: TargetFile) -> RemoveAction:
    return RemoveAction(file.path, True, _now(), file.bytes, {})


def _now() -> int:
    return int(time.time() * 1000)


def write(
    handle: Handle,
    actions: Sequence[AddAction | RemoveAction],
    columns: Sequence[TargetColumn],
    record: CommitRecord,
    *,
    overwrite: bool,
) -> int:
    """The commit of a load. ``overwrite``: removes every file of the table and takes ``columns`` as its schema.

    Returns:
        The table's version with this commit.
    """
    mode = "overwrite" if overwrite else "append"
    failpoints.hit("engine.before_commit")
    _landed_or_raise(
        handle,
        record,
        lambda: handle.table.create_write_transaction(
            list(actions), mode, delta_schema(columns), commit_properties=properties(record)
        ),
    )
    failpoints.hit("engine.after_commit")
    return handle.version + 1


def write_empty(handle: Handle, record: CommitRecord, *, own: bool) -> None:
    """A commit that changes no row: a fence. ``own`` writes the owner property with it."""

    def commit() -> None:
        if own:
            handle.table.alter.set_table_properties(
                {OWNER_PROPERTY: str(record.table_uid), **mark_of("local", handle.table.table_uri)},
                raise_if_not_exists=False,
                commit_properties=properties(record),
            )
        else:
            handle.table.create_write_transaction(
                [], "append", handle.table.schema(), commit_properties=properties(record)
            )

    failpoints.hit("engine.before_fence")
    _landed_or_raise(handle, record, commit)
    failpoints.hit("engine.after_fence")


def ready_schema(handle: Handle, columns: Sequence[TargetColumn], *, overwrite: bool, comment: str | None) -> Handle:
    """Bring metadata to where the load's commit can be made, by commits of their own that change no row.

    delta-rs takes a new schema only together with an overwrite. So columns that are added to a table whose files
    stay come first, NULL everywhere: a crash in between leaves what the load would have made of the untouched rows.

    Returns:
        A handle at the version of the last such commit; the same one where there was none.
    """
    for change in _changes(handle, columns, overwrite, comment):
        failpoints.hit("engine.before_schema")
        change(handle.table)
        failpoints.hit("engine.after_schema")
        # Opened at exactly the version just made: whatever somebody else added behind it is still a rival.
        fresh = DeltaTable(handle.table.table_uri, version=handle.version + 1)
        handle = Handle(fresh, tuple(columns) if not overwrite else handle.columns)
    return handle


def _changes(
    handle: Handle, columns: Sequence[TargetColumn], overwrite: bool, comment: str | None
) -> list[Callable[[DeltaTable], Any]]:
    plain = properties(None)
    there = {c.name: c for c in handle.columns}
    changes: list[Callable[[DeltaTable], Any]] = []
    features = handle.table.protocol().writer_features or ()
    if overwrite and any(c.type.name == _NTZ for c in columns) and "timestampNtz" not in features:
        changes.append(
            lambda t: t.alter.add_feature(
                TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True, commit_properties=plain
            )
        )
    if not overwrite:
        new = [delta_field(c) for c in columns if c.name not in there]
        if new:
            changes.append(lambda t: t.alter.add_columns(new, commit_properties=plain))
        for c in columns:
            if c.name in there and c.comment and c.comment != there[c.name].comment:
                changes.append(_comment_change(c.name, c.comment, plain))
    if comment and comment != handle.table.metadata().description:
        changes.append(lambda t: t.alter.set_table_description(comment[:4000], commit_properties=plain))
    return changes


def _comment_change(name: str, comment: str, plain: CommitProperties) -> Callable[[DeltaTable], Any]:
    return lambda table: table.alter.set_column_metadata(name, {"comment": comment}, commit_properties=plain)


def _landed_or_raise(handle: Handle, record: CommitRecord, commit: Callable[[], Any]) -> None:
    """Make a commit; whether one that failed landed all the same is what the log says.

    Raises:
        NotCommittedError: it did not and never will.
        DeltaError: nobody knows.
    """
    try:
        commit()
    except DeltaError as error:
        found = landed(handle, record)
        if found:
            return
        local = "://" not in handle.table.table_uri or handle.table.table_uri.startswith("file://")
        # An object store may still carry out a request whose answer was lost; a file system does not.
        if found is False and (local or isinstance(error, CommitFailedError) or CLEANED_UP in str(error)):
            raise NotCommittedError(str(error)) from error
        raise


def landed(handle: Handle, record: CommitRecord) -> bool | None:
    """Whether the log holds this very commit behind the handle's version; None: it cannot be read."""
    try:
        table = DeltaTable(handle.table.table_uri)
        if table.version() <= handle.version:
            return False
        entries = table.history(table.version() - handle.version)
    except (DeltaError, OSError):
        return None
    found = (CommitRecord.from_json(e.get(METADATA_KEY)) for e in entries)
    return any(r is not None and (r.load_id, r.version) == (record.load_id, record.version) for r in found)
