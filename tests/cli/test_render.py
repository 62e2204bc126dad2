"""Answers: data is never markup, never an order to the terminal, and JSON is one document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import SecretStr

from dataloader_core.cli.render import Output, plain_data
from dataloader_core.cli.text import ago, cell, moment, rate, safe, size
from dataloader_core.errors import ConfigurationError


@dataclass
class Record:
    at: datetime
    secret: SecretStr
    ids: tuple[UUID, ...]


def test_data_is_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.say("[red]a[/red] [/]")
    out.table(("name",), [("[bold]x",)])
    assert capsys.readouterr().out.splitlines() == ["[red]a[/red] [/]", "name", "[bold]x"]


def test_control_characters_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("name",), [("\x1b[2Jx\n\u202ey",)])
    assert capsys.readouterr().out.splitlines()[1] == "\\x1b[2Jx\\n\\u202ey"


def test_what_goes_into_a_pipe_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("a", "b"), [("x" * 500, 1), ("y", 22)])
    lines = capsys.readouterr().out.splitlines()
    assert len({line.rindex("  ") for line in (lines[1], lines[2])}) == 1
    assert "x" * 500 in lines[1]


def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.say("words")
    out.table(("a",), [("b",)])
    out.document({"name": "Ä\x1b"})
    out.note("on the way")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"name": "Ä\x1b"}
    assert captured.out.isascii()
    assert "on the way" in captured.err


def test_records_become_plain_data_and_secrets_stars() -> None:
    uid = UUID(int=1)
    data = plain_data(Record(datetime(2026, 1, 2, tzinfo=UTC), SecretStr("hunter2"), (uid,)))
    assert data == {"at": "2026-01-02T00:00:00+00:00", "secret": "**********", "ids": [str(uid)]}
    assert plain_data({"d": date(2026, 1, 2), "s": timedelta(minutes=1), "f": frozenset({"b", "a"})}) == {
        "d": "2026-01-02",
        "s": 60.0,
        "f": ["a", "b"],
    }


def test_an_error_goes_to_stderr_with_its_cure(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error(ConfigurationError("It is [wrong].", cure="Right it."), 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "Error: It is [wrong].\nCure:  Right it.\n"


def test_with_json_an_error_is_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).error(ConfigurationError("It is wrong.", cure="Right it.", samples=["row value"]), 2)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "error": {
            "class": "ConfigurationError",
            "problem": "It is wrong.",
            "cure": "Right it.",
            "transient": False,
            "exit_code": 2,
        }
    }
    assert "row value" not in captured.out + captured.err


def test_values_are_written_for_people() -> None:
    assert [cell(v) for v in (None, True, 1234567, ["a", "b"], {"k": 1})] == ["", "yes", "1,234,567", "a, b", "k=1"]
    assert moment(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02 03:04:05Z"
    assert [size(n) for n in (0, 999, 1000, 12_345_678)] == ["0 B", "999 B", "1.0 kB", "12.3 MB"]
    assert [ago(n) for n in (-1, 59, 61, 7500, 200_000)] == ["0s", "59s", "1m 01s", "2h 05m", "2d 07h"]
    assert (rate(100, 0), rate(1000, 2)) == ("-", "500/s")
    assert safe("plain Ä") == "plain Ä"
