"""A process whose Spark starts without a JDBC driver, and what becomes of reads by JDBC in it.

``python bringing_drivers.py KIND DSN FOLDER PORT``: KIND is classic or connect, FOLDER is for files, PORT for Spark
Connect. Prints one line of JSON: what each read ended with, its number of rows or its error.

Each kind in a JVM of its own, which has one driver of a name: one that was sent to a session of Spark Connect would
be found by classic ones.
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

from spark_reading import connect, load, read_of

from dataloader_core.errors import DataLoaderError
from dataloader_engines.spark.session import Sessions
from dataloader_engines.spark.settings import SparkSettings
from tests.support.spark import CONF, PORT, environment

if TYPE_CHECKING:
    from dataloader_engines.spark.session import LoadSession

STARTED_BY_ENGINE = ("spark.jars.packages", "spark.sql.extensions", "spark.sql.catalog.spark_catalog")


def reads(dsn: str, folder: Path, sessions: Sessions) -> Callable[[], int | str]:
    """One load's read, in a session of its own."""

    def rows() -> int | str:
        opened: LoadSession = sessions.open()
        try:
            with connect(dsn) as source, source.snapshot() as snapshot:
                read = read_of(source, "t")
                return load(opened.spark, snapshot, read, "jdbc", folder, drivers=opened.drivers).num_rows
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


def main(kind: str, dsn: str, folder: Path, port: str) -> dict[str, object]:
    environment()
    conf = {key: value for key, value in CONF.items() if key not in STARTED_BY_ENGINE} | {PORT: port}
    (folder / "empty").mkdir()
    jars = with_driver(folder / "jars of mine")
    local = {"spark_master": "local[2]", "spark_conf": conf}
    given = local if kind == "classic" else {"spark_remote": f"sc://127.0.0.1:{port}"}
    engines = {
        name: reads(dsn, folder, Sessions(SparkSettings.model_validate({**given, **more})))
        for name, more in {
            "an empty folder": {"spark_jars": folder / "empty"},
            "neither": {},
            "a folder": {"spark_jars": jars},
        }.items()
    }
    first = Sessions(SparkSettings.model_validate(local)).open()
    found: dict[str, object] = {}
    for name, read in engines.items():
        with ThreadPoolExecutor(2) as pool:  # threads that have seen no driver yet
            found[name] = [done.result() for done in [pool.submit(read) for _ in range(2)]]
    found["again"] = engines["a folder"]()
    first.spark.stop()
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])))
