"""Every type of PostgreSQL by both of Spark's ways, against what the local engine's reader gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from spark_reading import WAYS, connect, load, read_of

from tests.sources.postgresql.type_cases import CASES, create_cases
from tests.support.spark import code_generating

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
Loaded = dict[str, pa.Table]


@pytest.fixture(scope="module")
def types_dsn(postgres_server) -> str:
    dsn = postgres_server.new_database("spark_types")
    create_cases(dsn)
    return postgres_server.tcp_dsn(dsn.rpartition("/")[2].partition("?")[0])


@pytest.fixture(scope="module")
def loaded(types_dsn: str, spark: SparkSession, tmp_path_factory) -> Loaded:
    """What each way read, and under ``local`` what the local engine reads."""
    folder = tmp_path_factory.mktemp("types")
    with connect(types_dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "cases")
        tables = {way: load(code_generating(spark), snapshot, read, way, folder) for way in WAYS}
        tables["local"] = snapshot.read_arrow(read).read_all()
    return {way: table.sort_by("id") for way, table in tables.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_a_value_is_the_one_that_the_local_engine_reads(case: str, way: str, loaded: Loaded) -> None:
    name = f"c{list(CASES).index(case)}"
    wanted, found = loaded["local"].column(name), loaded[way].column(name)
    assert found.type == wanted.type
    assert [repr(value) for value in found.to_pylist()] == [repr(value) for value in wanted.to_pylist()]
    assert found.to_pylist()[-1] is None
    assert all(value is not None for value in found.to_pylist()[: len(CASES[case])])
