"""A table's beginning and its end."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from dataloader_core import failpoints
from dataloader_core.commit import OWNER_PROPERTY, CommitRecord
from dataloader_core.engine_mark import mark_of
from dataloader_core.errors import DestinationRefusedError, DestinationUnavailableError
from dataloader_core.schema import target_column
from dataloader_core.table import SourceTable
from dataloader_engines.spark import commits
from dataloader_engines.spark.address import Address, filesystem, is_local
from dataloader_engines.spark.errors import SPARK_ERRORS, condition_of, rival
from dataloader_engines.spark.look import newest_entry, own_entry
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.types import commented_schema

_LOG: Final = "/_delta_log/"
_THERE = ("TABLE_OR_VIEW_ALREADY_EXISTS", "DELTA_TABLE_ALREADY_EXISTS", "DELTA_PATH_EXISTS", "DELTA_CREATE_TABLE")


def create(
    session: LoadSession, address: Address, table: SourceTable, record: CommitRecord, properties: Mapping[str, str]
) -> bool:
    """The empty table with its owner property; fails where there is one already.

    Returns:
        Whether it is its own fence: where the session's configuration carries the record, and the history shows it. A
        writer's options give it the transaction but not the metadata, and a version that the history cannot explain
        helps nobody. Whether it does is looked up once for a Spark; the look behind each creation would notice another.
        Otherwise it is to be fenced. Whoever crashes before leaves a table of its row without a commit, which the next
        load fences and takes for a first one; a rival who fenced it meanwhile makes this fence be skipped.

    Raises:
        RivalCommitError: somebody else created it meanwhile.
        DestinationRefusedError: something else lies there.
    """
    empty = session.spark.createDataFrame([], commented_schema(map(target_column, table.columns)))
    writer = empty.writeTo(address.sql).using("delta").tableProperty(OWNER_PROPERTY, str(record.table_uid))
    if comment := comment_of(table):
        writer = writer.tableProperty("comment", comment)
    for key, value in {**properties, **mark_of("spark", address.path or "")}.items():
        writer = writer.tableProperty(key, value)
    failpoints.hit("engine.before_create")
    _clear_crashed(address)
    try:
        with session.transaction(record) if session.confs else session.alone():
            writer.create()
    except SPARK_ERRORS as error:
        if not condition_of(error).startswith(_THERE):
            raise
    else:
        failpoints.hit("engine.after_create")
        if session.confs and not session.seen.creation_tells:
            session.seen.creation_tells = own_entry(session, address, record, commits.CREATION) is not None
        return session.confs and session.seen.creation_tells
    if newest_entry(session, address) is not None:
        raise rival(address.location)
    raise DestinationRefusedError(
        f"{address.location} holds files but no Delta log.", cure="Move or delete them, or choose another destination."
    )


def comment_of(table: SourceTable) -> str | None:
    """The comment that a new table gets: catalogs take this length."""
    return (table.comment or "")[:4000] or None


def _clear_crashed(address: Address) -> None:
    """An empty log folder, left by a creation that crashed, would be taken for a table."""
    if address.path is not None and is_local(address.path):
        for folder in (Path(address.path) / "_delta_log", Path(address.path)):
            with suppress(OSError):
                folder.rmdir()  # refuses what is not empty


def drop(session: LoadSession, address: Address) -> None:
    if address.path is None:
        session.sql(f"DROP TABLE IF EXISTS {address.sql}").collect()
    elif is_local(address.path):
        # One atomic rename: whoever crashes afterwards leaves a folder that no table's name leads to.
        folder = Path(address.path)
        trash = folder.with_name(f".{folder.name}.dropped-{uuid4().hex}")
        folder.rename(trash)
        shutil.rmtree(trash)
    else:
        _delete(address.path)


def _delete(url: str) -> None:
    """Data first, the log last and its first entry at its end: what a crash leaves can still be dropped.

    Raises:
        DestinationUnavailableError: only Spark reaches it.
    """
    from pyarrow import fs

    try:
        store, path = filesystem(url)
        entries = store.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
        files = [entry.path for entry in entries if entry.is_file]
        log = sorted((p for p in files if _LOG in p), reverse=True)
        for each in [p for p in files if _LOG not in p] + log:
            store.delete_file(each)
        with suppress(FileNotFoundError):  # where folders are nothing but the names of their files
            store.delete_dir(path)
    except (OSError, ValueError, ImportError) as error:
        raise DestinationUnavailableError(
            f"{url} cannot be deleted by this process ({type(error).__name__}).",
            cure="Grant it the right to delete there, or delete the table by hand.",
        ) from error
