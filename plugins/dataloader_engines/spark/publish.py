"""A backfill's staging table replaces its target: read at the version that was looked at, without a copy."""

from __future__ import annotations

from typing import Final

from dataloader_core.commit import Look
from dataloader_core.errors import DestinationRefusedError
from dataloader_core.interfaces.source import Progress
from dataloader_core.plan import Column
from dataloader_core.schema import SchemaPolicy
from dataloader_engines.spark.address import Address
from dataloader_engines.spark.reading_jobs import stoppable
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.staging import Origin, Staged

_START_ANEW: Final = "Drop the staging table and set load_full to start the backfill anew."


def origin(aside: Look, policy: SchemaPolicy, comment: str | None) -> Origin:
    """The staging table's columns as a source's."""
    columns = tuple(Column(c.name, c.name, c.type, "", str(c.type), comment=c.comment) for c in aside.columns)
    return Origin(columns, policy, comment)


def take_over(
    session: LoadSession, staging: Address, aside: Look, look: Look, origin: Origin, progress: Progress
) -> Staged:
    """The staging table's rows, to be written by the commit.

    Raises:
        DestinationRefusedError: there is no staging table, it is another row's, or somebody changed it.
    """
    if not aside.exists:
        raise DestinationRefusedError(
            f"The backfill's staging table {staging.location} is gone.",
            cure="Set load_full to start the backfill anew.",
        )
    if aside.owner != look.owner:
        raise DestinationRefusedError(
            f"The staging table {staging.location} belongs to {aside.owner or 'nobody'}, the target to "
            f"{look.owner or 'nobody'}.",
            cure=_START_ANEW,
        )
    if aside.problems:
        raise DestinationRefusedError(
            f"The staging table {staging.location} is no longer as the backfill left it: {' '.join(aside.problems)}",
            cure=_START_ANEW,
        )
    relation = f"{staging.sql} VERSION AS OF {aside.table_version}"
    with stoppable(session.spark, progress):
        [row] = session.sql(f"SELECT count(*) AS rows FROM {relation}").collect()
    return Staged(
        relation=relation,
        folder=None,
        names=tuple(c.name for c in aside.columns),
        rows=row.rows,
        bytes=0,
        origin=origin,
        progress=progress,
    )
