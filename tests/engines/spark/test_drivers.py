"""Jars that a plan needs: JDBC drivers that Spark lacks are brought, or missed in one clear sentence."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from dataloader_core.errors import ConfigurationError, DestinationUnavailableError
from dataloader_core.interfaces.source import JdbcRead
from dataloader_engines.spark import jvm
from dataloader_engines.spark.drivers import Drivers, jar_with
from dataloader_engines.spark.kinds import databricks_remote
from dataloader_engines.spark.settings import SparkSettings
from tests.conftest import PASSWORD
from tests.support.processes import run_script
from tests.support.spark import free_port

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

READ = JdbcRead("jdbc:x://h/d", "org.postgresql.Driver", ("org.postgresql:postgresql:42.7.14",), ("SELECT 1",))
IVY = b"""\
:: loading settings :: url = jar:file:/x/ivy-2.5.3.jar!/org/apache/ivy/core/settings/ivysettings.xml
Ivy Default Cache set to: /home/me/.ivy2.5.2/cache
The jars for the packages stored in: /home/me/.ivy2.5.2/jars
org.postgresql#postgresql added as a dependency
:: resolving dependencies :: org.apache.spark#spark-submit-parent-e810a56a;1.0
\tconfs: [default]
\tfound org.postgresql#postgresql;42.7.14 in central
downloading https://repo.example/org/postgresql/postgresql/42.7.14/postgresql-42.7.14.jar ...
\t[SUCCESSFUL ] org.postgresql#postgresql;42.7.14!postgresql.jar (75ms)
:: resolution report :: resolve 21ms :: artifacts dl 0ms
\t:: modules in use:
\torg.postgresql#postgresql;42.7.14 from central in [default]
\t---------------------------------------------------------------------
\t|      default     |   2   |   0   |   0   |   0   ||   2   |   0   |
:: retrieving :: org.apache.spark#spark-submit-parent-e810a56a
\t0 artifacts copied, 2 already retrieved (0kB/2ms)
"""
TOLD = b"""\
26/11/23 22:35:19 WARN NativeCodeLoader: Unable to load native-hadoop library for your platform
\tmodule not found: org.postgresql#postgresql;99.1
\t[FAILED     ] org.postgresql#postgresql;42.7.14!postgresql.jar: Downloaded file size doesn't match
Exception in thread "main" java.lang.RuntimeException: [unresolved dependency: a#b;1: not found]
"""


@dataclass(frozen=True)
class Ended:
    """What reads of a table of three rows ended with in a process of their own, its stderr and its event log."""

    reads: dict[str, Any]
    stderr: str
    events: str


@pytest.fixture(scope="module")
def in_process(java: None, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    dsn = postgres_server.new_database("drivers")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 3) AS id")
    source = postgres_server.tcp_dsn(conninfo_to_dict(dsn)["dbname"])
    script = Path(__file__).with_name("bringing_drivers.py")
    folder = tmp_path_factory.mktemp("drivers")
    reads, stderr = run_script(script, source, str(folder), free_port())
    [events] = (folder / "events").iterdir()
    return Ended(reads, stderr, events.read_text())


def test_loads_that_miss_a_driver_at_once_all_get_it(in_process: Ended) -> None:
    assert in_process.reads["neither"] == [3, 3]


def test_a_folder_of_jars_brings_the_driver(in_process: Ended) -> None:
    reads = in_process.reads
    assert reads["a folder"] == [3, 3]
    assert all("no JDBC driver org.postgresql.Driver. Put org.postgresql:" in told for told in reads["an empty folder"])


def test_no_password_of_a_source_is_in_the_event_log(in_process: Ended) -> None:
    """Spark Connect has the plan in it, and a read by JDBC would have the password in its plan."""
    reads = in_process.reads
    assert (reads["arrow by connect"], reads["arrow by classic"], reads["jdbc by classic"]) == (3, 3, 3)
    assert "Set way_of_reading to 'arrow'" in reads["jdbc by connect"]
    assert "ConnectOperationStarted" in in_process.events
    assert PASSWORD not in in_process.events


def test_fetching_is_not_told_step_by_step(in_process: Ended) -> None:
    said = in_process.stderr
    assert ":: " not in said
    assert "Ivy" not in said


@pytest.mark.parametrize("line", IVY.splitlines(keepends=True))
def test_steps_of_a_fetch_are_left_out(line: bytes) -> None:
    assert jvm.is_step(line)


@pytest.mark.parametrize("line", TOLD.splitlines(keepends=True))
def test_everything_else_that_java_says_is_passed_on(line: bytes) -> None:
    assert not jvm.is_step(line)


def test_a_jar_that_cannot_be_fetched_is_one_sentence() -> None:
    problem = jvm.not_fetched(TOLD.decode())
    assert isinstance(problem, DestinationUnavailableError)
    assert problem.problem.startswith("Spark could not fetch a:b:1:")
    assert "DATALOADER_SPARK_JARS" in str(problem.cure)
    assert jvm.not_fetched(IVY.decode()) is None


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize(
    ("repository", "says"), [("nowhere", "could not fetch io.delta:delta-spark_"), (None, "Java ended before")]
)
def test_a_java_that_does_not_come_up_is_told_as_why(repository: str | None, says: str, tmp_path: Path) -> None:
    """Without any repository, as on a machine without a network; and with more memory than there is."""
    settings = tmp_path / "ivysettings.xml"
    settings.write_text(
        f"<ivysettings><settings defaultResolver='here'/><resolvers><filesystem name='here'>"
        f"<artifact pattern='{tmp_path}/[artifact].jar'/></filesystem></resolvers></ivysettings>"
    )
    without = {"spark.jars.ivySettings": str(settings), "spark.jars.ivy": str(tmp_path / "ivy")}
    conf = without if repository else {"spark.driver.memory": "99t"}
    code = (
        "import sys, json\n"
        "from dataloader_engines.spark.session import Sessions\n"
        "from dataloader_engines.spark.settings import SparkSettings\n"
        "Sessions(SparkSettings(spark_master='local[1]', spark_conf=json.loads(sys.argv[1]))).open()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(conf)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr.splitlines()[-1].startswith("dataloader_core.errors.DestinationUnavailableError: Spark")
    assert says in done.stderr.splitlines()[-1]
    assert repository or "enough space" in done.stdout + done.stderr


def test_the_jar_with_a_class_is_found_among_others(tmp_path: Path) -> None:
    (tmp_path / "a.jar").write_bytes(b"no archive")
    for name, entry in (("b.jar", "org/other/Driver.class"), ("c.jar", "org/postgresql/Driver.class")):
        with zipfile.ZipFile(tmp_path / name, "w") as jar:
            jar.writestr(entry, b"")
    assert jar_with(tmp_path, "org.postgresql.Driver") == tmp_path / "c.jar"
    assert jar_with(tmp_path, "no.such.Driver") is None


@pytest.mark.parametrize(
    ("remote", "found"),
    [
        ("sc://adb-123.7.azuredatabricks.net:443/;x-databricks-cluster-id=1", True),
        ("sc://dbc-1.cloud.databricks.com", True),
        ("sc://spark.databricks.com.example.org:15002", False),
        ("sc://127.0.0.1:15002", False),
        (None, False),
    ],
)
def test_a_workspace_is_known_by_its_address(remote: str | None, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    assert databricks_remote(remote) is found


def test_on_databricks_nothing_is_brought(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    spark: SparkSession = object()  # type: ignore[assignment]  # it is not asked for anything
    with pytest.raises(ConfigurationError, match=r"Add org\.postgresql:postgresql:.* to the cluster's libraries"):
        Drivers(SparkSettings(spark_jars=tmp_path)).bring(spark, READ)
