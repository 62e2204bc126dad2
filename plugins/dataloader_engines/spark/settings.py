"""Settings of the Spark engine, from ``DATALOADER_<FIELD>`` variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dataloader_core.places import place, refuse_credentials


class SparkSettings(BaseModel):
    """What the Spark engine may use. On Databricks none is needed but ``staging``.

    Attributes:
        lake: Root of all tables, laid out as the local engine's, so that both engines load the same tables. None:
            tables go by their three names, in the catalog.
        staging: Folder where rows wait until they are committed: of the lake's storage, or of a Unity Catalog Volume.
            None: a folder inside the table's own, which only tables in a lake have.
        staging_hours: What a crashed load left in the staging folder is deleted by a later load after this time.
        spark_remote: A Spark Connect URL (``sc://host:15002``), without a token.
        spark_master: Where Spark runs that this process starts itself.
        spark_jars: Folder with the jars of Delta and of JDBC drivers, for machines without a network. None: Spark
            fetches what is needed.
        spark_packages: Maven coordinates of further jars to fetch when Spark starts; JDBC drivers come by themselves.
        spark_conf: Configuration of the session that this process starts.
        spark_parts: Into how many pieces a read is cut, at most the source's ``parallel``; None: as many as it advises.
        write_through: ``off``: rows always wait in files until they are committed. ``auto``: not where the source has
            told beforehand what they are and no key has to be checked; then they are read while the table is written.
        session_confs: ``off``: the session takes no configuration (serverless), so that merges are rewrites.
        tuning: Deletion vectors, optimized writes, auto compaction and clustering on new tables, and on those where
            nobody chose otherwise. ``auto``: on Databricks only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lake: str | None = None
    staging: str | None = None
    staging_hours: float = Field(24, gt=0)
    spark_remote: str | None = None
    spark_master: str = "local[*]"
    spark_jars: Path | None = None
    spark_packages: tuple[str, ...] = ()
    spark_conf: Mapping[str, str] = Field(default_factory=dict)
    spark_parts: int | None = Field(None, ge=1, le=1024)
    write_through: Literal["auto", "off"] = "auto"
    session_confs: Literal["auto", "off"] = "auto"
    tuning: Literal["auto", "on", "off"] = "auto"

    @field_validator("lake", "staging")
    @classmethod
    def _place(cls, given: str | None) -> str | None:
        return place(given) if given else given

    @field_validator("spark_remote")
    @classmethod
    def _no_credentials(cls, url: str | None) -> str | None:
        return refuse_credentials(url) if url else url
