"""Commits: each carries its record and transaction, and counts only once the history shows it.

Delta skips in silence what carries a version that is not above the table's, and refuses what another commit of the same
application came before. An error proves nothing either: the commit may have landed, and only its answer, or a
checkpoint behind it, failed. So after every attempt the history is asked whose commit is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from dataloader_core import failpoints
from dataloader_core.commit import ENGINE_PROPERTY, OWNER_PROPERTY, CommitRecord, TargetColumn, app_id
from dataloader_core.engine_mark import mark_of
from dataloader_core.errors import DataLoaderError, DestinationUnavailableError
from dataloader_engines.spark.address import Address
from dataloader_engines.spark.errors import rival, spark_errors
from dataloader_engines.spark.look import Entry, Handle, history_since, newest_entry, own_entry
from dataloader_engines.spark.session import LoadSession, condition
from dataloader_engines.spark.sql import quote, text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ALL = "true"
"""Every row, as a condition."""
OVERWRITE_SCHEMA = "overwriteSchema"
_NTZ = "timestamp_ntz"
_COMMENT_LENGTH = 4000
_METADATA_ONLY = ("SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "CLUSTER BY", "CHANGE COLUMN", "CHANGE COLUMNS")
CREATION = 0
"""The version that creates a table."""


def by_options(
    session: LoadSession,
    address: Address,
    frame: DataFrame,
    record: CommitRecord,
    *,
    where: str | None = None,
    schema: str | None = None,
    rows_per_file: int | None = None,
    clustered: bool = False,
) -> None:
    """Write rows in one commit whose transaction travels with the write itself.

    Args:
        where: Overwrite the rows that match; all rows of ``frame`` must match too. None: append.
        schema: ``mergeSchema`` or ``overwriteSchema``, where the table's schema changes with the commit.
        rows_per_file: At most; None: as many as a task has.
        clustered: The table is, and stays so: "all rows" as a condition keeps what a plain overwrite of them forgets
            (seen with Delta 4.4), unless the schema is taken whole.
    """
    writer = (
        frame.writeTo(address.sql)
        .option("txnAppId", app_id(record.table_uid))
        .option("txnVersion", str(record.version))
        .option("userMetadata", record.to_json())
    )
    if schema is not None:
        writer = writer.option(schema, "true")
    if rows_per_file is not None:
        writer = writer.option("maxRecordsPerFile", str(rows_per_file))
    if where is not None:
        # A cluster may say otherwise to every session: then partitions that get no rows would keep theirs.
        writer = writer.option("partitionOverwriteMode", "static")
    if where == ALL and clustered and schema != OVERWRITE_SCHEMA:
        writer = writer.option("replaceWhere", ALL)
    with session.alone():
        if where is None:
            writer.append()
        else:
            writer.overwrite(condition(session.spark, where))


def land(
    session: LoadSession,
    address: Address,
    since: int,
    record: CommitRecord,
    commit: Callable[[], None],
    around: AbstractContextManager[None] | None = None,
) -> Entry:
    """Make a commit and find it in the history.

    Args:
        since: The table's version before.

    Raises:
        RivalCommitError: Delta skipped or refused it; nothing of it is there.
    """
    problem: DataLoaderError | None = None
    try:
        with spark_errors(address.location), around or nullcontext():
            commit()
    except DataLoaderError as error:
        problem = error
    try:
        with spark_errors(address.location):
            entry = own_entry(session, address, record, since)
    except DataLoaderError as error:
        raise problem or error from None
    if entry is not None:
        return entry
    raise problem or rival(address.location)


def fence(
    session: LoadSession, address: Address, record: CommitRecord, handle: Handle | None = None, *, own: bool = False
) -> Entry:
    """A commit that changes no row and carries the record.

    Whoever crashes between ownership and fence leaves a table of its row without a commit, which its next load takes
    for a first one; the other way round it would leave a fence in a table that still belongs to somebody else.

    Args:
        handle: What a look found; None: the table was created just now, by this load.
        own: The owner property comes first, in a commit of its own.
    """
    failpoints.hit("engine.before_fence")
    if handle is not None:
        must_be_unchanged(session, address, handle)
    if own:
        location = handle.location if handle is not None else address.path or ""
        set_properties(session, address, {OWNER_PROPERTY: str(record.table_uid), **mark_of("spark", location)})
        failpoints.hit("engine.between_owner_and_fence")
    none = session.spark.table(address.sql).limit(0)
    since = handle.version if handle is not None else CREATION
    failpoints.hit("engine.fence_checked")
    entry = land(session, address, since, record, lambda: by_options(session, address, none, record))
    failpoints.hit("engine.after_fence")
    if entry.version != since + (2 if own else 1):
        raise rival(address.location)  # in the moment after the check; the fence stands, and changes nothing
    return entry


def set_properties(session: LoadSession, address: Address, properties: Mapping[str, str]) -> None:
    listed = ", ".join(f"{text(key)} = {text(value)}" for key, value in properties.items())
    alter(session, address, f"ALTER TABLE {address.sql} SET TBLPROPERTIES ({listed})")


def ready(
    session: LoadSession, address: Address, handle: Handle, columns: Sequence[TargetColumn], comment: str | None
) -> None:
    """Bring metadata to where the load's commit can be made, by commits of their own that change no row.

    A crash in between leaves what the load would have made of the untouched rows.
    """
    if (mark := mark_of("spark", handle.location)) and ENGINE_PROPERTY not in handle.properties:
        set_properties(session, address, mark)  # it was taken over, or only its catalog knew where it lies
    there = {c.name: c for c in handle.columns}
    listed = "timestampNtz" in handle.features or any(c.type.name == _NTZ for c in handle.columns)
    if not listed and any(c.type.name == _NTZ for c in columns):
        set_properties(session, address, {"delta.feature.timestampNtz": "supported"})
    for c in columns:
        if c.name in there and c.comment and c.comment != there[c.name].comment and c.type == there[c.name].type:
            alter(
                session,
                address,
                f"ALTER TABLE {address.sql} ALTER COLUMN {quote(c.name)} COMMENT {text(c.comment)}",
            )
    if comment and comment[:_COMMENT_LENGTH] != handle.comment:
        alter(session, address, f"COMMENT ON TABLE {address.sql} IS {text(comment[:_COMMENT_LENGTH])}")


def alter(session: LoadSession, address: Address, statement: str) -> None:
    failpoints.hit("engine.before_schema")
    with spark_errors(address.location), session.alone():
        session.sql(statement).collect()
        session.altered += 1
    failpoints.hit("engine.after_schema")


def must_hold_its_rows(session: LoadSession, address: Address, handle: Handle) -> int:
    """That behind the look, whose moment our own changes of metadata make longer, nothing else was committed.

    Returns:
        The table's version now.

    Raises:
        RivalCommitError: it was. What is set now is set when the load looks again.
    """
    found = history_since(session, address, handle.version)
    for entry in found:
        if entry.operation not in _METADATA_ONLY:
            raise rival(address.location)
    return max((entry.version for entry in found), default=handle.version)


def must_be_unchanged(session: LoadSession, address: Address, handle: Handle) -> None:
    """Delta keeps commits of one application apart by itself; this is for everybody else's, as far as can be.

    Raises:
        RivalCommitError: somebody committed since the look.
    """
    entry = newest_entry(session, address)
    if entry is None:
        raise DestinationUnavailableError(f"{address.location} is gone.", cure="Somebody dropped it; load it again.")
    if entry != handle.entry:
        raise rival(address.location)
