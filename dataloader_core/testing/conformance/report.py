"""The report of a conformance run: cases by engine, passed or skipped with the reason that was declared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Final, TypeVar

T = TypeVar("T")
PASSED: Final = "passed"
FAILED: Final = "FAILED"
_MATRIX: Final = 3
"""A case with more details than these gets a table of its own."""
_WIDEST: Final = 8
"""Columns of a table that can still be read."""


@dataclass(frozen=True)
class CaseRecord:
    """One case of one engine.

    Attributes:
        engine: Whose case it is; ``local + spark`` where both have a part in it.
        area: The suite that it belongs to.
        case: What must hold, in words.
        detail: Which of several values, types or writes.
        variant: A column of its own in the report: the way of reading, or the strategy.
        reason: Why it is skipped; None: it is not.
        outcome: Of a run; before one, cases count as passed.
    """

    PROPERTY: ClassVar[str] = "dataloader.conformance"

    engine: str
    area: str
    case: str
    detail: str = ""
    variant: str = ""
    reason: str | None = None
    outcome: str = PASSED

    @property
    def label(self) -> str:
        return f"{self.case}: {self.detail}" if self.detail else self.case

    @property
    def name(self) -> str:
        """What ``cannot`` matches: ``a merge adds and replaces: two keys (arrow)``."""
        return f"{self.label} ({self.variant})" if self.variant else self.label

    @property
    def column(self) -> tuple[str, str]:
        return self.engine, self.variant

    def ended(self, outcome: str, reason: str | None = None) -> CaseRecord:
        return replace(self, outcome=outcome, reason=reason or self.reason)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CaseRecord:
        return cls(**json.loads(text))


@dataclass
class Report:
    """All cases of a run, sorted by engine within an area. Equal cases give equal text: there are no times in it."""

    cases: Sequence[CaseRecord]
    _notes: dict[str, int] = field(default_factory=dict)

    def markdown(self) -> str:
        """A table for each area and for each case of many details; the reasons of skips stand below."""
        parts = [part for area in _unique(c.area for c in self.cases) for part in self._area(area)]
        if self._notes:
            reasons = "\n".join(f"{number}. {reason[0].upper()}{reason[1:]}." for reason, number in self._notes.items())
            parts += ["## Why cases are skipped", reasons]
        return "\n\n".join(parts) + "\n"

    def summary(self) -> list[str]:
        """A line for each engine and area, and one for each reason of skips."""
        lines = []
        for engine, area in _unique((c.engine, c.area) for c in self.cases):
            found = [c for c in self.cases if (c.engine, c.area) == (engine, area)]
            skipped = sum(c.reason is not None for c in found)
            failed = sum(c.outcome == FAILED for c in found)
            passed = len(found) - skipped - failed
            lines.append(f"{engine:14} {area:40} {passed:5} passed {skipped:5} skipped {failed:5} failed")
        for engine, reason in _unique((c.engine, c.reason) for c in self.cases if c.reason):
            count = sum((c.engine, c.reason) == (engine, reason) for c in self.cases)
            lines.append(f"{engine:14} skipped {count} x {reason}")
        return lines

    def _area(self, area: str) -> Iterable[str]:
        cases = [c for c in self.cases if c.area == area]
        details = {name: {c.detail for c in cases if c.case == name} for name in _unique(c.case for c in cases)}
        varied = {c.case for c in cases if c.variant}
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
        """One table, or one for each engine where it would be too wide."""
        engines = _unique(c.engine for c in cases)
        if len({c.column for c in cases}) <= _WIDEST or len(engines) == 1:
            yield self._table(cases, lambda c: c.detail)
            return
        for engine in engines:
            yield self._table([c for c in cases if c.engine == engine], lambda c: c.detail)

    def _table(self, cases: Sequence[CaseRecord], label: Callable[[CaseRecord], str]) -> str:
        columns = _unique(c.column for c in cases)
        cells = {(label(c), c.column): self._cell(c) for c in cases}
        lines = [["", *(", ".join(filter(None, column)) for column in columns)], ["---"] * (len(columns) + 1)]
        for row in _unique(label(c) for c in cases):
            lines.append([_escaped(row), *(cells.get((row, column), "") for column in columns)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _cell(self, case: CaseRecord) -> str:
        if case.reason is None:
            return case.outcome
        return f"skipped ({self._notes.setdefault(case.reason, len(self._notes) + 1)})"


def _unique(found: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(found))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
