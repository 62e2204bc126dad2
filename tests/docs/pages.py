"""The pages of the documentation, as what a reader and a test need of them: blocks of code, links, anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
FRESH = "<!-- starts from nothing -->"
"""A page that says this in its source goes through everything; all others go on from where getting started ends."""

_FENCE = re.compile(r"^( *)```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title if it has one, its text, and the line it starts at."""

    language: str
    title: str | None
    text: str
    line: int


@dataclass(frozen=True)
class Page:
    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(REPOSITORY))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(
            Block(m[2], m[3], _dedent(m[4], len(m[1])), self.text.count("\n", 0, m.start()) + 1)
            for m in _FENCE.finditer(self.text)
        )

    @cached_property
    def prose(self) -> str:
        """The page without its blocks of code."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> Iterator[str]:
        return (m[1] for m in _LINK.finditer(self.prose))

    @cached_property
    def anchors(self) -> frozenset[str]:
        """The anchors of its headings, as GitHub makes them."""
        return frozenset(_anchor(m[1]) for m in _HEADING.finditer(self.prose))

    @property
    def starts_from_nothing(self) -> bool:
        return FRESH in self.text


def all_pages() -> list[Page]:
    roots = [REPOSITORY / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")]
    return [Page(path) for path in (*sorted(DOCS.rglob("*.md")), *roots)]


def _anchor(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _dedent(text: str, width: int) -> str:
    return "".join(line[width:] if line[:width].isspace() else line for line in text.splitlines(keepends=True))
