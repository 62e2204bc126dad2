"""A process that loses its JVM: killed from outside, or by a job that needs more memory than there is.

``python dying_spark.py HOW FOLDER``, HOW is killed or memory. Prints a line of JSON: what the load that lost it was
told, and how many columns the next load of this process found.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from uuid import uuid4

from dataloader_core.errors import DataLoaderError
from dataloader_core.testing.conformance import ConformanceTable
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.errors import spark_errors
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.readers import read_by_delta_rs
from tests.support.processes import descendants
from tests.support.spark import environment

CONF = {
    "spark.driver.memory": "512m",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "2",
}
HUNGRY = "SELECT length(repeat(CAST(id AS STRING), 1500000000)) FROM range(0, 2, 1, 2)"


def lose(how: str, table: ConformanceTable) -> None:
    """Returns if nothing was lost."""
    assert isinstance(table.destination, SparkDestination)
    session = table.destination.session
    if how == "memory":
        with spark_errors(table.destination.location):
            session.sql(HUNGRY).collect()
    else:
        for pid in virtual_machines():
            os.kill(pid, signal.SIGKILL)
        table.look()


def virtual_machines() -> list[int]:
    """Until a killed one is collected it has no command line."""
    return [
        pid for pid, command in descendants(os.getpid()).items() if "org.apache.spark.deploy.SparkSubmit" in command
    ]


def main(how: str, folder: Path) -> dict[str, object]:
    environment()
    engine = SparkEngine(SparkSettings(lake=str(folder), spark_master="local[2]", spark_conf=CONF))
    table = ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", {"id": "int"})
    table.create()
    told = "nothing"
    try:
        lose(how, table)
    except DataLoaderError as error:
        told = f"{type(error).__name__}: {error}"
    again = ConformanceTable(engine, read_by_delta_rs, table.name, {"id": "int"})
    return {"told": told, "next": len(again.look(uid=table.uid).columns)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
