"""Java, PySpark and Delta's jars: which fit together, what is there, and how to get what is missing.

delta-spark 4.4.0 has jars for Spark 4.0, 4.1 and 4.2, all of Scala 2.13; 4.4.1 has none under the name that PySpark's
version leads to. PySpark 4.3 has no Delta yet. Spark 4 needs Java 17.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from dataloader_core.errors import ConfigurationError, MissingDriverError
from dataloader_engines.spark.settings import SparkSettings

DELTA: Final = "4.4.0"
SPARKS: Final = ("4.0", "4.1", "4.2")
SCALA: Final = "2.13"
JAVA: Final = 17
NOT_FETCHED: Final = (
    "com.fasterxml.jackson.core:jackson-annotations", "com.fasterxml.jackson.core:jackson-core",
    "com.fasterxml.jackson.core:jackson-databind", "com.github.luben:zstd-jni", "commons-pool:commons-pool",
    "io.airlift:aircompressor", "org.apache.hadoop:hadoop-client-api", "org.apache.hadoop:hadoop-client-runtime",
    "org.apache.logging.log4j:log4j-api", "org.apache.logging.log4j:log4j-core",
    "org.apache.logging.log4j:log4j-slf4j2-impl", "org.apache.parquet:parquet-column",
    "org.apache.parquet:parquet-common", "org.apache.parquet:parquet-encoding",
    "org.apache.parquet:parquet-format-structures", "org.apache.parquet:parquet-hadoop",
    "org.apache.parquet:parquet-jackson", "org.roaringbitmap:RoaringBitmap", "org.slf4j:slf4j-api",
    "org.xerial.snappy:snappy-java",
)  # fmt: skip
"""What Delta's jars ask for and PySpark has: 72 of 87 MB. The JVM takes PySpark's, whatever else lies there."""
_JAR = re.compile(r"delta-spark_(?:(\d+\.\d+)_)?(2\.\d+)-(\d[\w.]*)\.jar")
_JAVA_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')
_GET_JAVA: Final = "Install Java 17 or newer (Debian: openjdk-17-jre-headless) and set JAVA_HOME if it is not in PATH."


def pyspark_version() -> str:
    """PySpark's own version.

    Raises:
        MissingDriverError: it is not installed.
    """
    try:
        import pyspark
    except ImportError:
        raise MissingDriverError(
            "The spark engine needs PySpark, which is not installed.",
            cure="Run `pip install 'dataloader-core[spark]'`; a Databricks cluster has its own.",
        ) from None
    found: str = pyspark.__version__
    return found


def check_pyspark() -> str:
    """Spark's major and minor version.

    Raises:
        MissingDriverError: there is no PySpark.
        ConfigurationError: Delta has no jar for it.
    """
    found = pyspark_version()
    spark = ".".join(found.split(".")[:2])
    if int(found.split(".")[0]) < 4:
        raise ConfigurationError(
            f"PySpark {found} is too old: the spark engine needs Spark 4 (Scala {SCALA}).",
            cure="Install pyspark 4.1, or take a Databricks runtime of 17.3 LTS or newer.",
        )
    if spark not in SPARKS and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        raise ConfigurationError(
            f"PySpark {found} has no Delta yet: delta-spark {DELTA} has jars for Spark {', '.join(SPARKS)}.",
            cure="Install pyspark 4.1.",
        )
    return spark


def java_version() -> int:
    """The major version of the Java that Spark would start.

    Raises:
        ConfigurationError: there is none, or it does not run.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME ({home}) has no bin/java" if home else "no java is in PATH and JAVA_HOME is not set"
        raise ConfigurationError(f"The spark engine found no Java: {where}.", cure=_GET_JAVA)
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        raise ConfigurationError(f"The Java at {java} does not run.", cure=_GET_JAVA) from None
    match = _JAVA_VERSION.search(told)
    if match is None:
        raise ConfigurationError(f"The Java at {java} does not tell its version.", cure=_GET_JAVA)
    return int(match[2] or 0) if match[1] == "1" else int(match[1])


def check_java() -> int:
    """As :func:`java_version`, refused below 17."""
    found = java_version()
    if found < JAVA:
        raise ConfigurationError(f"Java {found} is too old for Spark 4, which needs {JAVA}.", cure=_GET_JAVA)
    return found


def delta_package(spark: str) -> str:
    """Maven's coordinates of the Delta that fits this Spark."""
    return f"io.delta:delta-spark_{spark}_{SCALA}:{DELTA}"


def jars(settings: SparkSettings) -> Mapping[str, str]:
    """Configuration that brings Delta and what else was asked for into a session that is started here.

    Raises:
        ConfigurationError: the folder of jars lacks Delta, or has it for another Spark or Scala.
    """
    spark = check_pyspark()
    if settings.spark_jars is None:
        packages = ",".join((delta_package(spark), *settings.spark_packages))
        return {"spark.jars.packages": packages, "spark.jars.excludes": ",".join(NOT_FETCHED)}
    check_jars(settings.spark_jars, spark)
    folder = f"{settings.spark_jars.resolve()}/*"
    return {"spark.driver.extraClassPath": folder, "spark.executor.extraClassPath": folder}


def check_jars(folder: Path, spark: str) -> str:
    """The file name of Delta's jar in the folder.

    Raises:
        ConfigurationError: there is none, or one for another Spark or Scala.
    """
    names = sorted(p.name for p in folder.glob("*.jar")) if folder.is_dir() else []
    cure = (
        f"Put the jars of {delta_package(spark)} and what it depends on there "
        "(mvn dependency:copy-dependencies -DincludeGroupIds=io.delta), or unset DATALOADER_SPARK_JARS to fetch them."
    )
    found = [(n, m) for n in names if (m := _JAR.search(n))]
    if not found:
        raise ConfigurationError(f"{folder} has no jar of Delta ({len(names)} jars).", cure=cure)
    for name, match in found:
        if match[2] == SCALA and match[1] in (spark, None):
            if not any("delta-storage" in n for n in names):
                raise ConfigurationError(f"{folder} has {name} but not delta-storage, which it needs.", cure=cure)
            return name
    name, match = found[0]
    if match[2] != SCALA:
        raise ConfigurationError(f"{name} is of Scala {match[2]}; PySpark {spark} is of Scala {SCALA}.", cure=cure)
    raise ConfigurationError(f"{name} is for Spark {match[1]}; this is PySpark {spark}.", cure=cure)


def installed(packages: Sequence[str]) -> str:
    """Names with their versions, for people."""
    told = []
    for name in packages:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"{name} not installed")
    return ", ".join(told)
