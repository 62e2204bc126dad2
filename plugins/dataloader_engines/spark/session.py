"""Spark sessions: one for the process, and one of its own for every load where Spark can give it.

A merge takes its transaction from the session's configuration, and loads run side by side in threads: so that no load
commits under another's transaction, each has a session of its own, or a lock where Spark gives none.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dataloader_core.commit import CommitRecord, app_id
from dataloader_core.errors import ConfigurationError
from dataloader_engines.spark import jvm, versions
from dataloader_engines.spark.drivers import Drivers
from dataloader_engines.spark.errors import SPARK_ERRORS, spark_errors
from dataloader_engines.spark.kinds import databricks_remote, is_connect, on_databricks, remote_of
from dataloader_engines.spark.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

log = logging.getLogger(__name__)

_EXTENSION: Final = "io.delta.sql.DeltaSparkSessionExtension"
_CATALOG: Final = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
_STATIC: Final[Mapping[str, str]] = {
    "spark.app.name": "dataloader",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.extensions": _EXTENSION,
    "spark.sql.catalog.spark_catalog": _CATALOG,
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
    "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
}
LOCAL: Final[Mapping[str, str]] = {
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.shuffle.partitions": "16",
    # Every query's plan is written out for a user interface that is off.
    "spark.sql.ui.explainMode": "simple",
    # For every file of a log Hadoop's local file system writes a checksum beside it, and starts ten processes for both.
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:+UseParallelGC",
}
"""On one machine: the defaults, 50 tasks for every look at a table among them, are made for a cluster."""
_ZONE: Final = "spark.sql.session.timeZone"
_OWN: Final[Mapping[str, str]] = {
    _ZONE: "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parser.quotedRegexColumnNames": "false",
    "spark.sql.variable.substitute": "false",
}
"""What every session of ours has. Without it values could change: a time zone, an overflow that becomes NULL; a name
could be taken for a pattern, or for a variable of the driver's environment."""
_TELLTALES: Final = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
_APP: Final = "spark.databricks.delta.write.txnAppId"
_VERSION: Final = "spark.databricks.delta.write.txnVersion"
_METADATA: Final = "spark.databricks.delta.commitInfo.userMetadata"


def connect(remote: str) -> SparkSession:
    """A new Spark Connect session.

    PySpark 4.1 asks the server at the process's end to drop models that nobody made here; where the server is gone
    first, that question is repeated for ten minutes.
    """
    from pyspark.sql.connect.session import SparkSession as Remote

    session = Remote.builder.remote(remote).create()
    if (question := getattr(session.client, "_cleanup_ml_cache", None)) is not None:
        atexit.unregister(question)
    return session  # type: ignore[return-value]  # one interface, two classes


def condition(session: SparkSession, sql: str) -> Column:
    """A SQL expression as a column of this kind of session; pyspark's own choice goes by the process, not by it."""
    if is_connect(session):
        from pyspark.sql.connect import functions as connect

        return connect.expr(sql)
    from pyspark.sql import functions

    return functions.expr(sql)


@dataclass
class Seen:
    """What was found out about a Spark, once for all loads.

    Attributes:
        creation_tells: A table's creation shows its record in the history.
    """

    creation_tells: bool = False


class LoadSession:
    """One load's Spark.

    Attributes:
        confs: Merges may carry their transaction in its configuration.
        drivers: What brings the JDBC drivers that it lacks; None: nothing does.
        altered: How many changes of metadata it has made.
        seen: Shared with the other loads of this Spark.
    """

    def __init__(
        self,
        spark: SparkSession,
        *,
        own: bool,
        confs: bool,
        lock: Any,
        seen: Seen,
        drivers: Drivers | None = None,
    ) -> None:
        self.spark = spark
        self.seen = seen
        self.drivers = drivers
        self._own = own
        self.confs = confs
        self.altered = 0
        self._lock = lock

    def close(self) -> None:
        """Give a session of its own back; a classic one goes with its object."""
        if self._own and is_connect(self.spark):
            # A session that was cloned lacks what `stop` asks for (PySpark 4.1).
            vars(self.spark).setdefault("release_session_on_close", True)
            self.spark.stop()

    def sql(self, statement: str) -> DataFrame:
        return self.spark.sql(statement)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For commits: no other load's transaction is in the session's configuration meanwhile."""
        with self._lock:
            yield

    @contextmanager
    def transaction(self, record: CommitRecord) -> Iterator[None]:
        """Whatever commits in here carries the record's transaction and metadata."""
        values = {
            _APP: app_id(record.table_uid),
            _VERSION: str(record.version),
            _METADATA: record.to_json(),
        }
        with self._lock:
            try:
                for key, value in values.items():
                    self.spark.conf.set(key, value)
                yield
            finally:
                for key in values:
                    self.spark.conf.unset(key)

    @contextmanager
    def preferring(self, values: Mapping[str, str]) -> Iterator[None]:
        """With this configuration, where the session takes it: what makes a statement cheaper and changes no row."""
        taken = {}
        with self._lock:
            for key, value in values.items() if self.confs else ():
                with suppress(*SPARK_ERRORS):
                    before = self.spark.conf.get(key, None)
                    self.spark.conf.set(key, value)
                    taken[key] = before
            try:
                yield
            finally:
                for key, before in taken.items():
                    self.spark.conf.unset(key) if before is None else self.spark.conf.set(key, before)


