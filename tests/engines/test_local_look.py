"""What a look finds: whose commits, what came after them, and what must not be written to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from deltalake import DeltaTable, write_deltalake
from local_table import UID, Table

from dataloader_core.errors import DestinationRefusedError
from dataloader_core.plan import Append, Merge

ONE = "SELECT 1::int AS id, 'a' AS name, 1::decimal(12,2) AS amount"


@pytest.mark.parametrize("entry", ["notes.txt", "part-1.parquet", "day=1/part.parquet"])
def test_a_folder_with_something_else_is_refused(lake: Path, entry: str) -> None:
    table = Table(lake, {"id": "int"})
    file = table.path / entry
    file.parent.mkdir(parents=True)
    file.write_text("x")
    with pytest.raises(DestinationRefusedError, match="no Delta log"):
        table.look()
    assert file.exists()


def test_a_file_where_a_folder_should_be_is_refused(lake: Path) -> None:
    lake.mkdir()
    (lake / "bronze").write_text("x")
    table = Table(lake, {"id": "int"})
    with pytest.raises(DestinationRefusedError):
        table.look()
    with pytest.raises(DestinationRefusedError):
        table.create()


def test_commits_of_others_do_not_hide_ours(orders: Table) -> None:
    orders.load(ONE)
    mine = orders.look().newest
    for _ in range(20):
        write_deltalake(orders.path, orders_batch(), mode="append")
    look = orders.look()
    assert look.newest == mine
    assert not look.restored
    assert mine is not None
    assert look.app_version == mine.version


def orders_batch() -> Any:
    from decimal import Decimal

    import pyarrow as pa

    return pa.table(
        {
            "id": pa.array([5], pa.int32()),
            "name": pa.array(["x"]),
            "amount": pa.array([Decimal("1.00")], pa.decimal128(12, 2)),
        }
    )


def test_what_the_log_no_longer_tells_is_told_by_the_newest_fence(orders: Table) -> None:
    orders.load(ONE)
    data = orders.look().newest
    assert data is not None
    fence = data.fence_at(orders.record(0).version, uuid4(), None)
    orders.destination.commit_empty(orders.look(), fence)
    DeltaTable(orders.path).create_checkpoint()
    for old in sorted(orders.path.glob("_delta_log/*.json"))[:2]:
        old.unlink()
    look = orders.look()
    assert look.newest is None
    assert look.newest_fence == fence
    assert look.app_version == fence.version
    assert look.newest_fence.data_version == data.version
    orders.load(ONE, Append())
    assert len(orders.rows()) == 2


def test_a_table_without_statistics_is_counted_by_its_files(orders: Table) -> None:
    write_deltalake(
        orders.path, orders_batch(), mode="append", configuration={"delta.dataSkippingStatsColumns": "name"}
    )
    log = sorted(orders.path.glob("_delta_log/*.json"))[-1]
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    for entry in entries:
        entry.get("add", {})["stats"] = None
    log.write_text("\n".join(json.dumps(e) for e in entries))
    assert orders.look().handle.files[0].rows is None
    assert orders.look().has_rows
    done = orders.load("SELECT 5::int AS id, 'y' AS name, 2::decimal(12,2) AS amount", Merge(("id",)))
    assert (done.rows_total, done.metrics["rows_updated"]) == (1, 1)


def foreign(
    path: Path,
    *,
    features: tuple[str, ...] = (),
    readers: tuple[str, ...] = (),
    configuration: Mapping[str, str] | None = None,
    field: Mapping[str, Any] | None = None,
    second: Mapping[str, Any] | None = None,
    partitions: tuple[str, ...] = (),
    protocol: Mapping[str, Any] | None = None,
) -> None:
    """A log written by hand, as another writer would leave it."""
    columns = [
        {"name": "id", "type": "integer", "nullable": True, "metadata": {}, **(field or {})},
        {"name": "day", "type": "date", "nullable": True, "metadata": {}, **(second or {})},
    ]
    entries = [
        {
            "protocol": protocol
            or {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": list(readers),
                "writerFeatures": [*features, *readers],
            }
        },
        {
            "metaData": {
                "id": str(uuid4()),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": columns}),
                "partitionColumns": list(partitions),
                "configuration": dict(configuration or {}),
                "createdTime": 1,
            }
        },
    ]
    log = path / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("\n".join(map(json.dumps, entries)) + "\n")


def on(**configuration: str) -> dict[str, str]:
    return {f"delta.{key}": value for key, value in configuration.items()}


def told(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {f"delta.{key}": value for key, value in metadata.items()}}


INVARIANT = json.dumps({"expression": {"expression": "id > 1"}})
NESTED = {"type": "array", "elementType": "string", "containsNull": True}
REFUSED: dict[str, dict[str, Any]] = {
    "has deletion vectors": {"configuration": on(enableDeletionVectors="true"), "readers": ("deletionVectors",)},
    "column mapping": {
        "configuration": {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"},
        "readers": ("columnMapping",),
        "field": {"metadata": {"delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "c1"}},
        "second": {"metadata": {"delta.columnMapping.id": 2, "delta.columnMapping.physicalName": "c2"}},
    },
    "clustering": {"features": ("clustering", "domainMetadata")},
    "rowTracking": {"features": ("rowTracking", "domainMetadata")},
    "typeWidening": {"readers": ("typeWidening",)},
    "catalog": {"readers": ("catalogManaged",)},
    "in-commit timestamps": {"features": ("inCommitTimestamp",), "configuration": on(enableInCommitTimestamps="true")},
    "tomorrow": {"features": ("tomorrow",)},
    "allowColumnDefaults": {"features": ("allowColumnDefaults",)},
    "a default": {"field": {"metadata": {"CURRENT_DEFAULT": "1"}}},
    "identityColumns": {"features": ("identityColumns",)},
    "identity columns": {"protocol": {"minReaderVersion": 2, "minWriterVersion": 6}},
    "a generated value": {"field": told(generationExpression="1")},
    "an invariant": {"field": told(invariants=INVARIANT)},
    "the check constraint positive": {"configuration": {"delta.constraints.positive": "id > 0"}},
    "append-only": {"configuration": on(appendOnly="true"), "features": ("appendOnly",)},
    "change data feed": {"configuration": on(enableChangeDataFeed="true"), "features": ("changeDataFeed",)},
    "setTransactionRetentionDuration": {"configuration": on(setTransactionRetentionDuration="interval 7 days")},
    "partitioned by day": {"partitions": ("day",)},
    "NOT NULL": {"field": {"nullable": False}},
    "array": {"field": {"type": NESTED}},
    "byte": {"field": {"type": "byte"}},
}


@pytest.mark.parametrize(("named", "made"), REFUSED.items(), ids=REFUSED)
def test_what_is_not_handled_is_named(lake: Path, named: str, made: dict[str, Any]) -> None:
    table = Table(lake, {"id": "int"})
    foreign(table.path, **made)
    try:
        problems = " ".join(table.look().problems)
    except DestinationRefusedError as error:
        problems = str(error)  # delta-rs itself cannot open some of them
    assert named.casefold() in problems.casefold(), problems


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}},
        {"features": ("appendOnly", "invariants", "checkConstraints", "changeDataFeed", "generatedColumns")},
        {"readers": ("deletionVectors",), "configuration": {"delta.enableDeletionVectors": "false"}},
    ],
    ids=["version 7 bare", "version 2", "version 5", "possible but not in use", "vectors switched off"],
)
def test_features_that_are_only_possible_are_no_problem(lake: Path, made: dict[str, Any]) -> None:
    table = Table(lake, {"id": "int", "day": "date"})
    foreign(table.path, **made)
    assert table.look().problems == ()
    table.load("SELECT 1::int AS id, date '2024-01-01' AS day")
    assert len(table.rows()) == 1


def test_only_the_owner_drops_a_table(orders: Table) -> None:
    orders.load(ONE)
    with pytest.raises(DestinationRefusedError, match="belongs to"):
        orders.destination.drop(uuid4())
    assert len(orders.rows()) == 1
    orders.destination.drop(UID)
    assert not orders.look().exists
    orders.destination.drop(UID)
    assert list(orders.path.parent.iterdir()) == []
