"""A process in an empty working folder whose engine starts Spark, loads a table and adds a jar.

``python starting_spark.py FOLDER``: FOLDER is for the lake. Prints a line of JSON: what lies in the working folder at
the end, and on which of the JVM's command lines the secret is seen.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from uuid import uuid4

from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.readers import read_by_delta_rs
from tests.support.processes import descendants
from tests.support.spark import environment

KEY, SECRET = "fs.s3a.secret.key", "hunter2"
CONF = {"spark.driver.memory": "512m", "spark.driver.host": "127.0.0.1", f"spark.hadoop.{KEY}": SECRET}


def main(folder: Path) -> dict[str, object]:
    environment()
    working = folder / "working"
    working.mkdir()
    os.chdir(working)
    engine = SparkEngine(SparkSettings(lake=str(folder / "lake"), spark_master="local[2]", spark_conf=CONF))
    table = ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", {"id": "int"})
    table.create()
    table.load(rows("id", (1,)))
    table.check()
    assert isinstance(table.destination, SparkDestination)
    spark = table.destination.session.spark
    told = [pid for pid, command in descendants(os.getpid()).items() if SECRET in command]
    known = spark.sparkContext._jsc.hadoopConfiguration().get(KEY) == SECRET
    spark.stop()
    return {"left": sorted(os.listdir(working)), "told": len(told), "known": known}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
