"""Table properties that make later loads and reads cheaper, where nobody chose otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dataloader_core.plan import Merge, Write
from dataloader_engines.spark import commits
from dataloader_engines.spark.address import Address
from dataloader_engines.spark.kinds import on_databricks
from dataloader_engines.spark.look import Handle
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.settings import SparkSettings
from dataloader_engines.spark.sql import quote

_PROPERTIES: Final[Mapping[str, str]] = {
    "delta.enableDeletionVectors": "true",
    "delta.autoOptimize.optimizeWrite": "true",
    "delta.autoOptimize.autoCompact": "true",
}
_CLUSTERED_BY: Final = 4
"""Delta clusters by at most so many columns."""


def is_on(settings: SparkSettings) -> bool:
    return settings.tuning == "on" or (settings.tuning == "auto" and on_databricks())


def of_new_table(settings: SparkSettings) -> Mapping[str, str]:
    return _PROPERTIES if is_on(settings) else {}


def apply(session: LoadSession, address: Address, settings: SparkSettings, handle: Handle, write: Write) -> None:
    """Set what is not set, in commits of their own before the load's. A property with any value is left alone."""
    if not is_on(settings):
        return
    missing = {key: value for key, value in _PROPERTIES.items() if key not in handle.properties}
    if missing:
        commits.set_properties(session, address, missing)
    clusters = handle.clustered or handle.partitioned or "clustering" in handle.features
    if isinstance(write, Merge) and not clusters:
        columns = {c.name.casefold(): c.name for c in handle.columns}
        keys = [columns[k.casefold()] for k in write.keys if k.casefold() in columns][:_CLUSTERED_BY]
        if keys:
            listed = ", ".join(map(quote, keys))
            commits.alter(session, address, f"ALTER TABLE {address.sql} CLUSTER BY ({listed})")
