"""Tables that the engine itself makes and a suite's table checks, and writes of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from dataloader_core.interfaces.engine import Engine
from dataloader_core.plan import Append, Comparison, Merge
from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_core.types import DATE
from dataloader_core.values import Value
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.readers import read_by_delta_rs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COLUMNS = {"id": "int", "day": "date", "name": "string"}
BY_ID = Merge(("id",))
START = Value(DATE, "2024-01-10")
WINDOW = Merge(("id",), (Comparison("day", "<", START),), (Comparison("day", ">=", START),))
THREE = rows("id day name", (1, "2024-01-10", "a"), (2, "2024-01-11", "b"), (3, None, "c"))
NewTable = Callable[..., ConformanceTable]


@pytest.fixture
def new_table(spark: SparkSession, tmp_path: Path) -> Iterator[NewTable]:
    made: list[ConformanceTable] = []

    def new(types: Mapping[str, str] = COLUMNS, engine: Engine | None = None, **settings: Any) -> ConformanceTable:
        settings = {"lake": str(tmp_path / "lake"), "spark_parts": 2, **settings}
        engine = engine or SparkEngine(SparkSettings(**settings))
        table = ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", types)
        made.append(table)
        return table

    yield new
    for table in made:
        table.close()


def destination(table: ConformanceTable) -> SparkDestination:
    assert isinstance(table.destination, SparkDestination)
    return table.destination


def properties(spark: SparkSession, table: ConformanceTable) -> dict[str, str]:
    found = spark.sql(f"SHOW TBLPROPERTIES {destination(table).address.sql}").collect()
    return {r.key: r.value for r in found}


def whole_life(table: ConformanceTable) -> list[str]:
    """Every kind of write after another; how each was written."""
    table.create()
    done = [table.load(THREE), table.load(rows("id day name", (4, "2024-01-12", "d")), Append())]
    done.append(table.load(rows("id day name", (2, "2024-01-11", "B"), (5, "2024-01-12", "e")), BY_ID))
    done.append(table.load(rows("id day name", (6, "2024-01-13", "f")), BY_ID))
    done.append(table.load(rows("id day name", (2, "2024-01-12", "w"), (7, "2024-01-15", "x")), WINDOW))
    done.append(table.load(rows("id day name", (3, "2024-01-12", "was null")), WINDOW))
    done.append(table.load(rows("id day name"), BY_ID))
    table.check()
    return [str(d.metrics["written_by"]) for d in done]
