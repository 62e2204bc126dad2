"""Readers of tables that neither the engines nor the suite wrote."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from dataloader_core.interfaces.engine import Destination
from dataloader_core.testing.conformance.table import folder_of


def read_by_delta_rs(destination: Destination) -> pa.Table:
    """The rows as delta-rs' own query engine gives them, without what deletion vectors take away."""
    return read_folder(folder_of(destination))


def read_folder(folder: Path) -> pa.Table:
    return pa.table(QueryBuilder().register("t", DeltaTable(folder)).execute("SELECT * FROM t").read_all())