class Sessions:
    """The process's Spark, made or found when it is first needed."""

    def __init__(self, settings: SparkSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._main: SparkSession | None = None
        self._shared = threading.RLock()
        self._drivers = Drivers(settings)
        self._seen = Seen()

    def open(self) -> LoadSession:
        """A session for one load.

        Raises:
            ConfigurationError: Java, Spark, Delta or a jar is missing, or of another version.
        """
        with self._lock:
            if self._main is not None and not is_connect(self._main) and _lost(self._main):
                self._main, self._seen = None, Seen()
            if self._main is None:
                self._main = self._start()
            main = self._main
        with spark_errors("Spark"):
            own = _another(main, self.settings.spark_remote)
        lock = threading.RLock() if own is not None else self._shared
        spark = own or main
        # Under the lock: the question sets a transaction, and where loads share a session one may be committing.
        with lock, spark_errors("Spark"):
            _configure(spark)
            confs = self.settings.session_confs == "auto" and _takes_transactions(spark)
        return LoadSession(spark, own=own is not None, confs=confs, lock=lock, seen=self._seen, drivers=self._drivers)

    def _start(self) -> SparkSession:
        versions.check_pyspark()
        _hush()
        with spark_errors("Spark"):
            main = self._found()
            if not (on_databricks() or databricks_remote(self.settings.spark_remote)):
                _check_delta(main)
            _check_escapes(main)
        return main

    def _found(self) -> SparkSession:
        from pyspark.sql import SparkSession

        remote = remote_of(self.settings.spark_remote)
        if on_databricks():
            return SparkSession.builder.getOrCreate()
        if remote:
            return connect(remote)
        if (running := _running()) is not None:
            return running
        versions.check_java()
        builder = SparkSession.builder.master(self.settings.spark_master)
        local: Mapping[str, str] = {}
        if self.settings.spark_master.startswith("local"):
            local = LOCAL
            # Executors here are this Python's own: otherwise they are whatever python3 is in PATH.
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        conf = {**_STATIC, **local, **_OWN, **versions.jars(self.settings), **self.settings.spark_conf}
        conf.update(jvm.warehouse(conf))
        jvm.launch(conf)
        for key, value in conf.items():
            builder = builder.config(key, value)
        return builder.getOrCreate()


def _hush() -> None:
    """PySpark logs errors of queries itself, with plans and the values in them, before anybody can catch them."""
    for name in _TELLTALES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _lost(main: SparkSession) -> bool:
    """Whether this classic session is of no use any more; another can be started then."""
    if jvm.ended():
        log.warning("Spark's JVM is gone; another is started")
        jvm.forget()
        return True
    return jvm.stopped(main)


def _running() -> SparkSession | None:
    """A classic session that somebody started in this process; Spark has one for all threads."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate() if SparkContext._active_spark_context is not None else None


def _another(main: SparkSession, remote: str | None) -> SparkSession | None:
    """A session beside ``main`` with a configuration of its own, where Spark has a way to make one."""
    if not is_connect(main):
        return main.newSession()
    if remote := remote_of(remote):
        return connect(remote)
    clone = getattr(main, "cloneSession", None)
    try:
        return clone() if clone is not None else None
    except SPARK_ERRORS:
        return None


def _configure(spark: SparkSession) -> None:
    """Set what every session of ours has.

    Raises:
        ConfigurationError: times would be read as another zone's.
    """
    for key, value in _OWN.items():
        try:
            spark.conf.set(key, value)
        except SPARK_ERRORS:
            log.debug("the session keeps its own %s", key)
    zone = spark.conf.get(_ZONE)
    if zone not in ("UTC", "Etc/UTC", "Z"):
        raise ConfigurationError(
            f"The Spark session has the time zone {zone} and takes no other.", cure=f"Start it with {_ZONE}=UTC."
        )


def _takes_transactions(spark: SparkSession) -> bool:
    """Serverless sessions take only a few keys; then merges are written as rewrites."""
    try:
        for key in (_APP, _VERSION, _METADATA):
            spark.conf.set(key, "0")
            spark.conf.unset(key)
    except SPARK_ERRORS:
        return False
    return True


def _check_delta(spark: SparkSession) -> None:
    """One clear sentence instead of a stack trace at the first write. Databricks has its own Delta."""
    if _EXTENSION not in (spark.conf.get("spark.sql.extensions", "") or ""):
        raise ConfigurationError(
            f"The Spark session ({spark.version}) has no Delta: spark.sql.extensions lacks {_EXTENSION}.",
            cure=f"Start it with that and with spark.sql.catalog.spark_catalog={_CATALOG}, or let the engine start it.",
        )
    spark.catalog.currentDatabase()  # loads Delta's catalog, and with it the jar


def _check_escapes(spark: SparkSession) -> None:
    """Literals are written with backslashes. The setting is asked by its effect: its name is deprecated, and warns."""
    [row] = spark.sql(r"SELECT length('\\') AS read").collect()
    if row.read != 1:
        raise ConfigurationError(
            "The Spark session takes backslashes in literals for themselves.",
            cure="Start it with spark.sql.parser.escapedStringLiterals=false, which is Spark's own default.",
        )
