"""Every type of the closed set through every write, and the highest value read as a watermark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

import pytest

from dataloader_core.plan import Append, HighestRead, Merge, Replace, Write
from dataloader_core.testing.conformance.base import WAYS, Conformance, NewTable
from dataloader_core.testing.conformance.table import ConformanceTable, Rows
from dataloader_core.testing.interpreter import Row
from dataloader_core.types import ColumnType
from dataloader_core.values import Value

VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "boolean": ("true", "false"),
    "smallint": ("-32768", "32767", "0"),
    "int": ("-2147483648", "2147483647", "0"),
    "bigint": ("-9223372036854775808", "9223372036854775807", "9007199254740993"),
    "float": ("0.1", "-3.4028235e38", "1e-45", "nan", "inf"),
    "double": ("0.1", "1.7976931348623157e308", "5e-324", "-inf", "nan", "-0.0"),
    "decimal(1,0)": ("-9", "9"),
    "decimal(9,2)": ("9999999.99", "-0.01"),
    "decimal(18,5)": ("9999999999999.99999", "0.00001"),
    "decimal(38,0)": ("99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"),
    "decimal(38,10)": ("9999999999999999999999999999.9999999999", "-0.0000000001"),
    "decimal(38,38)": ("0.00000000000000000000000000000000000001",),
    "string": ("", " ", "Zürich 東京 🚀", "line\nbreak\ttab\\'\"`", "nul \x00 inside", "NULL", "z" * 5000),
    "binary": ("", "00ff0a", "deadbeef" * 500),
    "date": ("0001-01-01", "1582-10-10", "1969-12-31", "9999-12-31"),
    "timestamp_ntz": (
        "0001-01-01 00:00:00", "1582-10-10 12:00:00.000001", "2024-03-31 02:30:00", "9999-12-31 23:59:59.999999",
    ),
    "timestamp": (
        "0001-01-01 00:00:00+00", "1582-10-10 12:00:00.000001+00", "2024-06-01 12:00:00.000001+05:30",
        "9999-12-31 23:59:59.999999+00",
    ),
}  # fmt: skip
COLUMNS: Final = {"id": "int", **{f"c{number}": kind for number, kind in enumerate(VALUES)}}
WRITES: Final[Mapping[str, Write]] = {"replace": Replace(), "append": Append(), "merge": Merge(("id",))}
ROWS: Final = max(map(len, VALUES.values())) + 1
"""One more than values: a row whose every value is NULL."""

HIGHEST: Final = {
    "bigint, to the cap": ("bigint", ("1", "5", "9", None), "5", True, "5", 1),
    "bigint, below the cap": ("bigint", ("1", "5", "9", None), "5", False, "1", 2),
    "bigint, no cap": ("bigint", ("1", None, "9007199254740993"), None, True, "9007199254740993", 0),
    "bigint, all above": ("bigint", ("7", "8"), "5", True, None, 2),
    "bigint, nothing read": ("bigint", (), "5", True, None, 0),
    "smallint": ("smallint", ("-7", "32767"), None, True, "32767", 0),
    "int": ("int", ("-7", "2147483647"), "2147483646", True, "-7", 1),
    "decimal(38,10)": ("decimal(38,10)", ("1.0000000001", "1.0000000002"), None, True, "1.0000000002", 0),
    "date": ("date", ("2024-02-28", "2024-02-29"), "2024-02-29", False, "2024-02-28", 1),
    "timestamp_ntz": ("timestamp_ntz", ("2024-01-01 00:00:00.000001",), None, True, "2024-01-01 00:00:00.000001", 0),
    "timestamp": (
        "timestamp", ("2024-01-01 00:00:00.5+02", "2024-01-01 00:00:00+00"), "2024-01-01 01:30:00+02", True,
        "2023-12-31 22:00:00.5+00", 1,
    ),
    "binary": ("binary", ("00ff", "0100"), "01ff", True, "0100", 0),
}  # fmt: skip

Typed = Mapping[tuple[str, str], tuple[ConformanceTable, Sequence[Row]]]


class TypeConformance(Conformance):
    """Values arrive exactly, whichever way they are read and whatever the write."""

    area: ClassVar[str] = "Types"

    @pytest.fixture(scope="class")
    @classmethod
    def typed(cls, new_table: NewTable) -> Typed:
        """By write and way: a table that was loaded, then loaded again by that write, and the rows it holds."""
        ways = [way for way in WAYS if way in cls.engine_class.reads]
        tables = {(name, way): _loaded(new_table(COLUMNS), name, way) for name in WRITES for way in ways}
        return {key: (table, table.rows()) for key, table in tables.items()}

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("write", WRITES)
    @pytest.mark.parametrize("kind", VALUES)
    def test_each_value_of_a_type_arrives_exactly(self, typed: Typed, kind: str, write: str, way: str) -> None:
        table, found = typed[write, way]
        column = _column(kind)
        assert _pairs(found, column) == _pairs(table.model.rows, column)

    @pytest.mark.parametrize("write", WRITES)
    def test_the_table_has_the_columns_of_the_plan(self, typed: Typed, write: str) -> None:
        table = next(table for (name, _), (table, _) in typed.items() if name == write)
        assert {name: str(kind) for name, kind in table.types().items()} == COLUMNS

    @pytest.mark.parametrize("case", HIGHEST)
    def test_the_highest_value_read_is_exact(self, new_table: NewTable, case: str) -> None:
        kind, values, upto, inclusive, highest, above = HIGHEST[case]
        parsed = ColumnType.parse(kind)
        table = new_table({"w": kind})
        rule = HighestRead("w", None, Value(parsed, upto) if upto else None, inclusive)
        prepared = table.prepare(table.step(Append(), watermark=rule), Rows([{"w": text} for text in values]))
        assert prepared.highest == (Value(parsed, highest) if highest else None)
        assert prepared.above == above
        assert prepared.rows == len(values)


def _loaded(table: ConformanceTable, write: str, way: str) -> ConformanceTable:
    """Values of the first load meet those of the second under the same and under other keys."""
    table.load(_values(0), way=way)
    table.load(_values(ROWS // 2), WRITES[write], way=way)
    return table


def _values(start: int) -> Rows:
    """A row for each value, the types side by side, and one of NULLs; ``start`` moves the keys."""
    return Rows([_row(number, start + number) for number in range(ROWS)])


def _row(number: int, key: int) -> dict[str, str | None]:
    texts = {_column(kind): texts[number] if number < len(texts) else None for kind, texts in VALUES.items()}
    return {"id": str(key), **texts}


def _column(kind: str) -> str:
    return f"c{list(VALUES).index(kind)}"


def _pairs(found: Iterable[Row], column: str) -> list[tuple[str, str]]:
    """The column's values by key, NULL told from every text."""
    return sorted((repr(row["id"]), repr(row[column])) for row in found)
