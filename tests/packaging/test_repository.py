"""Rules of the project that no linter has: a long file and an exception from a rule say why."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PARTS = ("benchmarks", "dagster_defs", "dataloader_core", "deploy", "docs", "examples", "plugins", "tests")
FILES = [file for part in PARTS for file in sorted((REPOSITORY / part).rglob("*.py"))]
BARE = re.compile(r"#\s*(noqa(: [A-Z0-9, ]+)?|type: ignore(\[[a-z, -]+\])?)\s*$")


def test_a_file_of_more_than_400_lines_says_why_in_its_first() -> None:
    texts = {file: file.read_text(encoding="utf-8").splitlines() for file in FILES}
    assert [file for file, lines in texts.items() if len(lines) > 400 and "Long:" not in lines[0]] == []


def test_an_exception_from_a_rule_says_why() -> None:
    found = [
        f"{file}:{number}"
        for file in FILES
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if BARE.search(line)
    ]
    assert found == []
