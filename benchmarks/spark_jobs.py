"""The timed jobs on Spark. Each has a session of its own, warmed by one small table, and prints one JSON line."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.jobs import load, peak_mb

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Result = dict[str, Any]
DRIVER = "org.postgresql.Driver"
MERGED_KEYS = "t.l_orderkey = s.l_orderkey AND t.l_linenumber = s.l_linenumber"


def ours(warming: str, *keys: str) -> Result:
    """Our engine: load ``warming`` twice, then the tables in one run, from claim to outcome."""
    load(warming)
    load(warming)
    return load(*keys)


def fixed(key: str, times: str) -> Result:
    """The same small table again and again; the median after the first."""
    seconds = [load(key)["seconds"] for _ in range(int(times) + 1)]
    return {"seconds": statistics.median(seconds[1:]), "first": seconds[0]}


def by_hand(url: str, table: str, partitions: str, path: str) -> Result:
    """What one writes without us: lineitem, or a copy of it, by JDBC, cut on its key, into Delta."""
    spark = _session(path)
    (high,) = _jdbc(spark, url, f"(SELECT max(l_orderkey) AS m FROM {table}) q").load().first() or (0,)
    began = time.perf_counter()
    rows = (
        _jdbc(spark, url, table)
        .option("partitionColumn", "l_orderkey")
        .option("lowerBound", 1)
        .option("upperBound", int(high))
        .option("numPartitions", int(partitions))
        .load()
    )
    rows.write.format("delta").mode("overwrite").save(path)
    return {"seconds": time.perf_counter() - began}


def merge_by_hand(url: str, where: str, path: str, bound: str) -> Result:
    """A hand-written MERGE of the changed rows, read by JDBC, ``bound`` on the target lets Delta skip files."""
    spark = _session(path)
    before = _files(spark, path)
    began = time.perf_counter()
    _jdbc(spark, url, f"(SELECT * FROM merged WHERE {where}) q").load().createOrReplaceTempView("changes")
    on = f"{MERGED_KEYS} AND {bound}" if bound else MERGED_KEYS
    upsert = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    spark.sql(f"MERGE INTO delta.`{path}` t USING changes s ON {on} {upsert}")
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "rewritten": len(before - _files(spark, path))}


def window_by_hand(url: str, start: str, path: str) -> Result:
    """A hand-written MERGE of a window of days, which deletes in it what the source no longer has."""
    spark = _session(path)
    began = time.perf_counter()
    changes = f"(SELECT * FROM merged WHERE l_shipdate >= '{start}') q"
    _jdbc(spark, url, changes).load().createOrReplaceTempView("changes")
    spark.sql(
        f"MERGE INTO delta.`{path}` t USING changes s ON {MERGED_KEYS} WHEN MATCHED THEN UPDATE SET * "
        f"WHEN NOT MATCHED THEN INSERT * WHEN NOT MATCHED BY SOURCE AND t.l_shipdate >= DATE '{start}' THEN DELETE"
    )
    return {"seconds": time.perf_counter() - began}


def rewritten(path: str, version: str) -> Result:
    """How many files of a table went since a version of it."""
    spark = _session(path)
    then = spark.sql(f"SELECT DISTINCT input_file_name() AS f FROM delta.`{path}` VERSION AS OF {int(version)}")
    return {"seconds": 0.0, "rewritten": len({row.f for row in then.collect()} - _files(spark, path))}


def _session(path: str) -> SparkSession:
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for name, value in {
        "spark.driver.memory": "4g",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "1",
    }.items():
        builder = builder.config(name, value)
    spark: SparkSession = configure_spark_with_delta_pip(
        builder, extra_packages=["org.postgresql:postgresql:42.7.14"]
    ).getOrCreate()
    for _ in range(2):
        spark.range(10).write.format("delta").mode("overwrite").save(f"{path}-warming")
    return spark


def _jdbc(spark: SparkSession, url: str, table: str) -> Any:
    options = {"url": url, "driver": DRIVER, "dbtable": table, "fetchsize": 10_000}
    return spark.read.format("jdbc").options(**options)


def _files(spark: SparkSession, path: str) -> set[str]:
    return {row.f for row in spark.sql(f"SELECT DISTINCT input_file_name() AS f FROM delta.`{path}`").collect()}


JOBS: dict[str, Callable[..., Result]] = {
    job.__name__: job for job in (ours, fixed, by_hand, merge_by_hand, window_by_hand, rewritten)
}

if __name__ == "__main__":
    result = JOBS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({**result, "peak_mb": round(peak_mb(), 1)}))
