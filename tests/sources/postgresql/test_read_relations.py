"""Every kind of relation, however it is cut: each row once, and the odd shapes that tables have."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder, convert_to_deltalake
from hypothesis import given
from hypothesis import strategies as st
from reading import WAYS, connect, load, read_of, run, write

from dataloader_core.errors import SourceRefusedError
from dataloader_core.interfaces.source import ColumnStats
from dataloader_core.plan import Column, Comparison, IsNull, Read, Relation, Split
from dataloader_core.types import BIGINT, DATE, INT, TIMESTAMP, ColumnType, decimal
from dataloader_core.values import Value, order_key
from dataloader_sources.postgresql.ranges import Heap, column_ranges, page_ranges
from dataloader_sources.postgresql.snapshot import PostgresSnapshot

COUNT = 150_000


@pytest.fixture(scope="module")
def shop(postgres_server) -> str:
    """The same rows as a table, a view, a materialized view, partitions, inheritance and a foreign table's stand-in."""
    dsn = postgres_server.new_database("shop")
    rows = f"SELECT g AS id, g % 10 AS grp, md5(g::text) || repeat('x', 200) AS pad FROM generate_series(1, {COUNT}) g"
    run(
        dsn,
        f"CREATE TABLE plain AS {rows}",
        "CREATE INDEX ON plain (id)",
        "CREATE VIEW seen AS SELECT * FROM plain",
        "CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain",
        "CREATE TABLE parted (pad text, id int, grp int) PARTITION BY RANGE (id)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (100000)",
        "CREATE TABLE loose (grp int, junk int, pad text, id int)",
        "ALTER TABLE loose DROP COLUMN junk",
        "ALTER TABLE parted ATTACH PARTITION loose FOR VALUES FROM (100000) TO (MAXVALUE)",
        "CREATE TABLE parted_empty PARTITION OF parted DEFAULT",
        "INSERT INTO parted (id, grp, pad) SELECT * FROM plain",
        "CREATE TABLE parent (id int, grp int, pad text)",
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO parent SELECT * FROM plain WHERE id <= 50000",
        "INSERT INTO child SELECT * FROM plain WHERE id > 50000",
        "VACUUM ANALYZE",
    )
    return dsn


def written(snapshot: PostgresSnapshot, read: Read, folder: Path) -> tuple[int, pa.Table]:
    files = write(snapshot, read, folder)
    return len(files), pq.read_table([str(file.path) for file in files])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["plain", "seen", "kept", "parted", "parent"])
def test_each_row_is_read_once_whatever_the_relation(shop: str, tmp_path: Path, name: str, way: str) -> None:
    with connect(shop) as session, session.snapshot() as snapshot:
        table = load(snapshot, read_of(session, name), way, tmp_path)
    assert sorted(table["id"].to_pylist()) == list(range(1, COUNT + 1))


def test_what_has_pages_is_read_by_several_connections(shop: str, tmp_path: Path) -> None:
    with connect(shop) as session, session.snapshot() as snapshot:
        for name, several in {"plain": True, "kept": True, "parted": True, "seen": False, "parent": False}.items():
            read = read_of(session, name)
            parquet, arrow, _ = snapshot.ways(read)
            folder = tmp_path / name
            folder.mkdir()
            files = write(snapshot, read, folder)
            assert (len(files) > 1, parquet.parallel) == ((True, 2) if several else (False, 1)), parquet.reason
            assert (parquet.way, arrow.way, parquet.usable, arrow.usable) == ("parquet", "arrow", True, True)


def test_files_follow_the_order_of_the_table(shop: str, tmp_path: Path) -> None:
    with connect(shop) as session, session.snapshot() as snapshot:
        files = write(snapshot, read_of(session, "plain"), tmp_path)
    ends = [(int(file.stats["id"].low), int(file.stats["id"].high)) for file in files]
    assert all(before[1] < after[0] for before, after in pairwise(ends))
    assert pq.read_table([str(file.path) for file in files])["id"].to_pylist() == list(range(1, COUNT + 1))


