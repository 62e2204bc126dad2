"""Tables that Spark's own SQL made or changed: each is loaded as it is, or refused by name with the cure."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dataloader_core import failpoints
from dataloader_core.errors import RivalCommitError, SchemaChangeError
from dataloader_core.plan import Append, Merge, Replace, Write
from dataloader_core.testing.conformance import ConformanceTable, rows
from tests.engines.spark.strange import COLUMNS, Made, made, run, settings_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["made"]
pytestmark = [
    pytest.mark.spark,
    # PySpark leaves it to the garbage collector to close the socket that collected rows came through.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
THREE = rows("id name", (1, "a"), (2, "b"), (3, "c"))
YEAR = 365 * 24 * 3600


def changes(table: ConformanceTable) -> None:
    """An append and a merge, compared."""
    table.load(rows("id name", (2, "b"), (4, "d")), Append())
    table.load(rows("id name", (2, "B"), (5, "e")), Merge(("id",)))
    table.check()


def test_a_table_with_column_mapping_is_loaded_and_keeps_it(made: Made, spark: SparkSession) -> None:
    table = made(
        "CREATE TABLE {} (id INT, name STRING) USING delta TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
    )
    changes(table)
    table.have({**COLUMNS, "more": "int"})
    table.load(rows("id name more", (6, "f", 2)))
    table.check()
    assert settings_of(spark, table)["delta.columnMapping.mode"] == "name"


def test_a_key_that_was_renamed_in_the_table_is_refused_by_both_its_names(made: Made, spark: SparkSession) -> None:
    """It can be mended there, and never by trying again."""
    table = made(
        "CREATE TABLE {} (id INT, name STRING) USING delta TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
    )
    table.load(THREE)
    run(spark, table, "ALTER TABLE {} RENAME COLUMN id TO number")
    with pytest.raises(SchemaChangeError, match=r"no column id, .* it has number, name"):
        table.load(rows("id name", (2, "B")), Merge(("id",)))
    run(spark, table, "ALTER TABLE {} RENAME COLUMN number TO id")
    table.load(rows("id name", (2, "B")), Merge(("id",)))
    table.check()


def test_a_clustered_table_is_changed_and_stays_clustered(made: Made, spark: SparkSession) -> None:
    table = made("CREATE TABLE {} (id INT, name STRING) USING delta CLUSTER BY (id)")
    changes(table)
    assert settings_of(spark, table)["clusteringColumns"] == '[["id"]]'
    table.load(rows("id name", (7, "whole")), Replace())
    table.check()
    assert settings_of(spark, table)["clusteringColumns"] == '[["id"]]'


def test_rows_that_a_deletion_vector_hides_never_come_back(made: Made, spark: SparkSession) -> None:
    table = made(
        "CREATE TABLE {} (id INT, name STRING) USING delta TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
    )
    table.load(rows("id name", *((i, f"n{i}") for i in range(10))))
    run(spark, table, "DELETE FROM {} WHERE id IN (3, 4)")
    table.model.rows = [row for row in table.model.rows if row["id"] not in ("3", "4")]
    table.load(rows("id name", (5, "again"), (20, "new")), Merge(("id",)))
    table.load(rows("id name", (21, "new")), Append())
    table.check()


@pytest.mark.parametrize(
    ("made_by", "says"),
    [
        (
            "CREATE TABLE {} (id INT, name STRING GENERATED ALWAYS AS (CAST(id AS STRING))) USING delta",
            r"Column name is generated.*Rewrite the table without",
        ),
        (
            "CREATE TABLE {} (id BIGINT GENERATED ALWAYS AS IDENTITY, name STRING) USING delta",
            r"Column id is an identity.*Rewrite the table without",
        ),
        (
            "CREATE TABLE {} (id INT NOT NULL, name STRING) USING delta",
            r"Column id is NOT NULL\. Run ALTER TABLE .* DROP NOT NULL",
        ),
        (
            "CREATE TABLE {} (id INT, name STRING) USING delta TBLPROPERTIES ('delta.appendOnly' = 'true')",
            r"append-only.*Set it to false",
        ),
        (
            "CREATE TABLE {} (id INT, name STRING) USING delta "
            "TBLPROPERTIES ('delta.setTransactionRetentionDuration' = 'interval 1 day')",
            r"forget which loads it holds\. Unset that property",
        ),
    ],
    ids=["generated", "identity", "not null", "append only", "retention"],
)
def test_what_would_lose_something_in_silence_is_refused_by_name(made: Made, made_by: str, says: str) -> None:
    problems = " ".join(made(made_by).look().problems)
    assert re.search(says, problems), problems


def test_a_check_constraint_is_refused_by_its_name(made: Made, spark: SparkSession) -> None:
    table = made("CREATE TABLE {} (id INT, name STRING) USING delta")
    run(spark, table, "ALTER TABLE {} ADD CONSTRAINT positive CHECK (id > 0)")
    [problem] = table.look().problems
    assert problem == "It has the check constraint positive. Drop it."


@pytest.mark.parametrize("write", [Replace(), Append(), Merge(("id",))], ids=["replace", "append", "merge"])
def test_somebody_elses_writer_between_look_and_commit_loses_no_row(
    made: Made, spark: SparkSession, write: Write
) -> None:
    table = made("CREATE TABLE {} (id INT, name STRING) USING delta")
    table.load(THREE)
    step, look = table.step(write), table.look()
    prepared = table.prepare(step, rows("id name", (2, "ours")), look=look)
    run(spark, table, "INSERT INTO {} VALUES (9, 'theirs')")
    with pytest.raises(RivalCommitError, match="Somebody else committed"):
        table.destination.commit(step, prepared, look, table.record())
    assert {"id": "9", "name": "theirs"} in table.rows()
    table.destination.commit(step, prepared, table.look(), table.record())
    assert {"id": "2", "name": "ours"} in table.rows()


def test_somebody_elses_writer_while_metadata_is_settled_loses_no_row(
    made: Made, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments, properties and clustering take commits of their own, between the look and the overwrite."""
    table = made("CREATE TABLE {} (id INT, name STRING) USING delta")
    table.load(THREE)
    table.have(COLUMNS, comment="settled before the overwrite")

    def theirs(point: str) -> None:
        if point == "engine.after_schema":
            run(spark, table, "INSERT INTO {} VALUES (9, 'theirs')")

    with monkeypatch.context() as beside:
        beside.setattr(failpoints, "hit", theirs)
        with pytest.raises(RivalCommitError, match="Somebody else committed"):
            table.load(rows("id name", (2, "ours")), Replace())
    assert {"id": "9", "name": "theirs"} in table.rows()
    table.load(rows("id name", (2, "ours")), Replace())
    table.check()


