"""What the schema policy does to a table when the source's columns have changed."""

from __future__ import annotations

from typing import ClassVar

import pytest

from dataloader_core.errors import DestinationRefusedError, RivalCommitError, SchemaChangeError
from dataloader_core.plan import Append, Comparison, Merge, Write
from dataloader_core.testing.conformance.base import Conformance, NewTable
from dataloader_core.testing.conformance.table import ConformanceTable, rows
from dataloader_core.types import DATE
from dataloader_core.values import Value

ADDING = pytest.mark.parametrize("write", [Append(), Merge(("id",))], ids=["append", "merge"])


class SchemaConformance(Conformance):
    """evolve, freeze and fail; and that a load which may not change the table changes nothing of it."""

    area: ClassVar[str] = "Schema changes"

    @pytest.fixture
    def people(self, loaded_table: NewTable) -> ConformanceTable:
        """Two rows: ``(0, 'n0')`` and ``(1, 'n1')``."""
        table = loaded_table({"id": "int", "name": "string"}, rows("id name", (0, "n0"), (1, "n1")))
        table.model.rows = []  # the interpreter knows no changes of columns: what is expected is written down
        return table

    @ADDING
    def test_added_columns_are_null_for_rows_not_read_again(self, people: ConformanceTable, write: Write) -> None:
        people.have({"id": "int", "name": "string", "born": "timestamp_ntz", "day": "date"})
        people.load(rows("id name born day", (7, "x", "2020-01-01 00:00:00.000001", "2024-02-29")), write)
        expect(
            people, {"id": "int", "name": "string", "born": "timestamp_ntz", "day": "date"},
            ("0", "n0", None, None), ("1", "n1", None, None), ("7", "x", "2020-01-01 00:00:00.000001", "2024-02-29"),
        )  # fmt: skip

    @ADDING
    def test_dropped_columns_stay_and_are_null_for_rows_read_from_now_on(
        self, people: ConformanceTable, write: Write
    ) -> None:
        people.have({"id": "int"})
        key = "1" if isinstance(write, Merge) else "5"
        people.load(rows("id", (key,)), write)
        kept = [("1", "n1")] if key == "5" else []
        expect(people, {"id": "int", "name": "string"}, ("0", "n0"), *kept, (key, None))

    @ADDING
    @pytest.mark.parametrize(
        ("wider", "value"), [("bigint", str(2**40)), ("decimal(20,2)", "4294967296.25")], ids=["bigint", "decimal"]
    )
    def test_a_wider_type_is_taken_in_one_commit(
        self, people: ConformanceTable, write: Write, wider: str, value: str
    ) -> None:
        before = people.look().table_version
        assert before is not None
        people.have({"id": wider, "name": "string"})
        people.load(rows("id name", (value, "big")), write)
        old = ("0.00", "1.00") if wider.startswith("decimal") else ("0", "1")
        expect(people, {"id": wider, "name": "string"}, (old[0], "n0"), (old[1], "n1"), (value, "big"))
        assert people.look().table_version == before + 1
        assert people.look().problems == ()

    def test_a_merge_matches_old_rows_under_a_widened_key(self, people: ConformanceTable) -> None:
        people.have({"id": "decimal(20,2)", "name": "string"})
        people.load(rows("id name", ("1", "again")), Merge(("id",)))
        expect(people, {"id": "decimal(20,2)", "name": "string"}, ("0.00", "n0"), ("1.00", "again"))

    def test_added_dropped_and_widened_at_once(self, people: ConformanceTable) -> None:
        people.have({"id": "bigint", "more": "date"})
        people.load(rows("id more", (1, "2024-02-29")), Merge(("id",)))
        expect(
            people, {"id": "bigint", "name": "string", "more": "date"},
            ("0", "n0", None), ("1", None, "2024-02-29"),
        )  # fmt: skip

    def test_a_replace_takes_the_schema_whole(self, people: ConformanceTable) -> None:
        owner = people.look().owner
        people.have({"name": "binary", "at": "timestamp_ntz"})
        people.load(rows("name at", ("00ff", "2024-01-01 00:00:00"), (None, None)))
        expect(people, {"name": "binary", "at": "timestamp_ntz"}, ("00ff", "2024-01-01 00:00:00"), (None, None))
        assert people.look().owner == owner

    def test_freeze_does_not_read_new_columns(self, people: ConformanceTable) -> None:
        people.have({"id": "int", "name": "string", "more": "date"})
        step, look = people.step(Append()), people.look()
        prepared = people.prepare(step, rows("id name more", (7, "x", "2024-01-01")), look=look, policy="freeze")
        people.destination.commit(step, prepared, look, people.record())
        expect(people, {"id": "int", "name": "string"}, ("0", "n0"), ("1", "n1"), ("7", "x"))
        assert any("more" in note for note in prepared.notes)

    @pytest.mark.parametrize(
        ("policy", "columns", "words"),
        [
            ("evolve", {"id": "string", "name": "string"}, "int in the table, string at the source"),
            ("freeze", {"id": "bigint", "name": "string"}, "int in the table, bigint at the source"),
            ("freeze", {"id": "int"}, "name: in the table, not at the source"),
            ("fail", {"id": "int", "name": "string", "more": "date"}, "more: date at the source"),
        ],
        ids=["evolve, another type", "freeze, a wider type", "freeze, a dropped column", "fail, an added column"],
    )
    def test_a_change_that_is_not_allowed_changes_nothing(
        self, people: ConformanceTable, policy: str, columns: dict[str, str], words: str
    ) -> None:
        before = people.look().table_version
        people.have(columns)
        with pytest.raises(SchemaChangeError, match=words):
            people.load(rows(" ".join(columns), [None] * len(columns)), Append(), policy=policy)  # type: ignore[arg-type]  # NULLs
        assert people.look().table_version == before

    def test_a_stale_load_cannot_even_add_a_column(self, people: ConformanceTable) -> None:
        people.have({"id": "int", "name": "string", "more": "date"})
        look, step = people.look(), people.step(Append())
        prepared = people.prepare(step, rows("id name more", (7, "x", "2024-01-01")), look=look)
        people.fence()
        with pytest.raises(RivalCommitError):
            people.destination.commit(step, prepared, look, people.record())
        assert list(people.types()) == ["id", "name"]
        people.destination.commit(step, prepared, people.look(), people.record())
        assert list(people.types()) == ["id", "name", "more"]

    @pytest.mark.parametrize(
        "write",
        [Merge(("number",)), Merge(("id",), (Comparison("day", "<", Value(DATE, "2024-01-01")),))],
        ids=["key", "window"],
    )
    def test_a_merge_by_a_column_that_the_table_lacks_is_refused_by_name(
        self, people: ConformanceTable, write: Merge
    ) -> None:
        """Somebody renamed or dropped it there; it would come back as NULL for all old rows, and match none."""
        before = people.look().table_version
        people.have({"id": "int", "name": "string", "number": "int", "day": "date"})
        with pytest.raises(SchemaChangeError, match=r"no column (number|day), by which .* it has id, name"):
            people.load(rows("id name number day", (1, "n1", 1, "2024-01-01")), write)
        assert people.look().table_version == before

    def test_names_in_another_case_are_the_same_columns(self, people: ConformanceTable) -> None:
        people.have({"ID": "int", "NAME": "string"})
        people.load(rows("ID NAME", (1, "again")), Merge(("ID",)))
        expect(people, {"id": "int", "name": "string"}, ("0", "n0"), ("1", "again"))

    def test_comments_travel_and_later_ones_too(self, new_table: NewTable) -> None:
        table = new_table({"id": "int"}, created=False)
        for write, comment in ((None, "the 'number'"), (Append(), 'another "word"'), (Merge(("id",)), "a third; --")):
            table.have({"id": "int"}, comment=f"table: {comment}", comments={"id": comment})
            if write is None:
                table.create()
            table.load(rows("id", (1,)), write)
            assert table.look().columns[0].comment == comment
            assert table.log.state().metadata["description"] == f"table: {comment}"

    def test_a_source_without_columns_is_refused(self, new_table: NewTable) -> None:
        with pytest.raises(DestinationRefusedError, match="no columns"):
            new_table({})


def expect(table: ConformanceTable, types: dict[str, str], *found: tuple[str | None, ...]) -> None:
    """The table has exactly these columns and rows; texts are canonical."""
    assert {name: str(kind) for name, kind in table.types().items()} == types
    assert sorted(map(repr, (tuple(row.values()) for row in table.rows()))) == sorted(map(repr, found))
