"""The merge against a dictionary: whatever the rows and files, the table is what the plan promises."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_table import ARROW, UID, Rows, Table

from dataloader_core.errors import KeyValuesError, RivalCommitError
from dataloader_core.plan import Append, Comparison, LossPolicy, Merge
from dataloader_core.types import INT, ColumnType
from dataloader_core.values import Value
from dataloader_engines.local.types import duckdb_type

BY_ID = Merge(("id",))
KEYED = {"id": "int", "name": "string", "day": "int"}


def values(rows: list[tuple[object, ...]], names: tuple[str, ...] = ("id", "name", "day")) -> str:
    """Rows as SQL; none as a query without rows."""
    types = ("INTEGER", "VARCHAR", "INTEGER")
    shown = [", ".join("NULL" if v is None else repr(v) for v in row) for row in rows] or ["NULL, NULL, NULL"]
    body = ", ".join(f"({row})" for row in shown)
    casts = ", ".join(f"{n}::{t} AS {n}" for n, t in zip(names, types, strict=True))
    return f"SELECT {casts} FROM (VALUES {body}) t({', '.join(names)})" + ("" if rows else " WHERE false")


row = st.tuples(st.integers(-20, 60), st.sampled_from(["a", "b", "é"]), st.one_of(st.none(), st.integers(0, 9)))
table_rows = st.lists(row, max_size=30, unique_by=lambda r: r[0])


@settings(max_examples=40, deadline=None)
@given(
    loads=st.lists(table_rows, min_size=1, max_size=3),
    merges=st.lists(table_rows, min_size=1, max_size=3),
    cut=st.integers(0, 9),
    outside=st.booleans(),
    missing=st.booleans(),
    parts=st.integers(1, 4),
)
def test_a_merge_equals_its_model(
    loads: list[list[tuple[int, str, int | None]]],
    merges: list[list[tuple[int, str, int | None]]],
    cut: int,
    outside: bool,
    missing: bool,
    parts: int,
) -> None:
    bound = Value(INT, str(cut))
    write = Merge(
        ("id",),
        (Comparison("day", "<", bound),) if outside else (),
        (Comparison("day", ">=", bound),) if missing else (),
    )
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder), KEYED)
        table.create()
        model: dict[int, tuple[int, str, int | None]] = {}
        for rows in loads:
            fresh = [r for r in rows if r[0] not in model]
            table.load(Rows(values(fresh), parts=parts), Append())
            model |= {r[0]: r for r in fresh}
        for rows in merges:
            before = len(model)
            done = table.load(values(rows), write, loss=LossPolicy(allow_empty=True, max_fraction=1))
            read = {r[0] for r in rows}
            kept = {
                k: r
                for k, r in model.items()
                if k in read
                or not ((outside and r[2] is not None and r[2] < cut) or (missing and r[2] is not None and r[2] >= cut))
            }
            assert done.rows_deleted == before - len(kept)
            model = kept | {r[0]: r for r in rows}
            assert sorted(table.rows(), key=lambda r: r[0]) == sorted(model.values())
            assert done.rows_total == len(model)
            assert sum(f.rows for f in table.look().handle.files) == len(model)
        table.destination.close()
        assert {f.name for f in table.path.glob("*.parquet")} >= {f.path for f in table.look().handle.files}


def keyed(lake: Path) -> Table:
    table = Table(lake, KEYED)
    table.create()
    return table


def test_only_files_that_hold_touched_rows_are_written_anew(lake: Path) -> None:
    table = Table(lake, KEYED)
    table.create()
    big = "SELECT i::int AS id, repeat(md5(i::varchar), 40) AS name, 1 AS day FROM range({}, {}) t(i)"
    for start in range(0, 40_000, 10_000):
        table.load(big.format(start, start + 10_000), Append())
    before = {f.path for f in table.look().handle.files}
    table.load(values([(10_005, "new", 2), (10_006, "new", 2)]), BY_ID)
    after = {f.path for f in table.look().handle.files}
    assert len(before - after) == 1
    assert len(after - before) == 1


def test_increments_of_new_keys_do_not_leave_a_file_each(lake: Path) -> None:
    table = keyed(lake)
    for start in range(0, 50, 10):
        table.load(values([(i, "x", 1) for i in range(start, start + 10)]), BY_ID)
    assert len(table.look().handle.files) == 1
    assert len(table.rows()) == 50


@pytest.mark.parametrize(
    ("kind", "there", "incoming"),
    [
        ("string", "'Straße'", "'straße'"),
        ("string", "'a'", "'a '"),
        ("string", "''", "' '"),
        ("binary", r"'\x00\xFF'::blob", r"'\x00\xFE'::blob"),
        ("decimal(38,10)", "12345678901234567890123456.0000000001", "12345678901234567890123456.0000000002"),
        ("timestamp", "timestamptz '2024-01-01 00:00:00.000001+00'", "timestamptz '2024-01-01 00:00:00.000002+00'"),
        ("timestamp_ntz", "timestamp '0001-01-01 00:00:00.000001'", "timestamp '0001-01-01 00:00:00.000002'"),
        ("date", "date '9999-12-30'", "date '9999-12-31'"),
        ("bigint", "9223372036854775806", "9223372036854775807"),
        ("boolean", "true", "false"),
        ("double", "'nan'::double", "1e308::double"),
    ],
)
def test_keys_compare_exactly(lake: Path, kind: str, there: str, incoming: str) -> None:
    table = Table(lake, {"k": kind, "v": "int"})
    table.create()
    table.load(f"SELECT {there} AS k, 1 AS v")
    table.load(f"SELECT {incoming} AS k, 2 AS v", Merge(("k",)))
    table.load(f"SELECT {there} AS k, 3 AS v", Merge(("k",)))
    assert sorted(r[1] for r in table.rows()) == [2, 3]


def test_rows_with_a_null_key_in_the_table_stay(lake: Path) -> None:
    table = Table(lake, {"a": "int", "b": "string", "v": "int"})
    table.create()
    table.load("SELECT 1 AS a, NULL::varchar AS b, 1 AS v UNION ALL SELECT 1, 'x', 2")
    table.load("SELECT 1 AS a, 'x' AS b, 3 AS v", Merge(("a", "b")))
    assert sorted(r[2] for r in table.rows()) == [1, 3]


def test_null_keys_are_refused_by_name_and_without_values(lake: Path) -> None:
    table = keyed(lake)
    with pytest.raises(KeyValuesError, match=r"id \(1 rows\)"):
        table.load(values([(1, "a", 1), (None, "secret", 2)]), BY_ID)
    assert list(table.path.glob("*.parquet")) == []


def test_a_merge_is_computed_again_after_a_rival(lake: Path) -> None:
    table = keyed(lake)
    table.load(values([(1, "a", 1), (2, "b", 1)]))
    look, step = table.look(), table.step(BY_ID)
    prepared = table.prepare(step, values([(2, "mine", 2), (3, "mine", 2)]), look=look)
    other = table.open()
    theirs = other.look(UID)
    other_step = table.step(Append())
    table.destination, mine = other, table.destination
    ready = table.prepare(other_step, values([(3, "theirs", 1)]), look=theirs)
    other.commit(other_step, ready, theirs, table.record())
    table.destination = mine
    with pytest.raises(RivalCommitError):
        mine.commit(step, prepared, look, table.record())
    mine.commit(step, prepared, table.look(), table.record())
    assert sorted(table.rows()) == [(1, "a", 1), (2, "mine", 2), (3, "mine", 2)]
    mine.close()
    assert len(table.rows()) == 3


def test_bounds_of_decimals_keep_all_their_digits(lake: Path) -> None:
    table = Table(lake, {"k": "decimal(38,10)"})
    table.create()
    big = "12345678901234567890123456.0000000001"
    table.load(f"SELECT {big}::decimal(38,10) AS k")
    assert table.look().handle.adds["max.k"].to_pylist() == [Decimal(big)]


PREFIX = "p" * 40
POOLS = {
    "string": ["", "a", "A", "ä", PREFIX, PREFIX + "a", PREFIX + "z", "z", "😀", "\uffff"],
    "decimal(38,10)": ["-1e20", "-1e-10", "0", "1e-10", "2e-10", "1e20", "100000000000000000000.0000000001"],
    "timestamp": [f"2024-01-01 00:00:00.{n:06}+00" for n in (0, 1, 999, 1000, 1001, 999_999)],
    "timestamp_ntz": [f"{y:04}-01-01 00:00:00.{n:06}" for y in (1, 1969, 9999) for n in (0, 1, 999_999)],
    "date": ["0001-01-01", "1969-12-31", "1970-01-01", "9999-12-31"],
    "smallint": ["-32768", "-1", "0", "1", "32767"],
    "double": ["-1.5", "0.0", "1e308", "nan", "inf"],
    "binary": ["aa", "ab", "b"],
    "boolean": ["true", "false"],
}


@settings(max_examples=30, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(POOLS)))
def test_statistics_never_hide_a_file_that_holds_a_key(data: st.DataObject, kind: str) -> None:
    sql = duckdb_type(ColumnType.parse(kind))
    pool = st.sampled_from(POOLS[kind])

    def query(keys: list[str], value: int) -> str:
        return " UNION ALL ".join(f"SELECT '{k}'::{sql} AS k, {value} AS v" for k in keys)

    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder), {"k": kind, "v": "int"})
        table.create()
        model: dict[str, int] = {}
        for value, keys in enumerate(data.draw(st.lists(st.lists(pool, min_size=1, unique=True), max_size=4))):
            fresh = [k for k in keys if k not in model]
            if fresh:
                table.load(query(fresh, value), Append())
            model |= dict.fromkeys(fresh, value)
        keys = data.draw(st.lists(pool, min_size=1, unique=True))
        done = table.load(query(keys, 99), Merge(("k",)))
        assert done.metrics["rows_updated"] == len(set(keys) & set(model))
        model |= dict.fromkeys(keys, 99)
        assert sorted(r[1] for r in table.rows("v")) == sorted(model.values())
        table.destination.close()


def test_bounds_that_another_writer_cut_to_milliseconds_hide_nothing(lake: Path) -> None:
    table = Table(lake, {"k": "timestamp", "v": "int"})
    table.create()
    table.load("SELECT timestamptz '2024-01-01 00:00:00.123999+00' AS k, 1 AS v")
    log = sorted(table.path.glob("_delta_log/*.json"))[-1]
    cut = log.read_text().replace("00.123999Z", "00.123Z")
    assert cut != log.read_text()
    log.write_text(cut)
    table.load("SELECT timestamptz '2024-01-01 00:00:00.123999+00' AS k, 2 AS v", Merge(("k",)))
    assert [r[1] for r in table.rows()] == [2]


def test_integers_that_lie_far_apart_are_written_as_every_reader_reads_them(lake: Path) -> None:
    table = Table(lake, KEYED)
    table.create()
    far = [(-(2**31) + 1, "low", 1), (2**31 - 1, "high", 1), (0, "x", 1)]
    table.load(values(far), way=ARROW)
    table.load(values([(0, "again", 2)]), BY_ID)
    found = [r for f in table.look().handle.files for r in pq.read_table(table.path / f.path)["id"].to_pylist()]
    assert sorted(found) == sorted(r[0] for r in far)
    assert (0, "again", 2) in table.rows()
