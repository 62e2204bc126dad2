"""Every type, by both ways of reading, against the server's own text of the same value."""

from __future__ import annotations

import pyarrow as pa
import pytest
from reading import WAYS, connect, load, read_of, server_text, text_of
from type_cases import CASES, create_cases

from dataloader_core.plan import Column

Loaded = tuple[dict[str, Column], dict[str, list[str | None]], dict[str, pa.Table]]


@pytest.fixture(scope="module")
def loaded(postgres_server, tmp_path_factory) -> Loaded:
    """The columns by their case, the server's texts, and what each way read."""
    dsn = postgres_server.new_database("types")
    create_cases(dsn)
    with connect(dsn) as session, session.snapshot() as snapshot:
        read = read_of(session, "cases")
        texts = ", ".join(server_text(session, column) for column in read.columns)
        rows = snapshot.ask(f"SELECT {texts} FROM cases ORDER BY id")
        columns = dict(zip(CASES, read.columns[1:], strict=True))
        expected = {case: [row[i + 1] for row in rows] for i, case in enumerate(CASES)}
        tables = {way: load(snapshot, read, way, tmp_path_factory.mktemp(way)).sort_by("id") for way in WAYS}
    return columns, expected, tables


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_a_value_is_read_as_the_server_writes_it(case: str, way: str, loaded: Loaded) -> None:
    columns, expected, tables = loaded
    column = columns[case]
    found = [text_of(column, value) for value in tables[way].column(column.target).to_pylist()]
    if column.type.name in ("float", "double"):
        wanted: list[str | None] = [None if text is None else _shortest(column, text) for text in expected[case]]
    else:
        wanted = expected[case]
    assert found == wanted
    assert found[-1] is None
    assert all(text is not None for text in found[: len(CASES[case])])


def test_both_ways_read_the_same_table(loaded: Loaded) -> None:
    tables = loaded[2]
    floats = {case for case in CASES if case in ("real", "double precision")}
    same = [f"c{i}" for i, case in enumerate(CASES) if case not in floats]
    assert tables["parquet"].select(same).equals(tables["arrow"].select(same))


def _shortest(column: Column, text: str) -> str:
    """The server's text as the Python number that Arrow gives: a ``real`` is widened to a double there."""
    number = float(text)
    return str(pa.scalar(number, pa.float32()).as_py() if column.type.name == "float" else number)
