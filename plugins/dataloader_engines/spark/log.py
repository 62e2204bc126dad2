"""What only a table's log tells: transactions behind a cleaned-up history, and how columns get their values."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING
from uuid import UUID

from dataloader_core.commit import app_id
from dataloader_core.errors import DestinationRefusedError
from dataloader_engines.spark.errors import SPARK_ERRORS, condition_of
from dataloader_engines.spark.features import Fields
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.sql import text, unglobbed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

logger = logging.getLogger(__name__)

_TXN = "txn struct<appId:string,version:bigint>"
_METADATA = "metaData struct<schemaString:string>"


def transaction_version(session: LoadSession, location: str, table_uid: UUID) -> int | None:
    """The version of this row's last commit, from commits and checkpoints; None: there never was one.

    Transactions outlive the commits that made them: every checkpoint repeats them.

    Raises:
        DestinationRefusedError: the log may not be read. What it would say is unknown, never nothing.
    """
    folder = _folder(location)
    found: list[int] = []
    try:
        for read in (_commits, _checkpoints):
            found.extend(_highest(read(session, folder, _TXN), app_id(table_uid)))
    except SPARK_ERRORS as error:
        name = condition_of(error)
    else:
        return max(found, default=None)
    raise DestinationRefusedError(
        f"The history of {location} was cleaned up beyond the last commit of this row, and its log cannot be read "
        f"({name}): nobody can tell what was loaded.",
        cure="Order load_full to read everything again, or grant READ FILES on the table's location.",
    )


def fields(session: LoadSession, location: str) -> Fields | None:
    """What the newest schema says about each column; None: the log may not be read."""
    folder = _folder(location)
    try:
        found = [row for read in (_commits, _checkpoints) for row in _newest_schema(read(session, folder, _METADATA))]
    except SPARK_ERRORS as error:
        logger.debug("the log of %s cannot be read: %s", location, condition_of(error))
        return None
    if not found:
        return None
    return {field["name"]: field.get("metadata", {}) for field in json.loads(max(found)[1])["fields"]}


def _folder(location: str) -> str:
    return f"{unglobbed(location.rstrip('/'))}/_delta_log"


def _commits(session: LoadSession, folder: str, fields: str) -> DataFrame:
    return session.spark.read.schema(fields).option("pathGlobFilter", "*.json").json(folder)


def _checkpoints(session: LoadSession, folder: str, fields: str) -> DataFrame:
    return session.spark.read.schema(fields).option("pathGlobFilter", "*.checkpoint*.parquet").parquet(folder)


def _highest(files: DataFrame, app: str) -> list[int]:
    [row] = files.where(f"txn.appId = {text(app)}").selectExpr("max(txn.version) AS version").collect()
    return [] if row.version is None else [row.version]


def _newest_schema(files: DataFrame) -> list[tuple[str, str]]:
    """The name of the newest file with a schema, which begins with its version, and that schema."""
    told = files.where("metaData.schemaString IS NOT NULL")
    pair = "struct(_metadata.file_name AS file, metaData.schemaString AS schema)"
    [row] = told.selectExpr(f"max({pair}) AS newest").collect()
    return [] if row.newest is None else [(row.newest.file, row.newest.schema)]
