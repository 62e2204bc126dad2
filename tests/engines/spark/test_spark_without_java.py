"""What the Spark engine says and checks before any Spark is started."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from dataloader_core.commit import TargetColumn
from dataloader_core.errors import (
    ConfigurationError,
    DataLoaderError,
    DestinationRefusedError,
    DestinationUnavailableError,
    RivalCommitError,
    UnrepresentableValueError,
)
from dataloader_core.interfaces.source import JdbcDriver
from dataloader_core.plan import Comparison, IsNull
from dataloader_core.types import BIGINT, BINARY, INT, STRING
from dataloader_core.values import Value
from dataloader_engines.spark import creation, session, versions
from dataloader_engines.spark.address import address
from dataloader_engines.spark.area import StagingArea
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.errors import translated
from dataloader_engines.spark.features import find_problems
from dataloader_engines.spark.look import Entry, Handle
from dataloader_engines.spark.settings import SparkSettings
from dataloader_engines.spark.sql import conditions, either, projection, quote, text

if TYPE_CHECKING:
    from dataloader_engines.spark.session import LoadSession

ENGINE = Path(versions.__file__).parent
NAMES = ("bronze", "crm", "orders")
HERE = cast("LoadSession", SimpleNamespace(spark=None))
"""A session of no Spark Connect, that nothing is asked of."""
FORBIDDEN = {
    "_jvm",
    "_jsc",
    "_jsparkSession",
    "_jdf",
    "sparkContext",
    "rdd",
    "DeltaTable",
    "toPandas",
    "toLocalIterator",
}
"""What Connect lacks, and what brings rows to the driver."""
ALLOWED = {("reading_jobs.py", "sparkContext"), ("jvm.py", "_jvm"), ("jvm.py", "_jsc")}
"""Behind a question for the kind of session: classic Spark ends only jobs that the context has tagged, and only a
process that started a JVM can lose it.
"""


def test_the_engine_uses_only_what_classic_spark_and_spark_connect_both_have() -> None:
    for file in ENGINE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
            assert name not in FORBIDDEN or (file.name, name) in ALLOWED, (
                f"{file.name}:{getattr(node, 'lineno', 0)} uses {name}"
            )


def test_listing_plugins_imports_no_spark() -> None:
    code = (
        "import sys; import dataloader_engines.spark.plugin as p; list(p.dataloader_engines()); "
        "sys.exit('pyspark' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_lake_gives_paths_laid_out_as_the_local_engines(tmp_path: Path) -> None:
    found = address(SparkSettings(lake=str(tmp_path)), NAMES)
    assert found.path == f"{tmp_path}/bronze/crm/orders"
    assert found.sql == f"delta.`{tmp_path}/bronze/crm/orders`"
    assert found.staging == f"{tmp_path}/bronze/crm/orders/_dataloader_staging"


def test_without_a_lake_a_table_goes_by_its_three_names() -> None:
    found = address(SparkSettings(staging="/Volumes/main/x/s/"), ("main", "my crm", "or`ders"))
    assert found.sql == "`main`.`my crm`.`or``ders`"
    assert found.path is None
    assert found.staging == "/Volumes/main/x/s/main.my crm.or`ders"


def test_a_catalogs_rows_need_a_place_to_wait() -> None:
    with pytest.raises(ConfigurationError, match="DATALOADER_STAGING"):
        address(SparkSettings(), NAMES)


@pytest.mark.parametrize("part", ["", "..", "a/b", "a\\b"])
def test_a_name_that_leads_elsewhere_is_refused(part: str) -> None:
    with pytest.raises(DestinationRefusedError):
        address(SparkSettings(lake="/lake"), ("bronze", "crm", part))


@pytest.mark.parametrize(
    ("field", "url"),
    [
        ("spark_remote", "sc://me:hunter2@host:15002"),
        ("spark_remote", "sc://host:15002/;token=hunter2"),
        ("lake", "s3a://me:hunter2@bucket/lake"),
        ("lake", "abfss://lake@account.dfs.core.windows.net/x?sv=2024&sig=hunter2"),
        ("staging", "https://account.blob.core.windows.net/x?sp=rw&sig=hunter2"),
        ("staging", "s3://bucket/x?X-Amz-Signature=hunter2"),
    ],
)
def test_credentials_in_an_address_are_refused_and_not_shown(field: str, url: str) -> None:
    with pytest.raises(ValueError, match="credentials") as caught:
        SparkSettings.model_validate({field: url})
    assert "hunter2" not in str(caught.value.errors(include_input=False))  # type: ignore[attr-defined]  # pydantic's own


@pytest.mark.parametrize(
    ("given", "lies"),
    [
        ("file:/data/lake", "/data/lake"),
        ("file:///data/lake/", "/data/lake"),
        ("dbfs:/data/lake", "dbfs:/data/lake"),
        ("dbfs:/Volumes/main/lake", "/Volumes/main/lake"),
        ("hdfs:///data/lake/", "hdfs:///data/lake"),
    ],
)
def test_a_lake_with_a_scheme_is_no_folder_below_the_working_one(given: str, lies: str) -> None:
    found = address(SparkSettings(lake=given, staging=given), NAMES)
    assert found.path == f"{lies}/bronze/crm/orders"
    assert found.staging == f"{lies}/bronze.crm.orders"


def test_text_and_names_are_escaped() -> None:
    assert text("it's a \\ here") == "'it\\'s a \\\\ here'"
    assert "${" not in text("${env:HOME}")
    assert quote("a`b") == "`a``b`"


def test_conditions_are_typed_as_the_column_and_spelled_as_the_table() -> None:
    names = {"id": TargetColumn("ID", BIGINT), "b": TargetColumn("b", BINARY)}
    where = (Comparison("id", ">=", Value(INT, "5")), IsNull("b"))
    assert conditions(where, names, "t.") == "(t.`ID` >= CAST('5' AS bigint) AND t.`b` IS NULL)"
    assert conditions((Comparison("b", "<", Value(BINARY, "0x0a")),), names) == "(`b` < unhex('0a'))"
    assert either((), where[1:], names=names) == "(`b` IS NULL)"
    assert either((), (), names=names) == "false"


def test_a_projection_casts_and_fills_what_is_missing() -> None:
    columns = (TargetColumn("ID", BIGINT), TargetColumn("n", STRING))
    assert projection(columns, ["id"]) == "CAST(`id` AS bigint) AS `ID`, CAST(NULL AS string) AS `n`"


def test_a_jvm_that_is_missing_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"found no Java.*Install Java 17"):
        versions.java_version()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no java is in PATH"):
        versions.java_version()


@pytest.mark.parametrize(("told", "major"), [('openjdk version "11.0.2"', 11), ('java version "1.8.0_292"', 8)])
def test_an_old_java_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str, major: int) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{told}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert versions.java_version() == major
    with pytest.raises(ConfigurationError, match=f"Java {major} is too old"):
        versions.check_java()


@pytest.mark.parametrize(("version", "says"), [("3.5.3", "too old"), ("4.3.0", "no Delta yet"), ("5.0.1", "no Delta")])
def test_a_pyspark_without_delta_is_refused(monkeypatch: pytest.MonkeyPatch, version: str, says: str) -> None:
    monkeypatch.setattr(versions, "pyspark_version", lambda: version)
    with pytest.raises(ConfigurationError, match=says):
        versions.check_pyspark()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "no jar of Delta"),
        (("delta-spark_2.12-3.2.0.jar",), "Scala 2.12"),
        (("delta-spark_4.0_2.13-4.4.0.jar", "delta-storage-4.4.0.jar"), "is for Spark 4.0"),
        (("delta-spark_4.1_2.13-4.4.0.jar",), "not delta-storage"),
    ],
)
def test_jars_that_do_not_fit_are_named(tmp_path: Path, names: tuple[str, ...], says: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ConfigurationError, match=says):
        versions.check_jars(tmp_path, "4.1")


def test_a_folder_of_jars_that_fit_is_taken_instead_of_a_download(tmp_path: Path) -> None:
    spark = versions.check_pyspark()
    for name in (f"delta-spark_{spark}_2.13-4.4.0.jar", "delta-storage-4.4.0.jar"):
        (tmp_path / name).touch()
    found = versions.jars(SparkSettings(spark_jars=tmp_path))
    assert found["spark.driver.extraClassPath"] == f"{tmp_path}/*"
    assert "spark.jars.packages" not in found
    assert versions.delta_package(spark) in versions.jars(SparkSettings())["spark.jars.packages"]


def test_what_is_not_fetched_lies_in_pyspark() -> None:
    import pyspark

    jars = [jar.name for jar in (Path(pyspark.__path__[0]) / "jars").glob("*.jar")]
    for module in versions.NOT_FETCHED:
        _, artifact = module.split(":")
        assert any(re.fullmatch(rf"{re.escape(artifact)}-\d[\w.-]*\.jar", jar) for jar in jars), module


def test_the_doctor_says_what_is_there_and_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    good = {c.name: c for c in SparkEngine(SparkSettings(lake=str(tmp_path))).checks()}
    assert good["pyspark"].ok
    assert good["destinations"].ok
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    bad = {c.name: c for c in SparkEngine(SparkSettings(spark_jars=tmp_path)).checks()}
    assert not any(bad[name].ok for name in ("java", "jars", "destinations"))
    assert all(bad[name].cure for name in ("java", "jars", "destinations"))


def test_a_session_without_delta_is_refused() -> None:
    plain = SimpleNamespace(version="4.1.4", conf={"spark.sql.extensions": "org.example.Other"})
    with pytest.raises(ConfigurationError, match=r"Spark session \(4\.1\.4\) has no Delta.*Start it with") as caught:
        session._check_delta(plain)
    assert "spark.sql.catalog.spark_catalog=" in str(caught.value.cure)


DRIVER = {"postgresql": JdbcDriver("org.postgresql.Driver", ("org.postgresql:postgresql:42.7.14",))}


@pytest.mark.parametrize(
    ("settings", "files", "says"),
    [
        ({"spark_conf": {"spark.jars.ivy": "HERE"}}, (), "fetched when a load first needs it"),
        ({"spark_conf": {"spark.jars.ivy": "HERE"}}, ("org.postgresql_postgresql-42.7.14.jar",), "there, in HERE/jars"),
        (
            {"spark_jars": "HERE/jars"},
            (),
            "missing; for way_of_reading = jdbc put org.postgresql:postgresql:42.7.14 into",
        ),
        ({"spark_jars": "HERE/jars"}, ("driver.jar",), "there: driver.jar in HERE/jars"),
        ({"spark_remote": "sc://h:15002"}, (), "not taken: a Spark Connect server writes the plan"),
    ],
)
def test_the_doctor_says_where_a_jdbc_driver_comes_from(
    tmp_path: Path, settings: dict[str, Any], files: tuple[str, ...], says: str
) -> None:
    (tmp_path / "jars").mkdir()
    for name in files:
        with zipfile.ZipFile(tmp_path / "jars" / name, "w") as jar:
            jar.writestr("org/postgresql/Driver.class", b"")
    given = json.loads(json.dumps(settings).replace("HERE", str(tmp_path)))
    [check] = SparkEngine(SparkSettings(**given)).driver_checks(DRIVER)
    assert check.ok
    assert check.name == "jdbc postgresql"
    assert says.replace("HERE", str(tmp_path)) in check.detail


def test_the_doctor_says_which_delta_fits_and_where_it_is(tmp_path: Path) -> None:
    engine = SparkEngine(SparkSettings(lake="/lake", spark_conf={"spark.jars.ivy": str(tmp_path)}))
    spark = versions.check_pyspark()
    jars = next(c for c in engine.checks() if c.name == "jars")
    assert (
        f"delta-spark_{spark}_2.13:4.4.0, for PySpark {spark} and Scala 2.13: fetched when Spark starts" in jars.detail
    )


class SparkSays(Exception):
    """An error of Spark: only its text and its condition are looked at."""

    def __init__(self, text: str, condition: str | None = None) -> None:
        super().__init__(text)
        self._condition = condition

    def getCondition(self) -> str | None:  # Spark's own name
        return self._condition


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("o1.append: io.delta.exceptions.ConcurrentTransactionException: x", RivalCommitError, "Somebody else"),
        ("[DELTA_CONCURRENT_APPEND] Files were added", RivalCommitError, "Somebody else"),
        ("[DELTA_METADATA_CHANGED] x", RivalCommitError, "Somebody else"),
        (
            "[INSUFFICIENT_PERMISSIONS] User does not have USE SCHEMA on Schema 'main.crm'.",
            DestinationRefusedError,
            "USE SCHEMA on Schema main.crm is missing",
        ),
        ("PERMISSION_DENIED: User lacks MODIFY on Table 'main.crm.t'", DestinationRefusedError, "MODIFY on Table"),
        ("java.nio.file.AccessDeniedException: /lake", DestinationRefusedError, "No permission"),
        ("[SCHEMA_NOT_FOUND] The schema `a`.`b`", DestinationRefusedError, "does not exist"),
        ("java.io.IOException: No space left on device", DestinationUnavailableError, "no space"),
        ("java.lang.OutOfMemoryError: Java heap space", DestinationUnavailableError, "memory"),
        ("java.lang.NoSuchMethodError: 'x'", ConfigurationError, "do not fit together"),
        ("ExecutorLostFailure (executor 1 exited)", DestinationUnavailableError, "went away"),
        ("[DELTA_UNSUPPORTED_FEATURES_FOR_WRITE] x", DestinationRefusedError, "does not handle"),
        ("[FAILED_READ_FILE.FILE_NOT_EXIST] x", DestinationUnavailableError, "is gone"),
        (
            "[DELTA_VIOLATE_CONSTRAINT_WITH_VALUES] CHECK constraint pos (id > 0) violated by row: - id : -4711",
            DestinationRefusedError,
            "constraint pos",
        ),
        ("[CAST_INVALID_INPUT] The value '4711' of the type", UnrepresentableValueError, "does not fit"),
        ("[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column 4711", DestinationRefusedError, "(UNRESOLVED_COLUMN"),
        ("[DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS] x", RivalCommitError, "Somebody else"),
        ("something new about 4711", DestinationUnavailableError, "could not"),
    ],
)
def test_what_spark_says_is_told_as_our_errors_without_a_value(
    text: str, error: type[DataLoaderError], says: str
) -> None:
    found = translated("main.crm.t", SparkSays(text))
    assert type(found) is error
    assert says in found.problem
    assert "4711" not in str(found)
    assert found.cure


def handle(location: str = "/lake/t", **properties: str) -> Handle:
    found = {k.replace("__", "."): v for k, v in properties.items()}
    features = frozenset(k.removeprefix("delta.feature.") for k in found if k.startswith("delta.feature."))
    return Handle(Entry(0, None, "WRITE", None, None, {}), (), found, location=location, features=features)


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"delta__appendOnly": "true"}, "append-only"),
        ({"delta__setTransactionRetentionDuration": "interval 1 day"}, "forget"),
        ({"delta__minWriterVersion": "6"}, "identity"),
        ({"delta__feature__identityColumns": "supported"}, "identity"),
        ({"delta__feature__catalogManaged": "supported"}, "managed by a catalog"),
    ],
)
def test_what_would_lose_something_in_silence_is_named(properties: dict[str, str], says: str) -> None:
    [problem] = find_problems(handle(**properties))
    assert says in problem


@pytest.mark.parametrize(
    ("told", "says"),
    [({"delta.generationExpression": "id + 1"}, "generated"), ({"delta.identity.start": 1}, "an identity")],
)
def test_columns_that_get_their_own_values_are_refused_by_name(told: dict[str, Any], says: str) -> None:
    [problem] = find_problems(replace(handle(), declared={"id": {}, "n": told}))
    assert f"Column n is {says}" in problem


def test_a_protocol_that_could_generate_values_is_no_problem_of_a_look() -> None:
    """What an overwrite would lose is asked before that overwrite."""
    assert find_problems(handle(delta__feature__generatedColumns="supported")) == ()
    assert find_problems(handle(delta__minWriterVersion="4")) == ()


def test_on_s3_the_other_engines_table_is_refused_by_name() -> None:
    mine = {"dataloader__engine": "spark"}
    theirs = {"dataloader__engine": "local"}
    assert find_problems(handle("s3://bucket/t", **mine)) == ()
    [problem] = find_problems(handle("s3a://bucket/t", **theirs))
    assert "local engine" in problem


def test_a_table_that_only_spark_reaches_is_not_dropped_and_that_is_said() -> None:
    with pytest.raises(DestinationUnavailableError, match="cannot be deleted by this process"):
        creation._delete("wasbs://container@account/t")


def test_a_crashed_loads_rows_go_after_a_day_and_a_living_ones_stay(tmp_path: Path) -> None:
    old, young = f"{1:x}-{uuid4().hex}", StagingArea(str(tmp_path), 24).new_folder()
    Path(young).mkdir()
    (tmp_path / old).mkdir()
    (tmp_path / old / "part.parquet").touch()
    (tmp_path / "somebody else's").mkdir()
    StagingArea(str(tmp_path), 24).sweep(HERE)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([Path(young).name, "somebody else's"])
