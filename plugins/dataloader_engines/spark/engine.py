"""The Spark engine: classic Spark or Spark Connect, Delta tables by path or in a catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel

from dataloader_core.errors import DataLoaderError
from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.interfaces.source import Check, JdbcDriver, Way
from dataloader_engines.spark import jars, versions
from dataloader_engines.spark.address import address
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.kinds import JDBC_BY_CONNECT, on_databricks, remote_of
from dataloader_engines.spark.session import Sessions
from dataloader_engines.spark.settings import SparkSettings


class SparkEngine(Engine):
    """Tables lie in ``<lake>/<catalog>/<schema>/<table>``, as the local engine's do, or go by their three names."""

    name: ClassVar[str] = "spark"
    reads: ClassVar[tuple[str, ...]] = ("arrow", "jdbc")

    def __init__(self, settings: BaseModel) -> None:
        assert isinstance(settings, SparkSettings)
        self.settings = settings
        self._sessions = Sessions(settings)

    def refuses(self, way: Way) -> str | None:
        return JDBC_BY_CONNECT if way == "jdbc" and remote_of(self.settings.spark_remote) else None

    def destination(self, catalog: str, schema: str, table: str) -> Destination:
        return SparkDestination(address(self.settings, (catalog, schema, table)), self.settings, self._sessions)

    def checks(self) -> Sequence[Check]:
        """Without starting Spark, which would take seconds."""
        return tuple(_check(name, look) for name, look in self._looks().items())

    def driver_checks(self, drivers: Mapping[str, JdbcDriver]) -> Sequence[Check]:
        """None is wrong: only reads by ``jdbc`` need one."""
        return tuple(Check(f"jdbc {name}", True, jars.of_driver(self.settings, d)) for name, d in drivers.items())

    def _looks(self) -> dict[str, Callable[[], str]]:
        looks: dict[str, Callable[[], str]] = {
            "pyspark": lambda: (
                f"{versions.check_pyspark() and versions.pyspark_version()}; "
                + versions.installed(("delta-spark", "pyarrow", "grpcio"))
            ),
            "destinations": lambda: f"tables {self._where()}, rows wait in {address(self.settings, _ANY).staging}",
        }
        if on_databricks():
            return looks
        if remote_of(self.settings.spark_remote):
            # SPARK_REMOTE may hold a token.
            return {**looks, "connect": lambda: f"sessions at {self.settings.spark_remote or 'SPARK_REMOTE'}"}
        return {**looks, "java": lambda: f"Java {versions.check_java()}", "jars": self._jars}

    def _where(self) -> str:
        return f"below {self.settings.lake}" if self.settings.lake else "by three names in the catalog"

    def _jars(self) -> str:
        return jars.of_delta(self.settings, versions.check_pyspark())


_ANY = ("<catalog>", "<schema>", "<table>")


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except DataLoaderError as error:
        return Check(name, False, error.problem, error.cure)
