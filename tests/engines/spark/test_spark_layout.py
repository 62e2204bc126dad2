"""What a table was told about itself stays: clustering, partitions, defaults; and tuning that the table cannot take."""

from __future__ import annotations

import json
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dataloader_core import failpoints
from dataloader_core.errors import RivalCommitError, SchemaChangeError
from dataloader_core.plan import Append, Merge, Replace, Write
from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_engines.spark import log
from dataloader_engines.spark.session import LoadSession, Seen
from tests.engines.spark.strange import COLUMNS, Made, made, run, settings_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["made"]
pytestmark = [
    pytest.mark.spark,
    # PySpark leaves it to the garbage collector to close the socket that collected rows came through.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
PLAIN = "CREATE TABLE {} (id INT, name STRING) USING delta"
CLUSTERED = f"{PLAIN} CLUSTER BY (id)"


def clusters(spark: SparkSession, table: ConformanceTable) -> list[str]:
    found: list[list[str]] = json.loads(settings_of(spark, table).get("clusteringColumns", "[]"))
    return [name for [name] in found]


@pytest.mark.parametrize("kind", ["boolean", "binary"])
def test_tuning_clusters_by_no_key_that_delta_cannot_skip_by(made: Made, spark: SparkSession, kind: str) -> None:
    table = made(f"CREATE TABLE {{}} (id INT, flag {kind}) USING delta", {"id": "int", "flag": kind}, tuning="on")
    value = {"boolean": ("true", "false"), "binary": ("01", "02")}[kind]
    table.load(rows("id flag", (1, value[0])))
    committed = table.load(rows("id flag", (1, value[0]), (2, value[1])), Merge(("flag", "id")))
    table.check()
    assert clusters(spark, table) == ["id"]
    [note] = committed.notes
    assert f"flag is {kind}" in note


@pytest.mark.parametrize(
    ("properties", "clustered"),
    [
        ("", ["c31"]),
        ("TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '33')", ["c31", "c32"]),
        ("TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '-1')", ["c31", "c32"]),
        ("TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'c0, `c32`')", ["c32"]),
    ],
    ids=["the first 32", "the first 33", "all", "named ones"],
)
def test_tuning_clusters_by_no_key_without_statistics(
    made: Made, spark: SparkSession, properties: str, clustered: list[str]
) -> None:
    names = [f"c{i}" for i in range(33)]
    listed = ", ".join(f"{name} INT" for name in names)
    table = made(f"CREATE TABLE {{}} ({listed}) USING delta {properties}", dict.fromkeys(names, "int"), tuning="on")
    table.load(rows(" ".join(names), range(33)))
    committed = table.load(rows(" ".join(names), range(33)), Merge(("c31", "c32")))
    assert clusters(spark, table) == clustered
    assert len(committed.notes) == (len(clustered) < 2)


@pytest.mark.parametrize(
    "properties",
    [
        "'delta.enableIcebergCompatV1' = 'true', 'delta.columnMapping.mode' = 'name'",
        "'delta.enableIcebergCompatV2' = 'true', 'delta.columnMapping.mode' = 'name'",
        "'delta.compatibility.symlinkFormatManifest.enabled' = 'true'",
    ],
    ids=["IcebergCompatV1", "IcebergCompatV2", "manifests"],
)
def test_tuning_sets_no_deletion_vectors_where_other_readers_could_not_read_them(
    made: Made, spark: SparkSession, properties: str
) -> None:
    table = made(f"{PLAIN} TBLPROPERTIES ({properties})", tuning="on")
    [note] = table.load(rows("id name", (1, "a"))).notes
    assert "delta.enableDeletionVectors" in note
    found = settings_of(spark, table)
    assert "delta.enableDeletionVectors" not in found
    assert found["delta.autoOptimize.autoCompact"] == "true"


def test_what_a_table_refuses_all_the_same_is_a_note_of_the_load(
    made: Made, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the rule for manifests were not there."""
    from dataloader_engines.spark import tuning

    monkeypatch.setattr(tuning, "_NO_VECTORS", {})
    table = made(f"{PLAIN} TBLPROPERTIES ('delta.compatibility.symlinkFormatManifest.enabled' = 'true')", tuning="on")
    [note] = table.load(rows("id name", (1, "a"))).notes
    assert note.startswith("The table refuses delta.enableDeletionVectors")
    table.check()


def test_an_overwrite_of_all_rows_keeps_clustering_in_its_own_commit(made: Made, spark: SparkSession) -> None:
    table = made(CLUSTERED)
    for types, given in (
        (COLUMNS, rows("id name", (1, "a"), (2, "b"))),
        ({"id": "int", "more": "int", "name": "string"}, rows("id more name", (3, 7, "c"))),
    ):
        table.have(types)
        committed = table.load(given, Replace())
        assert table.look().table_version == committed.table_version
        table.check()
        assert clusters(spark, table) == ["id"]


@pytest.mark.parametrize("write", [Append(), Replace()], ids=["append", "replace"])
def test_clustering_survives_a_death_behind_an_overwrite_that_takes_the_schema_whole(
    made: Made, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    table = made(CLUSTERED)
    table.load(rows("id name", (1, "a")))
    table.have({"id": "bigint"})
    with monkeypatch.context() as dying:
        dying.setattr(failpoints, "hit", _die_behind_the_commit)
        with pytest.raises(_DeathError):
            table.load(rows("id", (2,)), Replace())
    assert clusters(spark, table) == []
    table.load(rows("id", (3,)), write)
    assert clusters(spark, table) == ["id"]
    assert not [key for key in settings_of(spark, table) if key.startswith("dataloader.clustered")]


def test_a_rival_right_behind_such_an_overwrite_fails_no_load_that_is_committed(
    made: Made, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataloader_engines.spark import clustering

    def beaten(*_: object) -> None:
        raise RivalCommitError("Somebody else committed.")

    table = made(CLUSTERED)
    table.load(rows("id name", (1, "a")))
    table.have({"id": "bigint"})
    with monkeypatch.context() as racing:
        racing.setattr(clustering, "set_to", beaten)
        [*_, note] = table.load(rows("id", (2,)), Replace()).notes
    assert "next write sets the clustering again" in note
    table.load(rows("id", (3,)), Append())
    table.check()
    assert clusters(spark, table) == ["id"]


class _DeathError(Exception):
    pass


def _die_behind_the_commit(point: str) -> None:
    if point == "engine.after_commit":
        raise _DeathError


def test_clustering_by_a_column_that_is_none_to_cluster_by_any_more_ends_with_a_note(
    made: Made, spark: SparkSession
) -> None:
    table = made(f"{PLAIN} CLUSTER BY (id, name)")
    table.load(rows("id name", (1, "a")))
    table.have({"id": "boolean", "name": "string"})
    assert any("id is boolean" in note for note in table.load(rows("id name", ("true", "a")), Replace()).notes)
    assert clusters(spark, table) == ["name"]
    assert table.load(rows("id name", ("false", "a")), Append()).notes == ()


def test_an_overwrite_keeps_column_defaults(made: Made, spark: SparkSession) -> None:
    table = made(
        "CREATE TABLE {} (id INT, name STRING DEFAULT 'none') USING delta "
        "TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')"
    )
    table.load(rows("id name", (1, "a")))
    table.load(rows("id name", (1, "b")), Merge(("id",)))
    table.have({"id": "bigint", "name": "string"})
    table.load(rows("id name", (2, "b")), Replace())
    run(spark, table, "INSERT INTO {} (id) VALUES (3)")
    assert {"id": "3", "name": "none"} in table.rows()


OLD = "TBLPROPERTIES ('delta.minReaderVersion' = '1', 'delta.minWriterVersion' = '{}')"
GENERATED = "CREATE TABLE {{}} (id INT, name STRING GENERATED ALWAYS AS (CAST(id AS STRING))) USING delta {}"


@pytest.mark.parametrize("version", [4, 5, 6])
def test_an_overwrite_loses_no_generated_column_of_an_old_protocol(made: Made, version: int) -> None:
    table = made(GENERATED.format(OLD.format(version)))
    table.load(rows("id name", (1, "1")), Append())
    table.have({"id": "bigint", "name": "string"})
    with pytest.raises(SchemaChangeError, match="name") as caught:
        table.load(rows("id name", (1, "1")), Replace())
    assert "generated" in caught.value.problem


def test_the_log_of_a_table_whose_name_looks_like_a_pattern_is_read(spark: SparkSession, tmp_path: Path) -> None:
    location = f"{tmp_path}/t[1]{{a,b}}"
    spark.sql(f"CREATE TABLE delta.`{location}` (id INT, name STRING) USING delta").collect()
    opened = LoadSession(spark, own=False, confs=True, lock=RLock(), seen=Seen())
    assert log.fields(opened, location) == {"id": {}, "name": {}}
    assert log.transaction_version(opened, location, uuid4()) is None


@pytest.mark.parametrize("version", [4, 6])
def test_a_protocol_that_could_have_generated_columns_and_has_none_is_no_obstacle(
    made: Made, spark: SparkSession, version: int
) -> None:
    table = made(f"{PLAIN} {OLD.format(version)}", tuning="on")
    assert table.look().problems == ()
    table.load(rows("id name", (1, "a")))
    table.load(rows("id name", (1, "b"), (2, "b")), Merge(("id",)))
    table.have({"id": "bigint", "name": "string"})
    table.load(rows("id name", (1, "c")), Replace())
    table.check()
    assert settings_of(spark, table)["delta.minWriterVersion"] == "7"
    assert table.look().problems == ()


def test_a_cluster_that_overwrites_only_partitions_that_are_written_loses_none(
    made: Made, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``spark.sql.sources.partitionOverwriteMode`` of a cluster says it to every session."""
    from dataloader_engines.spark import session

    dynamic = {**session._OWN, "spark.sql.sources.partitionOverwriteMode": "dynamic"}
    monkeypatch.setattr(session, "_OWN", dynamic)
    table = made(f"{PLAIN} PARTITIONED BY (name)")
    table.load(rows("id name", (1, "a"), (2, "b")))
    table.load(rows("id name", (3, "a")), Replace())
    table.check()
