"""A process that loses its Spark.

``python dying_spark.py HOW FOLDER``. HOW: killed, from outside; leaving: it was terminated, and answers while it goes;
memory: a job needs more than there is; stopped: somebody in this process stopped Spark and left the JVM;
replaced: and started another there. Prints a line of JSON: what the load that lost it was told, and how many columns
the next load of this process found.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from py4j.protocol import Py4JError

from dataloader_core.errors import DataLoaderError, DestinationUnavailableError
from dataloader_core.testing.conformance import ConformanceTable
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.errors import spark_errors
from dataloader_engines.spark.session import Sessions
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


def lose(how: str, engine: SparkEngine, table: ConformanceTable) -> None:
    """Returns if nothing was lost."""
    assert isinstance(table.destination, SparkDestination)
    session = table.destination.session
    if how == "memory":
        with spark_errors(table.destination.location):
            session.sql(HUNGRY).collect()
    elif how == "leaving":
        for pid in virtual_machines():
            os.kill(pid, signal.SIGTERM)
        with suppress(OSError, Py4JError):
            while not session.spark.sparkContext._jsc.sc().isStopped():
                time.sleep(0.001)
    elif how in ("stopped", "replaced"):
        session.spark.sparkContext.stop()
        if how == "replaced":
            Sessions(engine.settings).open()
    else:
        for pid in virtual_machines():
            os.kill(pid, signal.SIGKILL)
        table.look()


def virtual_machines() -> list[int]:
    """Until a killed one is collected it has no command line."""
    return [
        pid for pid, command in descendants(os.getpid()).items() if "org.apache.spark.deploy.SparkSubmit" in command
    ]


def columns(engine: SparkEngine, table: ConformanceTable) -> int:
    """By a new load."""
    again = ConformanceTable(engine, read_by_delta_rs, table.name, {"id": "int"})
    return len(again.look(uid=table.uid).columns)


def main(how: str, folder: Path) -> dict[str, object]:
    environment()
    engine = SparkEngine(SparkSettings(lake=str(folder), spark_master="local[2]", spark_conf=CONF))
    table = ConformanceTable(engine, read_by_delta_rs, f"t_{uuid4().hex}", {"id": "int"})
    table.create()
    told = "nothing"
    try:
        lose(how, engine, table)
    except DataLoaderError as error:
        told = f"{type(error).__name__}: {error}"
    if how == "memory":
        with suppress(DestinationUnavailableError):  # it may be told before the JVM begins to end
            columns(engine, table)
    return {"told": told, "next": columns(engine, table)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
