"""The one Spark session of a run of the tests; where there is no Java, what needs it is skipped and says so."""

from __future__ import annotations

import functools
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dataloader_core.errors import ConfigurationError
from dataloader_engines.spark.session import LOCAL
from dataloader_engines.spark.versions import NOT_FETCHED, check_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PACKAGES = ("io.delta:delta-spark_4.1_2.13:4.4.0", "org.postgresql:postgresql:42.7.14")
CONF = {
    **LOCAL,
    "spark.ui.enabled": "false",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    # Many small jobs: what optimizing compilers cost is never earned back. Without them Java keeps 48 MB of what it
    # has compiled; these tests need more, and the same would be compiled over and over.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
    # Nor what it costs to write and compile a class for each expression; see code_generating.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # What has run, and tables that tests have left, would be kept until the memory is full of them.
    "spark.databricks.delta.delta.log.cacheSize": "16",
    "spark.sql.ui.retainedExecutions": "16",
    "spark.ui.retainedJobs": "16",
    "spark.ui.retainedStages": "16",
    "spark.sql.shuffle.partitions": "2",
    "spark.jars.packages": ",".join(PACKAGES),
    "spark.jars.excludes": ",".join(NOT_FETCHED),
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
}
"""As the engine sets it on one machine, with a Spark Connect server in the same JVM: the engine works by either."""
PORT = "spark.connect.grpc.binding.port"


def environment() -> None:
    """What Spark takes from the environment: its own address, and our Python for its workers."""
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)


def start(warehouse: Path) -> SparkSession:
    from pyspark.sql import SparkSession

    environment()
    builder = SparkSession.builder.master("local[2]").appName("dataloader tests")
    for name, value in {**CONF, PORT: free_port(), "spark.sql.warehouse.dir": str(warehouse)}.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("FATAL")
    return session


def code_generating(spark: SparkSession) -> SparkSession:
    """A session that carries plans out as a deployment's does: by code that Spark writes and compiles for each."""
    session = spark.newSession()
    session.conf.set("spark.sql.codegen.factoryMode", "CODEGEN_ONLY")
    session.conf.set("spark.sql.codegen.wholeStage", "true")
    return session


def connect_url(spark: SparkSession) -> str:
    """Where the session's own JVM speaks Spark Connect."""
    return f"sc://127.0.0.1:{spark.sparkContext.getConf().get(PORT)}"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@functools.cache
def java_problem() -> str | None:
    """Why the Java that Spark would start here does not do, as the engine finds out and says it."""
    try:
        check_java()
    except ConfigurationError as error:
        return error.problem
    return None


def needs_java() -> None:
    if problem := java_problem():
        pytest.skip(problem)


@pytest.fixture(scope="session")
def java() -> None:
    """For what starts a JVM of its own."""
    needs_java()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session with Delta; take ``spark.newSession()`` where settings are changed."""
    needs_java()
    session = start(tmp_path_factory.mktemp("warehouse"))
    yield session
    session.stop()
