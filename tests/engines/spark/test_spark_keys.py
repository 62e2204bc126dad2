"""Keys and columns of merges that Spark, or what it reads and writes by, would take for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dataloader_core.plan import Append, Merge
from dataloader_core.testing.conformance import rows
from tests.engines.spark.strange import Made, made

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["made"]
pytestmark = [
    pytest.mark.spark,
    # PySpark leaves it to the garbage collector to close the socket that collected rows came through.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.mark.parametrize(("kind", "rest"), [("date", ""), ("timestamp", " 12:00:00+00:00")])
def test_a_key_on_one_of_the_days_that_javas_calendar_lacks_is_neither_doubled_nor_lost(
    made: Made, kind: str, rest: str
) -> None:
    """Spark tells a file's reader 1582-10-20 where a condition says 1582-10-10."""
    table = made(f"CREATE TABLE {{}} (id {kind}, name STRING) USING delta", {"id": kind, "name": "string"})
    days = [f"1582-10-{day:02}{rest}" for day in (4, 10, 12, 14, 15, 19)]
    table.load(rows("id name", *((day, "old") for day in days)))
    table.load(rows("id name", (days[1], "new"), (days[2], "new"), (f"1582-10-11{rest}", "more")), Merge(("id",)))
    table.check()
    table.load(rows("id name", (days[0], "newer"), (days[1], "newer"), (f"1582-10-05{rest}", "more")), Merge(("id",)))
    table.check()


@pytest.mark.parametrize("name", ["_metadata", "_METADATA"])
def test_a_column_that_is_called_as_sparks_own_of_files_is_one_like_any_other(made: Made, name: str) -> None:
    table = made(f"CREATE TABLE {{}} (id INT, {name} STRING) USING delta", {"id": "int", name: "string"})
    table.load(rows(f"id {name}", (1, "a"), (2, "b")))
    table.load(rows(f"id {name}", (2, "B"), (3, "c")), Merge(("id",)))
    table.check()
    table.load(rows(f"id {name}", (2, "B"), (4, "d")), Merge((name,)))
    table.check()


def test_a_comment_that_looks_like_a_variable_stays_as_it_is(
    made: Made, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark would put in what the driver's environment or configuration has: a password, for instance."""
    given = "${env:HOME} ${system:user.dir} ${spark.app.name}"
    table = made("CREATE TABLE {} (id INT, name STRING) USING delta")
    table.have({"id": "int", "name": "string"}, comment=given, comments={"name": given})
    table.load(rows("id name", (1, "a")), Append())
    assert [c.comment for c in table.look().columns] == [None, given]
    assert spark.sql(f"DESCRIBE DETAIL delta.`{table.destination.location}`").collect()[0].description == given
