"""The maps of this folder speak of tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tests.badinput
from tests.badinput import databricks, spark

MAPS = (tests.badinput, databricks, spark)
HERE = Path(__file__).parent
ENTRY = re.compile(r"^    (?P<file>[\w./]+\.py)::(?P<test>test_\w+)$", re.MULTILINE)
PAGE = "\n".join(page.__doc__ or "" for page in MAPS)
NAMED = [(m["file"], m["test"]) for m in ENTRY.finditer(PAGE)]


def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert test in names_in(HERE / file)


def test_every_line_of_the_map_is_understood() -> None:
    assert len(NAMED) == PAGE.count("::")


def test_every_test_of_this_folder_is_on_the_map() -> None:
    here = {(f.name, t) for f in HERE.glob("test_*.py") if f.name != "test_map.py" for t in names_in(f)}
    assert {t for t in here if t[1].startswith("test_")} <= set(NAMED)
