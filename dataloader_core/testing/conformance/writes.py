"""Every shape of a step on a real table: what was read and what was there become what the plan says."""

from __future__ import annotations

from typing import ClassVar

import pytest

from dataloader_core.errors import (
    KeyValuesError,
    LoadCancelledError,
    LossRefusedError,
    SourceUnavailableError,
    UnrepresentableValueError,
)
from dataloader_core.interfaces.source import Unrepresentable
from dataloader_core.plan import Append, Comparison, LossPolicy, Merge, Replace, Write
from dataloader_core.testing.conformance.base import WAYS, Conformance, NewTable
from dataloader_core.testing.conformance.table import ConformanceTable, Rows, rows
from dataloader_core.types import INT
from dataloader_core.values import Value

KEYED = {"id": "int", "name": "string", "day": "int"}
BY_ID = Merge(("id",))
FROM_FIVE = (Comparison("day", ">=", Value(INT, "5")),)
BELOW_FIVE = (Comparison("day", "<", Value(INT, "5")),)
WINDOWS = {
    "outside": Merge(("id",), delete_where=BELOW_FIVE),
    "missing": Merge(("id",), delete_missing_where=FROM_FIVE),
    "both": Merge(("id",), BELOW_FIVE, FROM_FIVE),
}


def days(*values: tuple[object | None, ...], **options: object) -> Rows:
    return rows("id name day", *values, **options)


TEN = days(*((i, f"n{i}", i) for i in range(10)))


