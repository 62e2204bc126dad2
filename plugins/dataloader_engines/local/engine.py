"""The local engine: one machine, no JVM. DuckDB and Arrow write Parquet, delta-rs commits it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import ClassVar

from pydantic import BaseModel

from dataloader_core.errors import DataLoaderError
from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.interfaces.source import Check
from dataloader_core.places import is_url
from dataloader_engines.local.catalog import UnityCatalog
from dataloader_engines.local.catalog_destination import RegisteredDestination
from dataloader_engines.local.destination import LocalDestination
from dataloader_engines.local.errors import destination_errors
from dataloader_engines.local.settings import LocalSettings
from dataloader_engines.local.storage import open_storage


class LocalEngine(Engine):
    """Tables lie in ``<lake>/<catalog>/<schema>/<table>``."""

    name: ClassVar[str] = "local"
    reads: ClassVar[tuple[str, ...]] = ("parquet", "arrow")

    def __init__(self, settings: BaseModel) -> None:
        assert isinstance(settings, LocalSettings)
        self.settings = settings
        self._catalog = UnityCatalog() if settings.unity_catalog == "on" else None

    def destination(self, catalog: str, schema: str, table: str) -> Destination:
        with destination_errors(self.settings.lake):
            storage = open_storage(self.settings.lake, (catalog, schema, table), self.settings.temp_folder)
        if self._catalog is None:
            return LocalDestination(storage, self.settings)
        return RegisteredDestination(storage, self.settings, self._catalog, (catalog, schema, table))

    def checks(self) -> Sequence[Check]:
        drivers = ", ".join(f"{name} {version(name)}" for name in ("deltalake", "duckdb", "pyarrow"))
        found = (Check("drivers", True, drivers), self._storage_check())
        return found if self._catalog is None else (*found, self._catalog_check(self._catalog))

    def _catalog_check(self, catalog: UnityCatalog) -> Check:
        if is_url(self.settings.lake):
            return catalog.check()
        return Check(
            "unity catalog",
            False,
            f"{self.settings.lake} is a folder of this machine, which Unity Catalog cannot read.",
            "Set DATALOADER_LAKE to a URL below an external location, such as abfss://, s3:// or gs://.",
        )

    def _storage_check(self) -> Check:
        try:
            with destination_errors(self.settings.lake):
                entries = len(open_storage(self.settings.lake, (), self.settings.temp_folder).names())
        except DataLoaderError as error:
            return Check("lake", False, error.problem, error.cure)
        return Check("lake", True, f"{self.settings.lake} answers ({entries} catalogs).")
