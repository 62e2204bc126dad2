"""Parts of a read as another process carries them out: pickled, on connections of their own, in one snapshot."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from reading import connect, load, read_of, run
from type_cases import create_cases

from dataloader_core.errors import MissingDriverError, SourceUnavailableError, UnrepresentableValueError
from dataloader_core.interfaces.source import ArrowPart
from dataloader_core.plan import Column, Comparison, Split
from dataloader_core.values import Value
from dataloader_sources.postgresql import arrow, extension
from dataloader_sources.postgresql.arrow import arrow_schema
from dataloader_sources.postgresql.parts import PostgresPart

ROWS = 200_000
READERS = ("duckdb", "adbc")
_COPIES = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"


@pytest.fixture(scope="module")
def big(postgres_server) -> str:
    """About 30 MB, by TCP with a password."""
    dsn = postgres_server.new_database("parts")
    run(
        dsn,
        "CREATE TABLE big (id bigint PRIMARY KEY, grp int, amount numeric(12,2), code char(4), pad text)",
        f"INSERT INTO big SELECT g, g % 7, g / 100.0, 'a', repeat(md5(g::text), 4) FROM generate_series(1, {ROWS}) g",
        "VACUUM ANALYZE big",
    )
    return postgres_server.tcp_dsn(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both readers that a part may find where it is carried out."""
    if request.param == "adbc":
        monkeypatch.setattr(extension, "extension_problem", lambda: "not here")
    return str(request.param)


def rows_of(parts: Sequence[ArrowPart], columns: Sequence[Column]) -> pa.Table:
    schema = arrow_schema(columns)
    batches = [batch for part in parts for batch in part.read()]
    assert all(batch.schema.equals(schema) for batch in batches)
    return pa.Table.from_batches(batches, schema)


def _carry_out(pickled: bytes) -> bytes:
    part: ArrowPart = pickle.loads(pickled)
    batches = list(part.read())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def test_parts_are_read_by_other_processes_in_the_same_snapshot(big: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        read = read_of(session, "big")
        parts = snapshot.arrow_parts(read, 2)
        run(big, "DELETE FROM big WHERE id <= 10", "INSERT INTO big VALUES (0), (-1)")
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            streams = pool.map(_carry_out, [pickle.dumps(part) for part in parts])
    table = pa.concat_tables(pa.ipc.open_stream(stream).read_all() for stream in streams)
    run(big, "DELETE FROM big WHERE id <= 0", "INSERT INTO big SELECT g FROM generate_series(1, 10) g")
    assert len(parts) == 2
    assert sorted(table["id"].to_pylist()) == list(range(1, ROWS + 1))


def test_both_readers_give_the_same_values(postgres_server, reader: str, tmp_path: Path) -> None:
    dsn = postgres_server.new_database("parts_types")
    create_cases(dsn)
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "cases")
        found = rows_of(snapshot.arrow_parts(read, 2), read.columns).sort_by("id")
        wanted = load(snapshot, read, "arrow", tmp_path).sort_by("id")
    assert repr(found.to_pylist()) == repr(wanted.to_pylist())


def test_a_part_can_be_read_again_and_gives_the_same_rows(big: str, reader: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        read = read_of(session, "big")
        first, _ = snapshot.arrow_parts(read, 2)
        stream = first.read()
        next(stream)
        stream.close()
        once, again = rows_of([first], read.columns), rows_of([first], read.columns)
    assert 0 < once.num_rows < ROWS
    assert once.equals(again)


@pytest.mark.parametrize("wanted", [1, 2, 16])
def test_there_are_never_more_parts_than_connections_that_one_read_may_use(big: str, wanted: int) -> None:
    with connect(big, parallel=2) as session, session.snapshot() as snapshot:
        assert len(snapshot.arrow_parts(read_of(session, "big"), wanted)) == min(wanted, 2)


def test_no_rows_are_one_part_without_batches(big: str, reader: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        read = read_of(session, "big")
        nothing = (Comparison("id", "<", Value(read.columns[0].type, "0")),)
        parts = snapshot.arrow_parts(replace(read, where=nothing), 4)
        assert rows_of(parts, read.columns).num_rows == 0
    assert len(parts) == 1


def test_a_view_is_cut_where_the_table_asks_for_it(big: str) -> None:
    run(big, "CREATE OR REPLACE VIEW seen AS SELECT * FROM big")
    with connect(big, parallel=4) as session, session.snapshot() as snapshot:
        read = read_of(session, "seen", split=Split("id", 4))
        parts = snapshot.arrow_parts(read, 4)
        table = rows_of(parts, read.columns)
    assert len(parts) > 2
    assert sorted(table["id"].to_pylist()) == list(range(1, ROWS + 1))


def test_a_part_shows_no_password(big: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        [part, *_] = snapshot.arrow_parts(read_of(session, "big"), 2)
    assert isinstance(part, PostgresPart)
    assert "correct horse" in part.settings.conninfo.get_secret_value().replace("\\", "")
    assert "horse" not in repr(part)
    assert "horse" not in str(vars(part))


def test_a_part_of_a_snapshot_that_has_ended_says_so(big: str, reader: str) -> None:
    with connect(big) as session:
        with session.snapshot() as snapshot:
            parts = snapshot.arrow_parts(read_of(session, "big"), 2)
        with pytest.raises(SourceUnavailableError, match="snapshot that the read belongs to has ended"):
            list(parts[0].read())


def test_a_connection_that_ends_in_mid_stream_is_an_error_and_no_short_result(big: str, reader: str) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        [part] = snapshot.arrow_parts(read_of(session, "big"), 1)
        stream = part.read()
        next(stream)
        with psycopg.connect(big, autocommit=True) as admin:
            ended = admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({_COPIES}) AS c".encode()).fetchall()
        assert ended
        with pytest.raises(SourceUnavailableError):
            list(stream)


def test_bytes_that_are_no_text_name_the_column_and_not_the_value(postgres_server, reader: str) -> None:
    dsn = postgres_server.new_database("parts_ascii", "ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    run(dsn, "CREATE TABLE t (id int, note text)", "INSERT INTO t VALUES (1, convert_from('\\xff41', 'SQL_ASCII'))")
    with connect(dsn) as session, session.snapshot() as snapshot:
        [part] = snapshot.arrow_parts(read_of(session, "t"), 1)
        with pytest.raises(UnrepresentableValueError, match="'note' holds bytes that are not UTF-8") as caught:
            list(part.read())
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_machine_without_a_reader_names_the_extra(big: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(big) as session, session.snapshot() as snapshot:
        [part, *_] = snapshot.arrow_parts(read_of(session, "big"), 2)
        monkeypatch.setattr(extension, "extension_problem", lambda: "DuckDB is not installed.")
        monkeypatch.setattr(arrow, "driver_problem", lambda: "adbc_driver_postgresql is not installed.")
        with pytest.raises(MissingDriverError, match=r"dataloader-core\[postgresql\].*nodes"):
            part.read()


def test_batches_of_wide_tables_are_shorter(postgres_server) -> None:
    dsn = postgres_server.new_database("parts_wide")
    columns = [f"c{i}" for i in range(1000)]
    run(
        dsn,
        f"CREATE TABLE wide ({', '.join(f'{c} int' for c in columns)})",
        f"INSERT INTO wide SELECT {', '.join('g' for _ in columns)} FROM generate_series(1, 5000) g",
    )
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "wide")
        batches = [batch for part in snapshot.arrow_parts(read, 1) for batch in part.read()]
    assert sum(batch.num_rows for batch in batches) == 5000
    assert max(batch.num_rows for batch in batches) <= 2048
