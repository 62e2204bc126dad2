"""Readers of tables that neither the engines nor the suite wrote."""

from __future__ import annotations

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from dataloader_core.interfaces.engine import Destination


def read_by_delta_rs(destination: Destination) -> pa.Table:
    """The rows as delta-rs' own query engine gives them, deletion vectors and all."""
    table = DeltaTable(destination.location.removeprefix("file:"))
    return pa.table(QueryBuilder().register("t", table).execute("SELECT * FROM t").read_all())