class WriteConformance(Conformance):
    """Replace, append and merge; what they refuse, and that a refusal changes nothing."""

    area: ClassVar[str] = "Writes"

    @pytest.mark.parametrize("way", WAYS)
    def test_a_replace_leaves_exactly_what_was_read(self, loaded_table: NewTable, way: str) -> None:
        table = loaded_table(KEYED, TEN)
        done = table.load(days((1, "é", None)), way=way)
        table.check()
        assert (done.rows_written, done.rows_deleted) == (1, 10)
        assert done.rows_total in (None, 1)

    @pytest.mark.parametrize("way", WAYS)
    def test_an_append_adds(self, loaded_table: NewTable, way: str) -> None:
        table = loaded_table(KEYED, TEN)
        table.load(Rows(TEN.rows, {"files": 3}), Append(), way=way)
        table.check()

    def test_an_append_of_nothing_records_its_commit(self, loaded_table: NewTable) -> None:
        table = loaded_table(KEYED, TEN)
        before = table.look()
        table.load(days(), Append())
        table.check()
        assert table.look().app_version != before.app_version

    @pytest.mark.parametrize("way", WAYS)
    def test_a_merge_replaces_whole_rows_and_adds_the_others(self, loaded_table: NewTable, way: str) -> None:
        table = loaded_table(KEYED, TEN)
        table.load(days((3, None, 30), (11, "new", None)), BY_ID, way=way)
        table.check()

    @pytest.mark.parametrize("window", WINDOWS)
    def test_a_window_deletes_what_it_says_and_no_row_without_a_day(self, new_table: NewTable, window: str) -> None:
        table = new_table(KEYED)
        table.load(days(*((i, "old", i) for i in range(10)), (20, "no day", None), (21, "no day", None)))
        done = table.load(days((6, "again", 6), (30, "new", 9), (20, "dated now", 7)), WINDOWS[window])
        table.check()
        assert done.rows_deleted == 12 + 1 - len(table.model.rows)

    def test_a_merge_of_nothing_records_its_commit(self, loaded_table: NewTable) -> None:
        table = loaded_table(KEYED, TEN)
        step, look, record = table.step(BY_ID), table.look(), table.record()
        table.destination.commit(step, table.prepare(step, days(), look=look), look, record)
        assert table.look().newest == record
        table.check()

    def test_keys_are_compared_as_they_are(self, new_table: NewTable) -> None:
        """Case, accents, blanks and the empty text tell keys apart; two columns are one key."""
        table = new_table({"a": "string", "b": "binary", "v": "int"})
        texts = ("", " ", "a", "A", "a ", "ä", "ß", "ss", "\u00e4", "a\u0308")
        keys = [(text, raw) for text in dict.fromkeys(texts) for raw in ("00", "0000")]
        table.load(rows("a b v", *((*key, 1) for key in keys)))
        table.load(rows("a b v", *((*key, 2) for key in keys[::2])), Merge(("a", "b")))
        table.check()

    def test_a_key_that_the_table_holds_twice_is_held_once_after_a_merge(self, new_table: NewTable) -> None:
        table = new_table(KEYED)
        table.load(days((1, "a", 1), (1, "b", 1), (2, "c", 1)))
        table.load(days((1, "z", 5)), BY_ID)
        table.check()

    @pytest.mark.parametrize("write", [Replace(), WINDOWS["missing"]], ids=["replace", "window"])
    def test_nothing_read_takes_nothing_away_unless_that_is_allowed(self, loaded_table: NewTable, write: Write) -> None:
        table = loaded_table(KEYED, TEN)
        refused(table, LossRefusedError, "10 rows", days(), write, loss=LossPolicy())
        table.load(days(), write, loss=LossPolicy(allow_empty=True))
        table.check()

    @pytest.mark.parametrize(
        ("write", "counts"), [(Replace(), "leave 4 rows .* holds 10"), (WINDOWS["outside"], "5 of 10")],
        ids=["replace", "window"],
    )  # fmt: skip
    def test_more_than_the_fraction_is_not_taken_away(self, loaded_table: NewTable, write: Write, counts: str) -> None:
        table = loaded_table(KEYED, TEN)
        four = Rows(TEN.rows[6:])
        refused(table, LossRefusedError, counts, four, write, loss=LossPolicy(max_fraction=0.4))
        table.load(four, write, loss=LossPolicy(max_fraction=0.6))
        table.check()

    @pytest.mark.parametrize(
        ("given", "words"),
        [(((None, "secret", 1), (1, "b", 2)), "NULL"), (((4711, "secret", 1), (4711, "b", 2)), "more than once")],
        ids=["null", "doubled"],
    )
    def test_keys_that_are_no_keys_are_refused_without_showing_values(
        self, loaded_table: NewTable, given: tuple[tuple[object, ...], ...], words: str
    ) -> None:
        table = loaded_table(KEYED, TEN)
        for more in ({"write": BY_ID}, {"unique": ("id",)}):
            error = refused(table, KeyValuesError, words, days(*given), **more)
            assert "id" in str(error)
            assert "4711" not in str(error)
            assert "secret" not in str(error)
            assert isinstance(error, KeyValuesError)
            assert len(error.samples) <= 5

    def test_values_that_do_not_fit_fail_by_name_or_are_counted(self, new_table: NewTable) -> None:
        table = new_table(KEYED)
        found = (Unrepresentable("day", "NaN", 2),)
        given = Rows(TEN.rows, {"found": found})
        refused(table, UnrepresentableValueError, "day: NaN in 2 rows", given)
        prepared = table.prepare(table.step(on_unrepresentable="null"), given)
        assert tuple(prepared.unrepresentable) == found

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize(
        "error", [SourceUnavailableError("The source went away."), LoadCancelledError("Stopped.")], ids=["lost", "stop"]
    )
    def test_a_source_that_ends_too_early_changes_nothing_and_is_named(
        self, loaded_table: NewTable, way: str, error: SourceUnavailableError | LoadCancelledError
    ) -> None:
        table = loaded_table(KEYED, TEN)
        refused(table, type(error), error.problem, Rows(TEN.rows, {"error": error}), way=way)

    @pytest.mark.parametrize("write", [Replace(), Append()], ids=["replace", "append"])
    def test_rows_of_a_source_that_tells_nothing_beforehand_arrive_as_well(
        self, loaded_table: NewTable, write: Write
    ) -> None:
        table = loaded_table(KEYED, TEN)
        table.load(Rows(TEN.rows[6:], {"tells": False}), write)
        table.check()

    def test_names_and_many_columns_arrive(self, new_table: NewTable) -> None:
        names = [
            "id",
            "Order",
            "größe",
            "a.b",
            "select",
            "x'y",
            'x"z',
            "back`tick",
            "100%",
            *(f"c{i}" for i in range(150)),
        ]
        table = new_table(dict.fromkeys(names, "int"))
        row = {name: str(number) for number, name in enumerate(names)}
        table.load(Rows([row]))
        table.load(Rows([{**row, "a.b": None}]), BY_ID)
        table.check()


def refused(
    table: ConformanceTable, error: type[Exception], words: str, given: Rows, write: Write | None = None, **load: object
) -> Exception:
    """The load raises this, and neither the rows nor what the log says of the row's commits has changed."""
    before = table.look()
    with pytest.raises(error, match=words) as caught:
        table.load(given, write, **load)  # type: ignore[arg-type]  # options of step and load by name
    after = table.look()
    assert (after.app_version, after.newest) == (before.app_version, before.newest)
    table.check()
    return caught.value
