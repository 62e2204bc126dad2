"""The hook that offers the Spark engine. Imports no driver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dataloader_core.plugins import EngineRecord, hookimpl
from dataloader_engines.spark.settings import SparkSettings

if TYPE_CHECKING:
    from dataloader_engines.spark.engine import SparkEngine


@hookimpl
def dataloader_engines() -> Iterable[EngineRecord]:
    yield EngineRecord(
        "spark",
        "Spark and Delta, on Databricks or any cluster, by classic Spark or Spark Connect",
        load=_load,
        settings=SparkSettings,
        extra="spark",
    )


def _load() -> type[SparkEngine]:
    from dataloader_engines.spark.engine import SparkEngine

    return SparkEngine
