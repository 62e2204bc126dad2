"""Reading ``tables.yaml``: every mistake has its line, and text stays what was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader_core.errors import ConfigurationError
from dataloader_core.tables_file.problems import TablesFileError
from dataloader_core.tables_file.reading import parse, read

ENTRY = """
tables:
  - db_config_key: crm
    source_table_schema: public
    source_table_name: orders
    destination_table_catalog: bronze
    destination_table_schema: crm
    destination_table_name: orders
    load_strategy: full
"""


def problems(text: str) -> list[str]:
    with pytest.raises(TablesFileError) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


def one(text: str) -> dict[str, object]:
    (entry,) = parse(text)
    return dict(entry.given)


def test_an_entry_gets_its_control_key_from_source_schema_and_name() -> None:
    (entry,) = parse(ENTRY)
    assert entry.control_key == "crm.public.orders"
    assert entry.line == 3
    assert "load_cron" not in entry.given


def test_an_unknown_field_is_named_with_its_line_and_the_nearest_one() -> None:
    assert problems(ENTRY + "    load_crom: '* * * * *'\n") == [
        "line 10: entry 1, load_crom: unknown field; did you mean 'load_cron'?"
    ]


def test_all_problems_are_reported_at_once() -> None:
    text = ENTRY + "    load_crom: x\n    is_active: 1\n  - 7\n  - {control_key: k, num_partitions: 0}\n"
    found = problems(text)
    assert [p.split(":")[0] for p in found] == ["line 10", "line 11", "line 12", "line 13"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        ("tables: [", "not YAML"),
        ("- a", "must be a mapping"),
        ("table: []", "`tables` is missing"),
        ("tables: {a: b}", "must be a list"),
        ("tables: []\nextra: 1", "unknown key 'extra'"),
        ("tables:\n  - load_cron: */5 * * * *", "needs quotes"),
        ("tables:\n\t- a: b", "not tabs"),
        ("tables: []\n---\ntables: []", "several documents"),
        ("tables:\n  - filter: a\n    filter: b", "stands twice in one entry"),
        ("tables:\n  - filter: !!python/object:os.system x\n", "not YAML"),
        ("tables:\n  - strategy_options: &a {x: *a}\n", "holds itself"),
        ("tables:\n  - ? [a]\n    : b", "plain text"),
        ("tables: \0", "not YAML"),
    ],
)  # fmt: skip
def test_malformed_yaml_is_explained(text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text))


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)
    ]
    text = "tables:\n  - control_key: k\n    strategy_options:\n" + "".join(f"      {line}\n" for line in levels)
    assert "too deep or too long" in problems(text)[0]


def test_plain_scalars_are_not_turned_into_something_else() -> None:
    given = one(ENTRY + "    primary_key_cols: [no, on, y]\n    incremental_value: 2024-01-01\n    filter: 12:30\n")
    assert given["primary_key_cols"] == ["no", "on", "y"]
    assert given["incremental_value"] == "2024-01-01"
    assert given["filter"] == "12:30"


def test_a_word_that_begins_like_a_boolean_stays_a_word() -> None:
    assert one(ENTRY + "    incremental_column: true_at\n")["incremental_column"] == "true_at"


def test_whole_numbers_may_stand_for_text_but_fractions_must_be_quoted() -> None:
    assert one(ENTRY + "    incremental_value: 9007199254740993\n")["incremental_value"] == "9007199254740993"
    assert one(ENTRY + "    lower_bound: 007\n")["lower_bound"] == "007"
    assert "in quotes" in problems(ENTRY + "    incremental_value: 1.10\n")[0]


def test_the_old_name_of_the_lookback_is_taken() -> None:
    assert one(ENTRY + "    incremental_lookback_hours: 12\n")["incremental_lookback"] == "12 hours"
    assert one(ENTRY + "    incremental_lookback_hours: 0.5\n")["incremental_lookback"] == "0.5 hours"
    assert "only one" in problems(ENTRY + "    incremental_lookback_hours: 1\n    incremental_lookback: 1 hour\n")[0]


def test_delete_options_are_refused_until_they_exist() -> None:
    assert "not supported yet" in problems(ENTRY + "    is_delete: true\n")[0]
    assert "not supported yet" in problems(ENTRY + "    delete_mode: soft\n")[0]
    assert "is_delete" not in one(ENTRY + "    is_delete: false\n")


def test_state_is_not_written_by_files() -> None:
    assert "written by loads" in problems(ENTRY + "    last_status: Failed\n")[0]


def test_a_field_that_always_has_a_value_cannot_be_emptied() -> None:
    assert "cannot be empty" in problems(ENTRY + "    time_zone: null\n")[0]


def test_a_field_can_be_emptied_where_the_column_can() -> None:
    assert one(ENTRY + "    load_cron: null\n")["load_cron"] is None


def test_the_same_table_twice_is_refused_naming_both_lines() -> None:
    text = ENTRY + ENTRY.replace("\ntables:\n", "")
    assert "stands twice in the file (first in line 3)" in problems(text)[0]


def test_a_query_needs_a_control_key() -> None:
    assert "needs a control_key" in problems("tables:\n  - {db_config_key: crm, query: SELECT 1}\n")[0]


def test_a_missing_file_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no file") as caught:
        read(tmp_path / "tables.yaml")
    assert "discover" in (caught.value.cure or "")


def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tables.yaml"
    file.write_bytes(b"tables: \xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path)


def test_a_message_does_not_repeat_what_the_value_was() -> None:
    assert "hunter2" not in "".join(problems(ENTRY + "    is_active: hunter2\n"))


def test_a_mistake_in_every_entry_does_not_fill_the_screen() -> None:
    text = "tables:\n" + "".join(f"  - {{control_key: k{n}, load_crom: x}}\n" for n in range(200))
    with pytest.raises(TablesFileError) as caught:
        parse(text)
    assert len(caught.value.problems) == 200
    assert str(caught.value).count("load_crom") == 50
    assert "and 150 more" in str(caught.value)
