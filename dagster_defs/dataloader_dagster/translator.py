"""How a loaded table shows up in Dagster. The one class that a team overrides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from dagster import AssetKey, AssetMaterialization, AssetObservation, MetadataValue

from dataloader_core.control.records import LoadResult, Outcome

if TYPE_CHECKING:
    from dagster._core.definitions.metadata import RawMetadataValue


class TableAssetTranslator:
    """Turns the outcome of one load into an event of the destination's own asset.

    Example::

        class OurNames(TableAssetTranslator):
            def asset_key(self, outcome: Outcome) -> AssetKey:
                return AssetKey(["lakehouse", *outcome.destination.split(".")])


        defs = build_definitions(translator=OurNames())
    """

    def asset_key(self, outcome: Outcome) -> AssetKey:
        """``catalog/schema/table``; the names hold no dot, the control database sees to it."""
        return AssetKey(outcome.destination.split("."))

    def metadata(self, outcome: Outcome, run_url: str | None = None) -> Mapping[str, RawMetadataValue]:
        """Numbers where Dagster plots them. ``watermark_number``: seconds since 1970 of a time, or the integer."""
        result = outcome.result or LoadResult()
        entries: dict[str, RawMetadataValue] = {
            "control_key": outcome.control_key,
            "rows": result.rows,
            "rows_deleted": result.rows_deleted,
            "bytes": result.bytes,
            "duration_seconds": round(outcome.duration_seconds, 3),
        }
        if result.watermark_after is not None:
            entries["watermark"] = result.watermark_after
            number = watermark_number(result.watermark_after)
            if number is not None:
                entries["watermark_number"] = number
        if result.table_version is not None:
            entries["table_version"] = result.table_version
        if result.notes:
            entries["notes"] = MetadataValue.md("\n".join(f"- {note}" for note in result.notes))
        if run_url:
            entries["run"] = MetadataValue.url(run_url)
        return entries

    def event(self, outcome: Outcome, run_url: str | None = None) -> AssetMaterialization | AssetObservation | None:
        """A materialization; an observation where there was nothing to load; None where the load failed."""
        if outcome.status != "Succeeded":
            return None
        skipped = outcome.result is not None and outcome.result.skipped
        make = AssetObservation if skipped else AssetMaterialization
        return make(
            asset_key=self.asset_key(outcome),
            description=outcome.message,
            metadata=dict(self.metadata(outcome, run_url)),
        )


def watermark_number(text: str) -> float | int | None:
    """A watermark's text as a number for plots; None for what is neither number nor time."""
    try:
        number = Decimal(text)
        if not number.is_finite():
            return None
        return int(number) if number == number.to_integral_value() else float(number)
    except (InvalidOperation, OverflowError, ValueError):
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
