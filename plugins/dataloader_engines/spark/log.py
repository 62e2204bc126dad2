"""A table's application transactions, read from its log where the history no longer tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from dataloader_core.commit import app_id
from dataloader_core.errors import DestinationRefusedError
from dataloader_engines.spark.errors import SPARK_ERRORS, condition_of
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.sql import text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_TXN = "struct<appId:string,version:bigint>"


def transaction_version(session: LoadSession, location: str, table_uid: UUID) -> int | None:
    """The version of this row's last commit, from commits and checkpoints; None: there never was one.

    Transactions outlive the commits that made them: every checkpoint repeats them.

    Raises:
        DestinationRefusedError: the log may not be read. What it would say is unknown, never nothing.
    """
    folder = f"{location.rstrip('/')}/_delta_log"
    found: list[int] = []
    try:
        for read in (_commits, _checkpoints):
            found.extend(read(session, folder, app_id(table_uid)))
    except SPARK_ERRORS as error:
        name = condition_of(error)
    else:
        return max(found, default=None)
    raise DestinationRefusedError(
        f"The history of {location} was cleaned up beyond the last commit of this row, and its log cannot be read "
        f"({name}): nobody can tell what was loaded.",
        cure="Order load_full to read everything again, or grant READ FILES on the table's location.",
    )


def _commits(session: LoadSession, folder: str, app: str) -> list[int]:
    files = session.spark.read.schema(f"txn {_TXN}").option("pathGlobFilter", "*.json").json(folder)
    return _highest(files, app)


def _checkpoints(session: LoadSession, folder: str, app: str) -> list[int]:
    reader = session.spark.read.schema(f"txn {_TXN}").option("pathGlobFilter", "*.checkpoint*.parquet")
    return _highest(reader.parquet(folder), app)


def _highest(files: DataFrame, app: str) -> list[int]:
    [row] = files.where(f"txn.appId = {text(app)}").selectExpr("max(txn.version) AS version").collect()
    return [] if row.version is None else [row.version]
