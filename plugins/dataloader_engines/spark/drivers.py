"""JDBC drivers that Spark lacks: taken from a folder of jars, or fetched, when a read first asks for one.

``ADD JAR`` in a classic session gives the class to all of them, but of their threads only to the one that says it (seen
with Spark 4.1): so every thread that finds no class says it again. By Spark Connect nothing is read by JDBC.
"""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataloader_core.errors import ConfigurationError, DataLoaderError
from dataloader_core.interfaces.source import JdbcRead
from dataloader_engines.spark.errors import SPARK_ERRORS, translated
from dataloader_engines.spark.jvm import not_fetched
from dataloader_engines.spark.kinds import on_databricks
from dataloader_engines.spark.settings import SparkSettings
from dataloader_engines.spark.sql import text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_AGAIN: Final = 60.0
"""Seconds in which a fetch that failed is not tried again: the other tables of a run would each wait for it."""


class Drivers:
    """Brings drivers into the sessions of one engine. Of loads that ask at once, one fetches and the others wait."""

    def __init__(self, settings: SparkSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._failed: dict[str, tuple[float, DataLoaderError]] = {}

    def bring(self, spark: SparkSession, read: JdbcRead) -> None:
        """Make the read's driver known to the session.

        Raises:
            ConfigurationError: it is somebody else's business, or the folder has no jar with it.
            DestinationUnavailableError: it could not be fetched.
        """
        if on_databricks():
            raise missing(read, f"Add {_listed(read.packages)} to the cluster's libraries")
        with self._lock:
            self._add(spark, read)

    def _jar(self, read: JdbcRead, folder: Path) -> Path:
        if (jar := jar_with(folder, read.driver)) is None:
            raise missing(read, f"Put {_listed(read.packages)} into {folder} (DATALOADER_SPARK_JARS)")
        return jar

    def _add(self, spark: SparkSession, read: JdbcRead) -> None:
        if (folder := self._settings.spark_jars) is not None:
            spark.sql(f"ADD JAR {text(str(self._jar(read, folder).resolve()))}").collect()
            return
        since, problem = self._failed.get(read.driver, (0.0, None))
        if problem is not None and time.monotonic() - since < _AGAIN:
            raise type(problem)(problem.problem, cure=problem.cure)
        try:
            for package in read.packages:
                _fetch(spark, package)
        except DataLoaderError as problem:
            self._failed[read.driver] = (time.monotonic(), problem)
            raise


def _fetch(spark: SparkSession, package: str) -> None:
    """With what the package needs; ``?exclude=group:artifact`` behind the coordinates leaves some of that out."""
    try:
        spark.sql(f"ADD JAR {text(f'ivy://{package}')}").collect()
    except SPARK_ERRORS as error:
        problem = not_fetched(str(error)) or translated(package, error)
    else:
        return
    raise problem


def missing(read: JdbcRead, cure: str) -> ConfigurationError:
    return ConfigurationError(
        f"Spark has no JDBC driver {read.driver}.", cure=f"{cure}, or set way_of_reading to another."
    )


def jar_with(folder: Path, name: str) -> Path | None:
    """The jar of a folder that holds a class."""
    wanted = f"{name.replace('.', '/')}.class"
    return next((jar for jar in sorted(folder.glob("*.jar")) if _holds(jar, wanted)), None)


def _holds(jar: Path, entry: str) -> bool:
    try:
        with zipfile.ZipFile(jar) as archive:
            return entry in archive.NameToInfo
    except (OSError, zipfile.BadZipFile):
        return False


def _listed(packages: Sequence[str]) -> str:
    return ", ".join(packages)