def test_a_condition_with_an_index_is_one_file_and_without_one_several_connections(shop: str, tmp_path: Path) -> None:
    with connect(shop) as session, session.snapshot() as snapshot:
        read = read_of(session, "plain")
        few = replace(read, where=(Comparison("id", ">", Value(INT, str(COUNT - 100))),))
        assert "index" in snapshot.ways(few)[0].reason
        count, table = written(snapshot, few, tmp_path)
        assert (count, table.num_rows) == (1, 100)
        scan = replace(read, filter="grp IN (1, 2) -- and a remark")
        assert snapshot.ways(scan)[0].parallel == 2
        assert Counter(written(snapshot, scan, tmp_path)[1]["grp"].to_pylist()) == {1: COUNT // 10, 2: COUNT // 10}


def test_a_row_limit_holds_over_all_connections(shop: str, tmp_path: Path) -> None:
    with connect(shop) as session, session.snapshot() as snapshot:
        read = replace(read_of(session, "plain"), row_limit=1000)
        for way in WAYS:
            assert load(snapshot, read, way, tmp_path).num_rows == 1000
        assert snapshot.unrepresentable(read, None) == []


@pytest.mark.parametrize(("lower", "upper"), [(None, None), ("1000", "9000"), ("1", "150000")])
def test_a_view_is_cut_on_the_column_that_was_asked_for(
    shop: str, tmp_path: Path, lower: str | None, upper: str | None
) -> None:
    with connect(shop) as session, session.snapshot() as snapshot:
        read = replace(read_of(session, "seen"), split=Split("id", 4, lower, upper))
        assert snapshot.ways(read)[0].parallel == 2
        count, table = written(snapshot, read, tmp_path)
    assert count == 4
    assert sorted(table["id"].to_pylist()) == list(range(1, COUNT + 1))


def test_a_query_of_somebodys_own_is_read_as_it_is(shop: str, tmp_path: Path) -> None:
    sql = "SELECT id AS \"Order ID\", '50%' AS half FROM plain WHERE id % 1000 = 0 ORDER BY id DESC -- the end"
    with connect(shop) as session, session.snapshot() as snapshot:
        table = session.describe(Relation(query=sql))
        for way in WAYS:
            rows = load(snapshot, Read(table.relation, table.columns), way, tmp_path).to_pylist()
            assert len(rows) == COUNT // 1000
            assert rows[0] == {"Order_ID": COUNT, "half": "50%"}


def test_a_partition_that_may_not_be_read_by_itself_is_read_through_its_table(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("grants")
    run(
        dsn,
        "CREATE TABLE p (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000000)",
        "INSERT INTO p SELECT generate_series(1, 1000)",
        "GRANT SELECT ON p TO PUBLIC",
    )
    postgres_server.new_login("visitor", "let me in")
    name = dsn.rsplit("/", 1)[1].split("?")[0]
    visitor = postgres_server.tcp_dsn(name, "visitor", "let me in")
    with connect(visitor) as session, session.snapshot() as snapshot:
        assert load(snapshot, read_of(session, "p"), "parquet", tmp_path).num_rows == 1000


@pytest.mark.parametrize("way", WAYS)
def test_a_grant_on_some_columns_suffices_to_read_them(postgres_server, tmp_path: Path, way: str) -> None:
    dsn = postgres_server.new_database("column_grants")
    run(
        dsn,
        "CREATE TABLE t (id int, hidden text)",
        "INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g",
        "GRANT SELECT (id) ON t TO PUBLIC",
    )
    postgres_server.new_login(f"narrow_{way}", "one column")
    name = dsn.rsplit("/", 1)[1].split("?")[0]
    with connect(dsn) as session:
        read = read_of(session, "t")
    narrow = replace(read, columns=read.columns[:1])
    visitor = postgres_server.tcp_dsn(name, f"narrow_{way}", "one column")
    with connect(visitor) as session, session.snapshot() as snapshot:
        assert load(snapshot, narrow, way, tmp_path).num_rows == 20000
        with pytest.raises(SourceRefusedError, match="permission denied"):
            load(snapshot, read, way, tmp_path)


def test_row_security_holds_for_every_reader(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("rls")
    run(
        dsn,
        "CREATE TABLE t (id int)",
        "INSERT INTO t SELECT generate_series(1, 1000)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY few ON t USING (id <= 10)",
        "GRANT SELECT ON t TO PUBLIC",
    )
    postgres_server.new_login("limited", "a few")
    name = dsn.rsplit("/", 1)[1].split("?")[0]
    with connect(postgres_server.tcp_dsn(name, "limited", "a few")) as session, session.snapshot() as snapshot:
        for way in WAYS:
            assert load(snapshot, read_of(session, "t"), way, tmp_path).num_rows == 10


@pytest.mark.parametrize("way", WAYS)
def test_no_rows_are_no_files(postgres_server, tmp_path: Path, way: str) -> None:
    dsn = postgres_server.new_database("empty")
    run(dsn, "CREATE TABLE t (id int, n numeric(5,2))")
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        assert load(snapshot, read, way, tmp_path).num_rows == 0
        assert snapshot.highest(read, "id", None, True) is None
        assert snapshot.unrepresentable(read, {}) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", WAYS)
def test_names_are_kept_whatever_they_hold(postgres_server, tmp_path: Path, way: str) -> None:
    names = ["select", 'quo"te', "apo'strophe", "dot.ted", "Camel", "größe", "a%sb", "back\\slash", "x" * 63, "é" * 31]
    dsn = postgres_server.new_database("names")
    quoted = [psycopg.sql.Identifier(name).as_string(None) for name in names]
    schema, table = psycopg.sql.Identifier("My \"schema'.x").as_string(None), quoted[1]
    run(
        dsn,
        f"CREATE SCHEMA {schema}",
        f"CREATE TABLE {schema}.{table} ({', '.join(f'{name} int' for name in quoted)})",
        f"INSERT INTO {schema}.{table} VALUES ({', '.join(str(i) for i in range(len(names)))})",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, names[1], "My \"schema'.x")
        (row,) = load(snapshot, read, way, tmp_path).to_pylist()
        assert list(row.values()) == list(range(len(names)))
        assert [column.name for column in read.columns] == names
        if way == "parquet":
            (file,) = write(snapshot, read, tmp_path)
            assert [file.stats[column.target].high for column in read.columns] == [str(i) for i in range(len(names))]


@pytest.mark.parametrize("way", WAYS)
def test_1500_columns_are_read(postgres_server, tmp_path: Path, way: str) -> None:
    dsn = postgres_server.new_database("wide")
    columns = [f"c{i} {('int', 'text', 'date', 'numeric(9,2)')[i % 4]}" for i in range(1500)]
    run(
        dsn,
        f"CREATE TABLE wide ({', '.join(columns)})",
        "INSERT INTO wide (c0, c1, c3) VALUES (1, 'x', 2), (3, 'y', 0)",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "wide")
        table = load(snapshot, read, way, tmp_path)
        assert (table.num_columns, table["c0"].to_pylist()) == (1500, [1, 3])
        assert snapshot.unrepresentable(read, None) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_value_of_100_megabytes_is_read(postgres_server, tmp_path: Path, way: str) -> None:
    dsn = postgres_server.new_database("huge")
    run(dsn, "CREATE TABLE t (id int, v text)", "INSERT INTO t VALUES (1, repeat('0123456789', 10 << 20)), (2, 'x')")
    with connect(dsn) as session, session.snapshot() as snapshot:
        values = load(snapshot, read_of(session, "t"), way, tmp_path)["v"]
    assert [len(value.as_py()) for value in values] == [10 * (10 << 20), 1]


def test_statistics_are_exact_or_absent(postgres_server, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("stats")
    run(
        dsn,
        "CREATE TABLE t (b bool, i int, f float8, nan float8, n numeric(38,10), t text, long text, bin bytea, "
        "d date, ts timestamp, tz timestamptz, none int)",
        "INSERT INTO t VALUES (true, -1, 0.1, 'NaN', 1234567890123456789012345678.0123456789, 'b', repeat('z', 300), "
        "'\\xff', '2024-01-02', '2024-01-02 00:00:00.000001', '2024-01-02 00:00:00.5+02', NULL), "
        "(false, 7, 2, 1, -0.0000000001, 'a', 'x', '\\x00', '0001-01-01', '2024-01-01', '2024-01-01', NULL)",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        (file,) = write(snapshot, read_of(session, "t"), tmp_path)
    assert file.stats == {
        "b": ColumnStats("false", "true", 0),
        "i": ColumnStats("-1", "7", 0),
        "f": ColumnStats("0.1", "2.0", 0),
        "nan": ColumnStats(None, None, 0),
        "n": ColumnStats("-0.0000000001", "1234567890123456789012345678.0123456789", 0),
        "t": ColumnStats("a", "b", 0),
        "long": ColumnStats(None, None, 0),
        "bin": ColumnStats(None, None, 0),
        "d": ColumnStats("0001-01-01", "2024-01-02", 0),
        "ts": ColumnStats("2024-01-01 00:00:00", "2024-01-02 00:00:00.000001", 0),
        "tz": ColumnStats("2024-01-01 00:00:00+00", "2024-01-01 22:00:00.5+00", 0),
        "none": ColumnStats(None, None, 2),
    }


def test_integers_far_apart_can_be_read_by_other_readers(postgres_server, tmp_path: Path) -> None:
    """DuckDB's DELTA_BINARY_PACKED holds differences of 33 bits, which neither Arrow nor delta-rs reads."""
    dsn = postgres_server.new_database("far")
    run(
        dsn,
        "CREATE TABLE t (i int)",
        "INSERT INTO t SELECT hashint4(g) FROM generate_series(1, 50000) g",
        "INSERT INTO t VALUES (-2147483648), (2147483647), (-2147483648)",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "t")
        (file,) = write(snapshot, read, tmp_path)
        expected = sorted(row[0] for row in snapshot.ask("SELECT i FROM t"))
    assert [path.name for path in tmp_path.iterdir()] == [file.path.name]
    assert (file.rows, file.bytes) == (50003, file.path.stat().st_size)
    assert sorted(pq.read_table(file.path)["i"].to_pylist()) == expected
    convert_to_deltalake(str(tmp_path))
    query = QueryBuilder().register("t", DeltaTable(str(tmp_path))).execute("SELECT i FROM t")
    assert sorted(pa.table(query.read_all())["i"].to_pylist()) == expected


def test_no_file_has_an_encoding_that_spark_refuses(postgres_server, tmp_path: Path) -> None:
    """Spark 4.1 reads no BYTE_STREAM_SPLIT, which DuckDB takes for floats in version 2 of the format."""
    dsn = postgres_server.new_database("floats")
    run(dsn, "CREATE TABLE t AS SELECT g::float8 AS d, g::float4 AS f, g AS i FROM generate_series(1, 5000) g")
    with connect(dsn) as session, session.snapshot() as snapshot:
        (file,) = write(snapshot, read_of(session, "t"), tmp_path)
    group = pq.read_metadata(file.path).row_group(0)
    encodings = {encoding for i in range(group.num_columns) for encoding in group.column(i).encodings}
    assert encodings <= {"PLAIN", "PLAIN_DICTIONARY", "RLE", "RLE_DICTIONARY"}


heaps = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 1000)).map(lambda n: (n[0], n[0] * 8192 + n[1])), max_size=6
)


@given(heaps, st.integers(1, 40))
def test_page_ranges_hold_every_page_of_every_table_once(sizes: list[tuple[int, int]], files: int) -> None:
    tables = [Heap(Relation("s", f"t{i}"), pages, size) for i, (pages, size) in enumerate(sizes)]
    groups = page_ranges(tables, files)
    assert len(groups) <= files
    assert all(groups)
    flat = [part for group in groups for part in group]
    assert list(dict.fromkeys(part.relation for part in flat)) == [table.relation for table in tables]
    for table in tables:
        own = [part for part in flat if part.relation == table.relation]
        assert own[0].start == 0
        assert own[-1].end is None
        assert all(before.end == after.start for before, after in pairwise(own))
        assert all(part.end is None or part.start < part.end for part in own)


def column(type_: ColumnType) -> Column:
    return Column("c", "c", type_, '"c"', "")


kinds = st.sampled_from(
    [
        st.integers(-(2**63), 2**63 - 1).map(lambda n: Value(BIGINT, str(n))),
        st.dates().map(lambda d: Value(DATE, d.isoformat())),
        st.datetimes().map(lambda d: Value(TIMESTAMP, d.isoformat(" ") + "+00:00")),
        st.decimals(-(10**20), 10**20, places=4).map(lambda n: Value(decimal(38, 4), f"{n:f}")),
    ]
)


@given(kinds.flatmap(lambda kind: st.tuples(kind, kind, kind)), st.integers(1, 12))
def test_column_ranges_hold_every_value_once(values: tuple[Value, Value, Value], parts: int) -> None:
    one, other, probe = values
    ranges = column_ranges(column(probe.type), min(one, other), max(one, other), parts)
    holding = [conditions for conditions in ranges if all(_holds(condition, probe) for condition in conditions)]
    assert len(holding) == 1
    assert len(ranges) == 1 or (IsNull("c"),) in ranges


def _holds(condition: Comparison | IsNull, value: Value) -> bool:
    if isinstance(condition, IsNull):
        return False
    left, right = Decimal(order_key(value)), Decimal(order_key(condition.value))
    return {"<": left < right, ">=": left >= right}[condition.op]
