"""Settings of the local engine, from ``DATALOADER_<FIELD>`` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dataloader_core.places import is_url, place


class LocalSettings(BaseModel):
    """What the local engine may use.

    Attributes:
        lake: Root of all tables: a folder, or the URL of an object store (its credentials come from the environment,
            as delta-rs and Arrow read them).
        temp_folder: Where rows wait that cannot wait in the lake, and what does not fit into memory. None: the
            system's own.
        threads: Cores to use for one table.
        files: Files that one full read becomes at most. Contiguous ranges of keys make later merges cheap.
        memory_mb: Memory of one table's DuckDB, in MiB; beyond it, it uses the temp folder. Four times as much where a
            single value cannot be held otherwise.
        unity_catalog: ``on`` registers each table as an external one in Unity Catalog, in the workspace that
            ``DATABRICKS_HOST`` names, with the login that the Databricks SDK finds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lake: str = Field(min_length=1)
    temp_folder: Path | None = None
    threads: int = Field(2, ge=1, le=64)
    files: int = Field(16, ge=1, le=1024)
    memory_mb: int = Field(160, ge=64)
    unity_catalog: Literal["off", "on"] = "off"

    @field_validator("lake")
    @classmethod
    def _place(cls, lake: str) -> str:
        found = place(lake)
        if is_url(found) and "://" not in found:
            raise ValueError("is a place that only Spark knows; name a folder, a Volume or the URL of a store")
        return found
