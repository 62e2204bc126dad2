"""The fields of an entry: the columns of ``table_control`` that people may write."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def _number_as_text(value: object) -> object:
    """Whole numbers may stand without quotes; a fraction would already have lost digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        raise ValueError("write a number with a fraction in quotes, so that no digit is lost")
    return value


Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_no_nul)]
NumberText = Annotated[Text, BeforeValidator(_number_as_text)]
Count = Annotated[int, Field(gt=0)]
Hours = Annotated[float, Field(ge=0, strict=False)]


class TableEntry(BaseModel):
    """One table, or what of it shall change: a field that is not given stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    control_key: Text | None = None
    db_config_key: Text | None = None
    source_table_catalog: Text | None = None
    source_table_schema: Text | None = None
    source_table_name: Text | None = None
    query: Text | None = None
    filter: Text | None = None
    columns: list[Text] | None = Field(default=None, min_length=1)
    destination_table_catalog: Text | None = None
    destination_table_schema: Text | None = None
    destination_table_name: Text | None = None
    load_strategy: Text | None = None
    strategy_options: dict[str, Any] | None = None
    primary_key_cols: list[Text] | None = None
    incremental_column: Text | None = None
    incremental_type: Literal["timestamp", "integer"] | None = None
    incremental_value: NumberText | None = None
    incremental_lookback: NumberText | None = None
    incremental_lookback_hours: Hours | None = None
    watermark_delay: NumberText | None = None
    rolling_column: Text | None = None
    rolling_days: Annotated[int, Field(ge=0)] | None = None
    partition_column: Text | None = None
    num_partitions: Count | None = None
    lower_bound: NumberText | None = None
    upper_bound: NumberText | None = None
    time_zone: Text | None = None
    load_cron: Text | None = None
    is_active: bool | None = None
    row_limit: Count | None = None
    schema_policy: Literal["evolve", "freeze", "fail"] | None = None
    on_unrepresentable: Literal["fail", "null"] | None = None
    way_of_reading: Text | None = None
    allow_empty: bool | None = None
    max_delete_fraction: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None

    def given(self) -> dict[str, Any]:
        """The columns that the entry sets, under their names in ``table_control``."""
        fields = self.model_dump(exclude_unset=True)
        if "incremental_lookback_hours" in fields:
            hours = fields.pop("incremental_lookback_hours")
            fields["incremental_lookback"] = None if hours is None else f"{Decimal(str(hours)).normalize():f} hours"
        if "primary_key_cols" in fields:
            fields["primary_key_cols"] = fields["primary_key_cols"] or []
        return fields


FIELDS: Final = tuple(TableEntry.model_fields)

NEVER_NULL: Final = frozenset(
    {
        "control_key", "db_config_key", "destination_table_catalog", "destination_table_schema",
        "destination_table_name", "load_strategy", "strategy_options", "time_zone", "is_active", "schema_policy",
        "on_unrepresentable", "allow_empty", "max_delete_fraction",
    }
)  # fmt: skip
"""Columns that always have a value."""

NOT_YET: Final = frozenset({"is_delete", "delete_mode", "deletes_checked_at"})
"""Options of an older system that nothing here would heed yet."""

STATE: Final = frozenset(
    {
        "config_id", "table_uid", "last_status", "last_status_message", "last_status_date_time", "last_load_date_time",
        "next_load_date_time", "load_full", "load_seq", "committed_version", "backfill_cursor", "retry_count",
        "heartbeat_at", "staging_model_processed", "last_dagster_run", "last_databricks_run", "watermark_sets",
    }
)  # fmt: skip
"""Columns that loads write, not files."""
