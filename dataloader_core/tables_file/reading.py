"""From the text of a file to entries with their lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dataloader_core import names
from dataloader_core.errors import ConfigurationError
from dataloader_core.tables_file.entry import FIELDS, NEVER_NULL, NOT_YET, STATE, TableEntry
from dataloader_core.tables_file.problems import Problem, TablesFileError
from dataloader_core.tables_file.yaml_text import MalformedYaml, compose, pairs, value_of


@dataclass(frozen=True)
class Entry:
    """One entry of the file.

    Attributes:
        control_key: As given, or made from source, schema and name.
        line: Where it begins.
        lines: The line of each field.
        given: The columns that it sets.
    """

    control_key: str
    line: int
    lines: Mapping[str, int]
    given: Mapping[str, Any]

    def problem(self, text: str, field: str | None = None) -> Problem:
        where = f"{self.control_key}, {field}" if field else self.control_key
        return Problem(self.lines.get(field or "", self.line), where, text)


def read(path: Path) -> list[Entry]:
    """The file's entries, each valid by itself.

    Raises:
        TablesFileError: with every problem found.
        ConfigurationError: the file cannot be read.
    """
    return parse(_text(path), str(path))


def parse(text: str, file: str = "tables.yaml") -> list[Entry]:
    """The entries of a text; ``file`` is its name in messages. Raises as :func:`read`."""
    problems: list[Problem] = []
    try:
        entries = list(_entries(text, problems))
    except MalformedYaml as error:
        raise TablesFileError(file, [Problem(error.line, "", error.text)]) from None
    problems.extend(_doubled(entries))
    if problems:
        raise TablesFileError(file, sorted(problems, key=lambda p: (p.line or 0, p.where)))
    return entries


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no file {str(path)!r}.", cure="Make one with `dataloader discover`."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{str(path)!r} is not UTF-8 (byte {error.start}).", cure="Save it with the encoding UTF-8."
        ) from None


def _entries(text: str, problems: list[Problem]) -> Iterator[Entry]:
    root, loader = compose(text)
    if root is None:
        raise MalformedYaml("empty; it needs a mapping `tables:` to a list of entries")
    if not isinstance(root, yaml.MappingNode):
        raise MalformedYaml("the file must be a mapping with the key `tables`", root.start_mark.line + 1)
    top = {key: (line, node) for key, line, node in pairs(root)}
    for key, (line, _) in top.items():
        if key != "tables":
            problems.append(Problem(line, "", f"unknown key {key!r}; the file has one key, `tables`"))
    if "tables" not in top:
        raise MalformedYaml("the key `tables` is missing")
    line, tables = top["tables"]
    if not isinstance(tables, yaml.SequenceNode):
        raise MalformedYaml("`tables` must be a list: each entry begins with a dash", line)
    for number, node in enumerate(tables.value, start=1):
        if isinstance(node, yaml.MappingNode):
            if (entry := _entry(node, loader, number, problems)) is not None:
                yield entry
        else:
            problems.append(Problem(node.start_mark.line + 1, f"entry {number}", "must be a mapping of fields"))


def _entry(node: yaml.MappingNode, loader: Any, number: int, problems: list[Problem]) -> Entry | None:
    lines: dict[str, int] = {}
    values: dict[str, Any] = {}
    for name, line, value in pairs(node):
        lines[name], values[name] = line, value_of(loader, value)
    start = node.start_mark.line + 1
    key = values.get("control_key")
    where = key if isinstance(key, str) and key else f"entry {number}"
    wrong = [Problem(lines.get(field, start), f"{where}, {field}", text) for field, text in _field_problems(values)]
    values = {name: value for name, value in values.items() if name not in NOT_YET}
    wrong += _model_problems(values, lines, start, where)
    if wrong:
        problems.extend(wrong)
        return None
    given = TableEntry.model_validate(values).given()
    control_key = given.get("control_key") or default_control_key(given)
    if control_key is None:
        problems.append(Problem(start, where, "needs a control_key, or db_config_key and source_table_name to make it"))
        return None
    return Entry(control_key, start, lines, {**given, "control_key": control_key})


def _field_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if name in NOT_YET and value not in (None, False):
            yield name, "deletes are not supported yet; take the field out"
        elif name in STATE:
            yield name, "is written by loads, not by files; take it out"
        elif name not in FIELDS and name not in NOT_YET:
            near = get_close_matches(name, FIELDS, n=1)
            yield name, "unknown field" + (f"; did you mean {near[0]!r}?" if near else "")
        elif name in NEVER_NULL and value is None:
            yield name, "cannot be empty; leave the field out to keep what there is"
    if "incremental_lookback" in values and "incremental_lookback_hours" in values:
        yield "incremental_lookback_hours", "is the old name of incremental_lookback; give only one of them"


def _model_problems(values: Mapping[str, Any], lines: Mapping[str, int], start: int, where: str) -> list[Problem]:
    try:
        TableEntry.model_validate({name: value for name, value in values.items() if name in FIELDS})
    except ValidationError as error:
        return [
            Problem(lines.get(str(e["loc"][0]), start), f"{where}, {'.'.join(map(str, e['loc']))}", _sentence(e["msg"]))
            for e in error.errors(include_input=False, include_url=False)
        ]
    return []


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def default_control_key(row: Mapping[str, Any]) -> str | None:
    """``db_config_key.schema.table``, None where it cannot be made (a query has no name)."""
    if not row.get("db_config_key") or not row.get("source_table_name"):
        return None
    parts = (row["db_config_key"], row.get("source_table_schema"), row["source_table_name"])
    return names.control_key(*(part for part in parts if part))


def _doubled(entries: list[Entry]) -> Iterator[Problem]:
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.control_key, entry)
        if first is not entry:
            yield entry.problem(f"this table stands twice in the file (first in line {first.line})", "control_key")
