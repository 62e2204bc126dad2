"""The report of a conformance run: cases by engine, passed or skipped with the reason that was declared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Final, Literal, TypeVar

T = TypeVar("T")
PASSED: Final = "passed"
FAILED: Final = "FAILED"
_MATRIX: Final = 3
"""A case with more details than these gets a table of its own."""
_WIDEST: Final = 8
"""Columns of a table that can still be read."""

Kind = Literal["unable", "saved", "missing"]
KINDS: Final[dict[Kind, str]] = {
    "unable": "What the engine does not do",
    "saved": "What is left out to save time, because another case shows it",
    "missing": "What the machine of the run lacked",
}
"""Kinds of skips, and how the report introduces their reasons."""


@dataclass(frozen=True)
class Skip:
    """Why a case was not run.

    Attributes:
        kind: ``unable``: the engine declares that it does not do it. ``saved``: it would pass, but costs more time
            than it tells. ``missing``: what it needs was not there, which nobody declares.
        reason: In words.
        shown_by: Which other case of the engine shows the same, as a pattern of names; of saved cases alone.
    """

    kind: Kind
    reason: str
    shown_by: str | None = None


@dataclass(frozen=True)
class CaseRecord:
    """One case of one engine.

    Attributes:
        engine: Whose case it is; ``local and spark in turn`` where both have a part in it.
        area: The suite that it belongs to.
        case: What must hold, in words.
        detail: Which of several values, types or writes.
        way: The way of reading, a column of its own in the report.
        strategy: Likewise.
        skip: Why it is skipped; None: it is not.
        outcome: Of a run; before one, cases count as passed.
    """

    PROPERTY: ClassVar[str] = "dataloader.conformance"

    engine: str
    area: str
    case: str
    detail: str = ""
    way: str = ""
    strategy: str = ""
    skip: Skip | None = None
    outcome: str = PASSED

    @property
    def label(self) -> str:
        return f"{self.case}: {self.detail}" if self.detail else self.case

    @property
    def name(self) -> str:
        """What ``cannot`` matches: ``a merge adds and replaces: two keys (arrow)``, ``... (jdbc, rolling)``."""
        variant = ", ".join(filter(None, (self.way, self.strategy)))
        return f"{self.label} ({variant})" if variant else self.label

    @property
    def column(self) -> tuple[str, str, str]:
        return self.engine, self.way, self.strategy

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells it from every other case of a report."""
        return self.engine, self.area, self.name

    def ended(self, outcome: str, skip: Skip | None = None) -> CaseRecord:
        return replace(self, outcome=outcome, skip=skip or self.skip)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CaseRecord:
        fields = json.loads(text)
        return cls(**{**fields, "skip": fields["skip"] and Skip(**fields["skip"])})


@dataclass
class Report:
    """All cases of a run, sorted by engine within an area. Equal cases give equal text: there are no times in it."""

    cases: Sequence[CaseRecord]
    _notes: dict[Skip, int] = field(default_factory=dict)

    def markdown(self) -> str:
        """A table for each area and for each case of many details; the reasons of skips stand below, by their kinds."""
        parts = [part for area in _unique(c.area for c in self.cases) for part in self._area(area)]
        for kind, heading in KINDS.items():
            found = [f"- ({number}) {skip.reason}" for skip, number in self._notes.items() if skip.kind == kind]
            parts += [f"## {heading}", "\n".join(found)] if found else []
        return "\n\n".join(parts) + "\n"

    def summary(self) -> list[str]:
        """A line for each engine and area, and one for each reason of skips."""
        lines = []
        for engine, area in _unique((c.engine, c.area) for c in self.cases):
            found = [c for c in self.cases if (c.engine, c.area) == (engine, area)]
            counts = {kind: sum(c.skip is not None and c.skip.kind == kind for c in found) for kind in KINDS}
            failed = sum(c.outcome == FAILED for c in found)
            passed = len(found) - sum(counts.values()) - failed
            skipped = " ".join(f"{count:5} {kind}" for kind, count in counts.items() if count or kind != "missing")
            lines.append(f"{engine:14} {area:40} {passed:5} passed {skipped} {failed:5} failed")
        for engine, skip in _unique((c.engine, c.skip) for c in self.cases):
            if skip is not None:
                count = sum((c.engine, c.skip) == (engine, skip) for c in self.cases)
                lines.append(f"{engine:14} {skip.kind} {count} x {skip.reason}")
        return lines

    def _area(self, area: str) -> Iterable[str]:
        cases = [c for c in self.cases if c.area == area]
        details = {name: {c.detail for c in cases if c.case == name} for name in _unique(c.case for c in cases)}
        varied = {c.case for c in cases if c.way or c.strategy}
        yield f"## {area}"
        for with_variants in (False, True):
            plain = [c for c in cases if len(details[c.case]) <= _MATRIX and (c.case in varied) == with_variants]
            if plain:
                yield self._table(plain, lambda c: c.label)
        for name, found in details.items():
            if len(found) > _MATRIX:
                yield f"### {name[0].upper()}{name[1:]}"
                yield from self._matrix([c for c in cases if c.case == name])

    def _matrix(self, cases: Sequence[CaseRecord]) -> Iterable[str]:
        """One table, or one for each engine, or for each engine's way of reading, until none is too wide."""
        for parts in (lambda c: (), lambda c: (c.engine,), lambda c: (c.engine, c.way)):
            tables = [[c for c in cases if parts(c) == part] for part in _unique(map(parts, cases))]
            if all(len({c.column for c in table}) <= _WIDEST for table in tables):
                break
        for table in tables:
            yield self._of_one_skip(table) or self._table(table, lambda c: c.detail)

    def _of_one_skip(self, cases: Sequence[CaseRecord]) -> str | None:
        """A sentence instead of a table whose every cell is the same."""
        first = cases[0]
        if first.skip is None or any(c.skip != first.skip or c.column[:2] != first.column[:2] for c in cases):
            return None
        return f"{', '.join(filter(None, first.column[:2]))}: all {len(cases)} {self._cell(first)}."

    def _table(self, cases: Sequence[CaseRecord], label: Callable[[CaseRecord], str]) -> str:
        columns = _unique(c.column for c in cases)
        cells = {(label(c), c.column): self._cell(c) for c in cases}
        lines = [["", *(", ".join(filter(None, column)) for column in columns)], ["---"] * (len(columns) + 1)]
        for row in _unique(label(c) for c in cases):
            lines.append([_escaped(row), *(cells.get((row, column), "") for column in columns)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _cell(self, case: CaseRecord) -> str:
        if case.skip is None:
            return case.outcome
        return f"{case.skip.kind} ({self._notes.setdefault(case.skip, len(self._notes) + 1)})"


def _unique(found: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(found))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
