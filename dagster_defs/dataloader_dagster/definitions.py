"""The definitions that ``dagster dev -m dataloader_dagster.definitions`` serves.

Importing this needs no control database, no secret and no network: all of that is opened inside a tick or a run,
so that a location that was loaded while the database was down works as soon as it is back.
"""

from __future__ import annotations

from dagster import AssetSelection, Definitions, define_asset_job, in_process_executor

from dataloader_core.plugins.manager import KINDS, Registry, default_registry
from dataloader_dagster.assets import table_load_asset
from dataloader_dagster.monitors import reconcile_sensors
from dataloader_dagster.requests import TABLE_LOAD, TABLE_LOAD_JOB
from dataloader_dagster.sensors import master_sensor
from dataloader_dagster.translator import TableAssetTranslator


def build_definitions(translator: TableAssetTranslator | None = None) -> Definitions:
    """All definitions, with a team's own translator where it has one.

    The asset's own steps run in the run's process: the work is done by what the launcher starts, and a further
    process a step would cost two seconds a run.
    """
    job = define_asset_job(
        TABLE_LOAD_JOB,
        selection=AssetSelection.assets(TABLE_LOAD),
        executor_def=in_process_executor,
        description="Loads the tables that a tick of the sensor claimed.",
    )
    return Definitions(
        metadata=registered(default_registry()),
        assets=[table_load_asset(translator or TableAssetTranslator())],
        jobs=[job],
        sensors=[master_sensor, *reconcile_sensors(job)],
    )


def registered(registry: Registry) -> dict[str, str]:
    """The plugins that this location was assembled with, by kind, and those that were left out."""
    names = {kind: ", ".join(registry.names(kind)) or "none" for kind in KINDS}
    return names | {"left out": "; ".join(map(str, registry.problems)) or "none"}


defs = build_definitions()
