"""The schema policy, decision by decision."""

from __future__ import annotations

from itertools import product

import pytest

from dataloader_core.commit import TargetColumn
from dataloader_core.errors import SchemaChangeError
from dataloader_core.plan import Column
from dataloader_core.schema import SchemaChange, SchemaPolicy, compare_schemas, is_wider
from dataloader_core.types import ColumnType


def source(**columns: str) -> list[Column]:
    return [Column(n, n, ColumnType.parse(k), f'"{n}"', k) for n, k in columns.items()]


def table(**columns: str) -> list[TargetColumn]:
    return [TargetColumn(n, ColumnType.parse(k)) for n, k in columns.items()]


def compare(
    before: list[TargetColumn], now: list[Column], policy: SchemaPolicy = "evolve", *, replace: bool = False
) -> SchemaChange:
    return compare_schemas(now, before, policy, replace=replace)


@pytest.mark.parametrize("policy", ["evolve", "freeze", "fail"])
@pytest.mark.parametrize("replace", [True, False])
def test_equal_schemas_change_nothing(policy: SchemaPolicy, replace: bool) -> None:
    change = compare(table(a="int", b="string"), source(a="int", b="string"), policy, replace=replace)
    assert [str(c.type) for c in change.columns] == ["int", "string"]
    assert change.notes == ()


def test_evolve_puts_new_columns_last_and_keeps_those_that_vanished() -> None:
    change = compare(table(a="int", old="string"), source(new="date", a="int"))
    assert [c.name for c in change.columns] == ["a", "old", "new"]
    assert change.dropped == ("old",)
    assert "NULL for rows not read again" in change.notes[0]


def test_evolve_takes_a_wider_type() -> None:
    change = compare(table(a="int"), source(a="bigint"))
    assert [str(w) for w in change.widened] == ["a: int -> bigint"]
    assert str(change.columns[0].type) == "bigint"


@pytest.mark.parametrize(
    ("old", "new"), [("bigint", "int"), ("int", "string"), ("string", "int"), ("timestamp", "timestamp_ntz")]
)
def test_evolve_refuses_every_other_change_with_old_new_and_cure(old: str, new: str) -> None:
    with pytest.raises(SchemaChangeError, match=f"a: {old} in the table, {new} at the source") as caught:
        compare(table(a=old), source(a=new))
    assert "load_full" in str(caught.value)


def test_a_replace_under_evolve_takes_the_schema_whole() -> None:
    change = compare(table(a="string", old="int"), source(a="int", new="date"), replace=True)
    assert [(c.name, str(c.type)) for c in change.columns] == [("a", "int"), ("new", "date")]
    assert change.widened == ()
    assert "Types changed: a: string -> int." in change.notes


@pytest.mark.parametrize("replace", [True, False])
def test_freeze_ignores_additions_and_says_so(replace: bool) -> None:
    change = compare(table(a="int"), source(a="int", new="date"), "freeze", replace=replace)
    assert [c.name for c in change.read] == ["a"]
    assert change.ignored == ("new",)
    assert "new" in change.notes[0]


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("now", [{"a": "bigint", "b": "int"}, {"a": "int"}])
def test_freeze_refuses_everything_else(now: dict[str, str], replace: bool) -> None:
    with pytest.raises(SchemaChangeError):
        compare(table(a="int", b="int"), source(**now), "freeze", replace=replace)


@pytest.mark.parametrize("now", [{"a": "bigint"}, {"a": "int", "b": "int"}, {"b": "int"}])
def test_fail_refuses_any_change(now: dict[str, str]) -> None:
    with pytest.raises(SchemaChangeError, match="schema_policy = fail"):
        compare(table(a="int"), source(**now), "fail")


def test_names_are_compared_without_case_and_the_tables_spelling_wins() -> None:
    change = compare(table(Id="int"), source(ID="int"))
    assert change.columns[0].name == "Id"
    assert change.read[0].target == "Id"
    assert change.read[0].name == "ID"


def test_comments_of_the_source_win_and_missing_ones_do_not_erase() -> None:
    before = [TargetColumn("a", ColumnType.parse("int"), "old"), TargetColumn("b", ColumnType.parse("int"), "kept")]
    now = [Column("a", "a", ColumnType.parse("int"), "a", "int", comment="new"), *source(b="int")]
    assert [c.comment for c in compare(before, now).columns] == ["new", "kept"]


LIMITS = {"smallint": 2**15, "int": 2**31, "bigint": 2**63}


def test_a_decimal_is_wider_than_an_integer_only_if_every_value_fits() -> None:
    for name, limit in LIMITS.items():
        for precision, scale in product(range(1, 39), (0, 2)):
            if scale <= precision:
                fits = 10 ** (precision - scale) > limit
                found = is_wider(ColumnType.parse(name), ColumnType.parse(f"decimal({precision},{scale})"))
                assert found == fits, (name, precision, scale)


def test_a_decimal_grows_only_where_no_digit_is_lost() -> None:
    old = ColumnType.parse("decimal(10,2)")
    for text, wider in {
        "decimal(12,2)": True,
        "decimal(12,4)": True,
        "decimal(11,4)": False,
        "decimal(10,2)": False,
        "decimal(38,1)": False,
    }.items():
        assert is_wider(old, ColumnType.parse(text)) is wider


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        ("smallint", "bigint", True),
        ("int", "double", True),
        ("bigint", "double", False),
        ("int", "float", False),
        ("float", "double", True),
        ("double", "float", False),
        ("date", "timestamp_ntz", True),
        ("date", "timestamp", False),
        ("string", "binary", False),
    ],
)
def test_wider_means_that_every_value_stays_what_it_is(old: str, new: str, wider: bool) -> None:
    assert is_wider(ColumnType.parse(old), ColumnType.parse(new)) is wider
