"""Console blocks: what is typed, what is shown, and whether that is what came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_STATUS = re.compile(r"\s+# exit status (\d+)$")
TARGET = re.compile(r"make (\w+)(?: \w+=\S+)*")
"""A target of the Makefile: too long to run here, so that only its name is checked."""


@dataclass(frozen=True)
class Command:
    """A command as typed, the status it ends with, and what the page shows of its output (empty: nothing)."""

    typed: str
    status: int
    shown: str


def commands(block: str) -> Iterator[Command]:
    """Lines that start with ``$ ``, with their continuations; all other lines are output."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.rstrip("\n").split("\n")
        end = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
        typed, shown = "\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :])
        status = _STATUS.search(typed)
        yield Command(_STATUS.sub("", typed), int(status[1]) if status else 0, shown)


def as_shown(shown: str, output: str) -> bool:
    """Whether the output is what the page shows; ``...`` there stands for anything, blanks count as one."""
    pattern = ".*".join(re.escape(_plain(part)) for part in shown.split("..."))
    return (
        re.fullmatch(pattern.replace("\\ .*", "\\ ?.*").replace(".*\\ ", ".*\\ ?"), _plain(output), re.DOTALL)
        is not None
    )


def _plain(text: str) -> str:
    return " ".join(text.split())
