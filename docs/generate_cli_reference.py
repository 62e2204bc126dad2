"""Writes ``docs/reference/cli.md`` from the command line itself: ``python docs/generate_cli_reference.py``.

A test compares the file with what this makes, so the page cannot drift from the program.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import typer

from dataloader_core.cli.exit_codes import ExitCode
from dataloader_core.cli.main import app
from dataloader_core.control.records import HistoryEntry, LoadProgress, LoadResult, Outcome, TableStatus, Why
from dataloader_core.interfaces.source import Check
from dataloader_core.proposals import Proposal
from dataloader_core.table import SourceConfig
from dataloader_core.tables_file import FieldChange, TableChange
from dataloader_core.tables_file.entry import TableEntry

PAGE = Path(__file__).parent / "reference" / "cli.md"
SHARED = ("--json", "--debug", "--help")

ANSWERS = {
    "init": "`control_database`, `created`, `applied` (names of SQL files), `strategies`, `sources`",
    "source add": "`source`: a SourceConfig",
    "source list": "`sources`: a list of SourceConfig",
    "source test": "`source`, `ok`, `checks`: a list of Check",
    "discover": "`source`, `proposals`: a list of Proposal, `skipped`: reasons by table",
    "apply": "`file`, `applied` (false for a dry run), `changes`: a list of TableChange",
    "plan": "the plan: `control_key`, `destination`, `strategy`, `steps`, `notes` and more",
    "load": "`outcomes`: a list of Outcome, `refused`: reasons by table, `not_started`: tables",
    "run": "`outcomes`: a list of Outcome, `failed_rows`: tables with the reason, `reaped`: tables (`--once` only)",
    "status": "`tables`: a list of TableStatus",
    "history": "`control_key`, `loads`: a list of HistoryEntry, newest first",
    "why": "`why`: a Why",
    "reset": "`control_key`, `reset`",
    "cancel": "`control_key`, `cancelled`",
    "adopt": "`control_key`, `destination`, `from`: the table_uid taken over, or null",
    "plugins list": "`plugins`: kind, name, aliases, summary, package, version, entry_point, extra, conflict; `broken`",
    "doctor": "`ok`, `checks`: a list of Check",
}
"""What each command answers with ``--json``."""

RECORDS = (
    SourceConfig, Check, Proposal, TableChange, FieldChange, Outcome, LoadResult, TableStatus, LoadProgress,
    HistoryEntry, Why,
)  # fmt: skip


def page() -> str:
    """The whole page."""
    return "\n".join([*_head(), *_commands(), *_answers(), *_tables_file()]) + "\n"


def commands() -> dict[str, Any]:
    """Every command by its full name, in the order of ``--help``."""
    return dict(_leaves(typer.main.get_command(app), ()))


def _leaves(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if not hasattr(group, "commands"):
        yield " ".join(path), group
        return
    for name, child in group.commands.items():
        if child.hidden:
            continue
        yield from _leaves(child, (*path, name))


def _head() -> Iterator[str]:
    yield "# Command line"
    yield ""
    yield "Made by `docs/generate_cli_reference.py`; change the program, not this page."
    yield ""
    yield "TABLE is a `control_key`, for instance `crm.public.orders`. Every command takes `--json` (one JSON document"
    yield "on stdout, everything else on stderr), `--debug` (stack traces; also `DATALOADER_DEBUG=1`) and `--help`."
    yield ""
    yield "| exit code | meaning |"
    yield "|---|---|"
    yield from (f"| {int(code)} | {code.meaning} |" for code in ExitCode)


def _commands() -> Iterator[str]:
    for name, command in commands().items():
        yield from (
            "",
            f"## dataloader {name}",
            "",
            *_paragraphs(command.help),
            "",
            "```text",
            _usage(name, command),
            "```",
        )
        rows = list(_parameters(command))
        if rows:
            yield from ("", "| | |", "|---|---|", *rows)
        yield from ("", f"With `--json`: {ANSWERS[name]}.")


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ""
        yield " ".join(paragraph.split())


def _usage(name: str, command: Any) -> str:
    arguments = [_argument(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join(["dataloader", name, *arguments, "[OPTIONS]"])


def _argument(parameter: Any) -> str:
    return str(parameter.metavar) if parameter.required else f"[{parameter.metavar}]"


def _parameters(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if SHARED[0] in parameter.opts or SHARED[1] in parameter.opts:
            continue
        if parameter.param_type_name == "argument":
            yield f"| `{parameter.metavar}` | {parameter.help} |"
            continue
        metavar = "" if parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
        required = " Required." if parameter.required else ""
        plain = parameter.default not in (None, False) and not callable(parameter.default)
        default = f" Default: {parameter.default}." if plain else ""
        yield f"| `{', '.join(parameter.opts)}{metavar}` | {parameter.help}{required}{default} |"


def _answers() -> Iterator[str]:
    yield from ("", "## JSON", "")
    yield 'An error is `{"error": {"class", "problem", "cure", "transient", "exit_code"}}`. Times are ISO 8601 with'
    yield "their offset, spans are seconds, ids are text. Later versions add fields, and rename none."
    yield "Wrong usage (an unknown option, a missing argument) is said on stderr only, with exit code 2."
    for record in RECORDS:
        assert is_dataclass(record)
        hints = typing.get_type_hints(record)
        yield from (
            "",
            f"**{record.__name__}**: " + ", ".join(f"`{f.name}` ({_type(hints[f.name])})" for f in fields(record)),
        )


def _tables_file() -> Iterator[str]:
    yield from ("", "## tables.yaml", "")
    yield "A mapping with one key, `tables`, to a list of entries. An entry's fields are columns of"
    yield "`control.table_control`; a field that is not given stays as it is. `control_key` may be left out where"
    yield "`db_config_key`, `source_table_schema` and `source_table_name` make it. `incremental_value` is where a new"
    yield "table starts; a file never sets it back. `incremental_lookback_hours` is the old name of the lookback."
    yield from ("", "| field | type |", "|---|---|")
    hints = typing.get_type_hints(TableEntry)
    yield from (f"| `{name}` | {_type(hints[name])} |" for name in TableEntry.model_fields)


_NAMES = {
    "str": "text",
    "int": "number",
    "float": "number",
    "bool": "true or false",
    "UUID": "id",
    "datetime": "time",
    "Any": "any",
}


def _type(hint: Any) -> str:
    """A type in the words of JSON."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _type(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        parts = [_type(arg) for arg in typing.get_args(hint) if arg is not type(None)]
        return " or ".join(parts) + (" or null" if type(None) in typing.get_args(hint) else "")
    if origin is typing.Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    if origin is not None and issubclass(origin, typing.Mapping):
        return "object"
    if origin is not None:
        return f"list of {_type(typing.get_args(hint)[0])}"
    return _NAMES.get(getattr(hint, "__name__", ""), getattr(hint, "__name__", "any"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
