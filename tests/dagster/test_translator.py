"""How a load shows up in Dagster: keys, and numbers where Dagster plots them."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from dagster import AssetKey, AssetMaterialization, AssetObservation

from dataloader_core.control.records import LoadResult, Outcome
from dataloader_dagster.translator import TableAssetTranslator, watermark_number

LOADED = Outcome(
    "crm.public.orders",
    UUID(int=7),
    "Succeeded",
    "",
    "bronze.crm.orders",
    1.5,
    LoadResult(rows=10, bytes=2048, watermark_after="2026-01-02 03:04:05.678901+00:00", table_version=3),
)


def test_a_destination_is_an_asset_of_its_own() -> None:
    event = TableAssetTranslator().event(LOADED)
    assert isinstance(event, AssetMaterialization)
    assert event.asset_key == AssetKey(["bronze", "crm", "orders"])


def test_rows_bytes_duration_and_watermark_are_numbers() -> None:
    event = TableAssetTranslator().event(LOADED, "http://dagster/runs/1")
    assert event is not None
    values = {name: entry.value for name, entry in event.metadata.items()}
    assert values == {
        "control_key": "crm.public.orders",
        "rows": 10,
        "rows_deleted": 0,
        "bytes": 2048,
        "duration_seconds": 1.5,
        "watermark": "2026-01-02 03:04:05.678901+00:00",
        "watermark_number": pytest.approx(1767323045.678901),
        "table_version": 3,
        "run": "http://dagster/runs/1",
    }


def test_a_load_that_had_nothing_to_do_is_an_observation() -> None:
    skipped = replace(LOADED, result=LoadResult(skipped=True))
    assert isinstance(TableAssetTranslator().event(skipped), AssetObservation)


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Lost"])
def test_nothing_else_is_a_materialization(status: str) -> None:
    assert TableAssetTranslator().event(replace(LOADED, status=status, result=None)) is None  # type: ignore[arg-type]  # a text of the parameters


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42),
        ("1.5", 1.5),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1970-01-02", 86400.0),
        ("1970-01-01 00:00:01", 1.0),
        ("1970-01-01 01:00:00+01", 0.0),
        ("0x00000000000007D1", None),
        ("infinity", None),
        ("NaN", None),
        ("", None),
    ],
)
def test_watermarks_are_plotted_where_they_are_numbers_or_times(text: str, number: float | None) -> None:
    assert watermark_number(text) == number


def test_a_team_names_its_assets_as_it_likes() -> None:
    class Ours(TableAssetTranslator):
        def asset_key(self, outcome: Outcome) -> AssetKey:
            return AssetKey(["lakehouse", *super().asset_key(outcome).path])

    event = Ours().event(LOADED)
    assert event is not None
    assert event.asset_key.path == ["lakehouse", "bronze", "crm", "orders"]
