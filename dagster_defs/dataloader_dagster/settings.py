"""Settings of the Dagster side, from ``DATALOADER_<FIELD>`` variables."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class DagsterSettings(BaseModel):
    """``dagster_url``: where people open Dagster, for the links in the control database."""

    model_config = ConfigDict(frozen=True)

    dagster_url: str | None = None

    def run_url(self, run_id: str) -> str | None:
        return f"{self.dagster_url.rstrip('/')}/runs/{run_id}" if self.dagster_url else None
