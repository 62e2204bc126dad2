"""A process whose Spark starts without a JDBC driver and keeps an event log, and what becomes of reads in it.

``python bringing_drivers.py DSN FOLDER PORT``: FOLDER is for files, the event log ``events`` among them, PORT for Spark
Connect. Prints one line of JSON: what each read ended with, its number of rows or its error.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from spark_reading import WAYS, connect, load, read_of

from dataloader_core.errors import DataLoaderError
from dataloader_engines.spark.session import Sessions
from dataloader_engines.spark.settings import SparkSettings
from tests.support.spark import CONF, PORT, environment

if TYPE_CHECKING:
    from dataloader_engines.spark.session import LoadSession

STARTED_BY_ENGINE = ("spark.jars.packages", "spark.sql.extensions", "spark.sql.catalog.spark_catalog")


def reads(dsn: str, folder: Path, sessions: Sessions, way: str = "jdbc") -> Callable[[], int | str]:
    """One load's read, in a session of its own."""

    def rows() -> int | str:
        opened: LoadSession = sessions.open()
        try:
            with connect(dsn) as source, source.snapshot() as snapshot:
                read = read_of(source, "t")
                return load(opened.spark, snapshot, read, way, folder, drivers=opened.drivers).num_rows
        except DataLoaderError as error:
            return str(error)
        finally:
            opened.close()

    return rows


def with_driver(folder: Path) -> Path:
    """A folder of jars with the driver that Ivy fetched for the tests' session."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # the JVM asks the system, whatever HOME says
    [driver] = (home / ".ivy2.5.2" / "jars").glob("org.postgresql_postgresql-*.jar")
    folder.mkdir()
    shutil.copy(driver, folder)
    return folder


def with_event_log(folder: Path) -> dict[str, str]:
    folder.mkdir()
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }


def main(dsn: str, folder: Path, port: str) -> dict[str, object]:
    environment()
    conf = {key: value for key, value in CONF.items() if key not in STARTED_BY_ENGINE} | {PORT: port}
    (folder / "empty").mkdir()
    jars = with_driver(folder / "jars of mine")
    local = {"spark_master": "local[2]", "spark_conf": conf | with_event_log(folder / "events")}
    engines = {
        name: reads(dsn, folder, Sessions(SparkSettings.model_validate({**local, **more})))
        for name, more in {
            "an empty folder": {"spark_jars": folder / "empty"},
            "neither": {},
            "a folder": {"spark_jars": jars},
        }.items()
    }
    first = Sessions(SparkSettings.model_validate(local))
    spark = first.open().spark
    found: dict[str, object] = {}
    for name, read in engines.items():
        with ThreadPoolExecutor(2) as pool:  # threads that have seen no driver yet
            found[name] = [done.result() for done in [pool.submit(read) for _ in range(2)]]
    remote = Sessions(SparkSettings(spark_remote=f"sc://127.0.0.1:{port}"))
    for way in WAYS:
        found[f"{way} by connect"] = reads(dsn, folder, remote, way)()
        found[f"{way} by classic"] = reads(dsn, folder, first, way)()
    spark.stop()
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
