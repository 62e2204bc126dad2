"""Settings of the Dagster side, from ``DATALOADER_<FIELD>`` variables."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DagsterSettings(BaseModel):
    """What the Dagster side needs to know.

    Attributes:
        dagster_url: Where people open Dagster, for the links in the control database.
        run_time_limit: Seconds after which a run's process is ended.
        alone_time_limit: The same for a table that has its run alone, such as a backfill.
    """

    model_config = ConfigDict(frozen=True)

    dagster_url: str | None = None
    run_time_limit: int = Field(default=12 * 3600, ge=60)
    alone_time_limit: int = Field(default=24 * 3600, ge=60)

    def run_url(self, run_id: str) -> str | None:
        return f"{self.dagster_url.rstrip('/')}/runs/{run_id}" if self.dagster_url else None