@pytest.mark.parametrize("write", [Replace(), Merge(("id",))], ids=["replace", "rewritten merge"])
def test_somebody_elses_writer_in_the_moment_before_an_overwrite_is_told(
    made: Made, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    """Nothing of Delta's own would refuse it; without the note its rows would be gone in silence."""
    table = made("CREATE TABLE {} (id INT, name STRING) USING delta", session_confs="off")
    table.load(THREE)

    def theirs(point: str) -> None:
        if point == "engine.before_commit":
            run(spark, table, "INSERT INTO {} VALUES (2, 'theirs')")

    with monkeypatch.context() as beside:
        beside.setattr(failpoints, "hit", theirs)
        committed = table.load(rows("id name", (2, "ours"), (4, "d")), write)
    version = committed.table_version
    assert committed.notes == (
        f"Somebody else committed version {version - 1} in the moment before this load's version {version}, which may "
        "have overwritten rows of it; compare the two by time travel.",
    )
    assert table.load(rows("id name", (2, "ours"), (5, "e")), write).notes == ()


def test_somebody_elses_writer_between_two_loads_is_no_obstacle(made: Made, spark: SparkSession) -> None:
    table = made("CREATE TABLE {} (id INT, name STRING) USING delta")
    table.load(THREE)
    known = table.look().app_version
    run(spark, table, "UPDATE {} SET name = 'theirs' WHERE id = 1")
    assert table.look().app_version == known
    table.load(rows("id name", (1, "ours")), Merge(("id",)))
    table.check()


@pytest.mark.parametrize(
    "ages", [(-YEAR, -YEAR, -YEAR, -YEAR), (0, YEAR, -YEAR, 10 * YEAR)], ids=["in the future", "backwards"]
)
def test_a_log_whose_times_are_wrong_is_looked_at_by_versions(made: Made, ages: tuple[int, ...]) -> None:
    """Delta takes a commit's time from its file, which another computer's clock made."""
    table = made("CREATE TABLE {} (id INT, name STRING) USING delta")
    table.load(THREE)
    table.load(rows("id name", (4, "d")), Append())
    log = Path(table.destination.location) / "_delta_log"
    files = sorted(log.glob("*.json"))
    assert len(files) == len(ages)
    for file, age in zip(files, ages, strict=True):
        os.utime(file, (time.time() - age,) * 2)
    for checksum in log.glob(".*.crc"):
        os.utime(checksum, (time.time() + YEAR,) * 2)
    again = table.open()
    look = again.look(table.uid)
    assert look.newest is not None
    assert (look.table_version, look.app_version, look.newest.version) == (3, look.newest.version, look.app_version)
    table.load(rows("id name", (2, "B")), Merge(("id",)))
    table.check()
    assert table.look().table_version == 4
