"""The JVM that this process starts: what it says on its way up, and why it did not come up.

Ivy, which fetches jars, tells every step on stderr, a hundred lines a start. Only lines that are known to be such steps
are left out, and Spark's remark on a jar that a second thread adds; all others pass. Where the JVM ends before it is
ready, its own words are all there is.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import socket
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataloader_core.errors import DataLoaderError, DestinationUnavailableError
from dataloader_engines.spark.reading_errors import SPARK_ERRORS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_STEP: Final = re.compile(
    rb":: (?:loading settings|resolving dependencies|resolution report|retrieving) ::"
    rb"|Ivy Default Cache set to: |The jars for the packages stored in: |\S+#\S+ added as a dependency$"
    rb"|\tconfs: \[|\tfound \S+#\S+ in |\t:: (?:modules in use|evicted modules):$|\t\S+#\S+;\S+ (?:from|by) .*in \["
    rb"|\t-+$|\t\||\t\d+ artifacts copied, |downloading \S+ \.\.\.$|\t\[SUCCESSFUL "
    rb"|WARNING: Using incubator modules: |\S+ \S+ WARN SparkContext: The JAR .* has been added already\."
)
_NOT_FETCHED: Final = re.compile(r"(?:unresolved dependency|download failed): ([\w.-]+)#([\w.-]+);([\w.-]+)")
_SECRET: Final = re.compile(r"(?i)^spark\.hadoop\.|secret|password|token|access[.]?key")
"""Keys of storage, and what Spark's own ``spark.redaction.regex`` hides."""
_WAREHOUSE: Final = "spark.sql.warehouse.dir"
_STDERR: Final = 2
_ANSWER: Final = 5.0
"""Seconds for a port of this machine to answer."""
_ENDS: Final = 10.0
"""Seconds for a JVM that takes no connections any more, or has stopped its Spark, to end."""


def is_step(line: bytes) -> bool:
    """Whether a line tells of nothing but a step that went well."""
    return _STEP.match(line.rstrip(b"\r\n")) is not None


def not_fetched(text: str) -> DataLoaderError | None:
    """What Ivy did not get, if that is what the text tells. It cannot tell a wrong name from a network that is down."""
    found = _NOT_FETCHED.search(text)
    if found is None:
        return None
    return DestinationUnavailableError(
        f"Spark could not fetch {':'.join(found.groups())}: no repository has it, or none can be reached.",
        cure="Let this machine reach Maven Central, name another repository (DATALOADER_SPARK_CONF="
        "spark.jars.repositories=...), or put the jars into a folder and set DATALOADER_SPARK_JARS to it.",
    )


class _Words(threading.Thread):
    """Passes on what the JVM says for as long as it lives: held back until it is up, and without Ivy's steps."""

    def __init__(self) -> None:
        super().__init__(name="dataloader-spark-stderr", daemon=True)
        self._read, self.write = os.pipe()
        self._lock = threading.Lock()
        self._held: list[bytes] | None = []

    def run(self) -> None:
        with os.fdopen(self._read, "rb") as lines:
            for line in lines:
                with self._lock:
                    if self._held is not None:
                        self._held.append(line)
                    elif not is_step(line):
                        _pass_on(line)

    def up(self) -> None:
        with self._lock:
            held, self._held = self._held or [], None
            for line in held:
                if not is_step(line):
                    _pass_on(line)

    def why(self) -> DataLoaderError:
        """Once the JVM has ended and every end of the pipe is closed."""
        self.join(timeout=10)
        with self._lock:
            held, self._held = self._held or [], None
        text = b"".join(held).decode(errors="replace")
        if (problem := not_fetched(text)) is not None:
            log.debug("Spark did not start:\n%s", text)
            return problem
        for line in held:
            _pass_on(line)
        return DestinationUnavailableError(
            "Spark's Java ended before it was ready; the console has its own words.",
            cure="Check DATALOADER_SPARK_CONF (memory, options of Java) and JAVA_HOME; `dataloader doctor` says more.",
        )


def _pass_on(line: bytes) -> None:
    """To the file itself: `sys.stderr` has a lock that a thread may not wait for while Python ends."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, line)


def ended() -> bool:
    """Whether the JVM that this process started is gone, or going: killed, terminated, or out of memory."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    started = getattr(gateway, "proc", None)
    if gateway is None or started is None:
        return False
    if started.poll() is None:
        at = gateway.gateway_parameters
        if _answers(at.address, at.port) and not _stopped_itself():
            return False
        # On its way out, which takes some seconds after it ran out of memory.
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(_ENDS)
        started.kill()
        started.wait()
    return True


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=_ANSWER).close()
    except ConnectionRefusedError:
        return False
    except OSError:  # busy, not gone
        return True
    return True


def stopped(session: SparkSession) -> bool:
    """Whether somebody in this process stopped a classic session's Spark, and perhaps started another."""
    from pyspark import SparkContext

    return SparkContext._active_spark_context is not session._sc


def _stopped_itself() -> bool:
    """Whether Spark has ended without being told to by PySpark: a JVM that exits stops it first, and answers on."""
    from pyspark import SparkContext

    context = SparkContext._active_spark_context
    if context is None:
        return False
    with contextlib.suppress(*SPARK_ERRORS, OSError):
        return bool(context._jsc.sc().isStopped())
    return True  # gone between the two questions


def forget() -> None:
    """After that, let the process have another; PySpark alone would speak to the dead one for ever."""
    from pyspark import SparkContext

    context, gateway = SparkContext._active_spark_context, SparkContext._gateway
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that the JVM may have crashed
        for close in (getattr(context, "stop", None), getattr(gateway, "shutdown", None)):
            if close is not None:
                with contextlib.suppress(*SPARK_ERRORS, OSError):
                    close()
    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None


def warehouse(settings: Mapping[str, str]) -> Mapping[str, str]:
    """A place for Spark's own default schema, which it makes in the working folder where nobody names another.

    Tables of ours lie in a lake or where a catalog puts them. If it is not empty at the end it stays: it is somebody's.
    """
    if _WAREHOUSE in settings or settings.get("spark.sql.catalogImplementation") == "hive":
        return {}
    folder = Path(tempfile.mkdtemp(prefix="dataloader-spark-"))
    atexit.register(_remove_empty, folder)
    return {_WAREHOUSE: str(folder)}


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def launch(settings: Mapping[str, str]) -> None:
    """Start the JVM for the classic session that is made next, unless this process has one.

    Args:
        settings: Configuration of that session; some of it counts only now: memory, jars. Credentials are left out,
            because it travels on a command line, which everybody on this machine can read; the session takes them.

    Raises:
        DestinationUnavailableError: it ended at once; a jar could not be fetched, for instance.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkRuntimeError
    from pyspark.java_gateway import launch_gateway

    if SparkContext._gateway is not None:
        return
    conf = SparkConf()
    conf.setAll([(key, value) for key, value in settings.items() if not _SECRET.search(key)])
    words = _Words()
    words.start()
    try:
        gateway = launch_gateway(conf, popen_kwargs={"stderr": words.write})  # type: ignore[no-untyped-call]  # PySpark's
    except PySparkRuntimeError:
        gateway = None
    finally:
        os.close(words.write)
    if gateway is None:
        raise words.why()
    SparkContext._ensure_initialized(gateway=gateway)
    words.up()
