"""A backfill's staging table replaces its target: the files themselves, not their rows, are taken over."""

from __future__ import annotations

from typing import Final

from dataloader_core.commit import Look, TargetColumn
from dataloader_core.errors import DestinationRefusedError
from dataloader_core.interfaces.source import ColumnStats
from dataloader_core.plan import Column
from dataloader_engines.local.duck import DataFile, text
from dataloader_engines.local.look import Handle
from dataloader_engines.local.staging import Stager
from dataloader_engines.local.storage import Storage

_START_ANEW: Final = "Drop the staging table and set load_full to start the backfill anew."


def take_over(stager: Stager, staging: Storage, aside: Look, look: Look) -> list[DataFile]:
    """The staging table's files under names of the target's own.

    Raises:
        DestinationRefusedError: there is no staging table, it is another row's, or somebody changed it.
    """
    if not aside.exists:
        raise DestinationRefusedError(
            f"The backfill's staging table {staging.uri} is gone.", cure="Set load_full to start the backfill anew."
        )
    if aside.owner != look.owner:
        raise DestinationRefusedError(
            f"The staging table {staging.uri} belongs to {aside.owner or 'nobody'}, the target to "
            f"{look.owner or 'nobody'}.",
            cure=_START_ANEW,
        )
    if aside.problems:
        raise DestinationRefusedError(
            f"The staging table {staging.uri} is no longer as the backfill left it: {' '.join(aside.problems)}",
            cure=_START_ANEW,
        )
    handle: Handle = aside.handle
    stats = _stats(handle)
    files = []
    for number, (file, found) in enumerate(zip(handle.files, stats, strict=True)):
        path = stager.copy_of(staging.fetch(file.path), number)
        rows = file.rows
        if rows is None:
            [(rows,)] = stager.duck.run(f"SELECT count(*) FROM read_parquet({text(path)})")
        files.append(DataFile(path, rows, file.bytes, found))
    return files


def as_source_columns(columns: tuple[TargetColumn, ...]) -> tuple[Column, ...]:
    """A table's columns as if a source had them; they are never read by a projection."""
    return tuple(Column(c.name, c.name, c.type, "", str(c.type), comment=c.comment) for c in columns)


def _stats(handle: Handle) -> list[dict[str, ColumnStats]]:
    bounds = {c.name: handle.bounds(c.name) for c in handle.columns}
    return [{name: found[i] for name, found in bounds.items()} for i in range(len(handle.files))]
