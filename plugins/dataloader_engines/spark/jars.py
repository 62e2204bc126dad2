"""Where the jars lie that a load needs, or how they come there: for people, without starting a JVM."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dataloader_core.interfaces.source import JdbcDriver
from dataloader_engines.spark import versions
from dataloader_engines.spark.drivers import jar_with
from dataloader_engines.spark.kinds import JDBC_BY_CONNECT, on_databricks, remote_of
from dataloader_engines.spark.settings import SparkSettings

_IVY: Final = "~/.ivy2.5.2"
"""Spark 4's own, unless ``spark.jars.ivy`` says otherwise."""
_FOLDER: Final = "without a network: set DATALOADER_SPARK_JARS to a folder with the jars"


def of_delta(settings: SparkSettings, spark: str) -> str:
    """Of a session that is started here.

    Raises:
        ConfigurationError: the folder of jars lacks Delta, or has it for another Spark or Scala.
    """
    fits = f"for PySpark {spark} and Scala {versions.SCALA}"
    if settings.spark_jars is not None:
        return f"there: {versions.check_jars(settings.spark_jars, spark)} in {settings.spark_jars}, {fits}"
    package = versions.delta_package(spark)
    return f"{package}, {fits}: {_there(settings, (package,)) or f'fetched when Spark starts; {_FOLDER}'}"


def of_driver(settings: SparkSettings, jdbc: JdbcDriver) -> str:
    """Of the driver that a source's reads by JDBC need."""
    if remote_of(settings.spark_remote):
        return f"not taken: {JDBC_BY_CONNECT}"
    listed = ", ".join(jdbc.packages)
    if on_databricks():
        return f"for way_of_reading = jdbc add {listed} to the cluster's libraries"
    folder = settings.spark_jars
    if folder is not None:
        jar = jar_with(folder, jdbc.driver)
        missing = f"missing; for way_of_reading = jdbc put {listed} into {folder}"
        return missing if jar is None else f"there: {jar.name} in {folder}"
    return f"{listed}: {_there(settings, jdbc.packages) or f'fetched when a load first needs it; {_FOLDER}'}"


def _there(settings: SparkSettings, packages: tuple[str, ...]) -> str | None:
    """Where an earlier start or load left the jars."""
    ivy = Path(settings.spark_conf.get("spark.jars.ivy", _IVY)).expanduser() / "jars"
    parts = (p.partition("?")[0].split(":")[:3] for p in packages)  # what follows is about what to leave out
    names = ["{}_{}-{}.jar".format(*part) for part in parts if len(part) == 3]
    return f"there, in {ivy}" if all((ivy / name).is_file() for name in names) else None
