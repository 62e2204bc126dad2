"""A source with transactions, small enough to reason about: what a strategy must not lose.

A transaction takes its stamps at or after its start, and its rows appear when it commits, whatever has been
committed and loaded meanwhile. The cap is what a database can prove of that: the start of the oldest open one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dataloader_core.plan import Cap
from dataloader_core.testing.builders import source_table
from dataloader_core.testing.interpreter import MemorySource, MemoryTarget
from dataloader_core.types import BIGINT
from dataloader_core.values import Value

FAR_AHEAD = 2087

LATEST = 3
"""How long a transaction may last where the source does not show it."""

Action = tuple[int, int, int]
"""What happens next at the source; three small numbers that :meth:`World.act` reads."""


@dataclass
class Transaction:
    start: int
    rows: dict[int, int] = field(default_factory=dict)


@dataclass
class World:
    """``updates``: rows are changed as well as added.

    ``proven``: the source shows its open transactions; otherwise its cap is only its clock, and no transaction lasts
    longer than ``LATEST``.
    """

    updates: bool
    clock: int = 10
    open: list[Transaction] = field(default_factory=list)
    committed: dict[int, int | None] = field(default_factory=dict)
    used: int = 0
    proven: bool = True

    def act(self, action: Action) -> None:
        kind, which, offset = action
        if kind == 0:
            self._wait(offset)
        elif kind == 1 and len(self.open) < 4:
            self.open.append(Transaction(self.clock))
        elif kind == 2 and self.open:
            self._write(self.open[which % len(self.open)], which, offset)
        elif kind == 3 and self.open:
            self.committed.update(self.open.pop(which % len(self.open)).rows)

    def _wait(self, ticks: int) -> None:
        for _ in range(ticks):
            if not self.proven:
                for old in [t for t in self.open if t.start + LATEST <= self.clock]:
                    self.open.remove(old)
                    self.committed.update(old.rows)
            self.clock += 1

    def _write(self, transaction: Transaction, which: int, offset: int) -> None:
        stamp = min(transaction.start + offset, self.clock)
        locked = {row for t in self.open for row in t.rows}
        free = [row for row in self.committed if row not in locked]
        if self.updates and free and which % 2:
            transaction.rows[free[which % len(free)]] = stamp
        else:
            # Keys come in no particular order: 0, 7, 14, 4, 11, 1, ...
            transaction.rows[self.used * 7 % 17 + 17 * (self.used // 17)] = stamp
            self.used += 1

    def settle(self) -> None:
        """Everybody commits, and time goes on."""
        while self.open:
            self.act((3, 0, 0))
        self._wait(1)

    def source(self) -> MemorySource:
        oldest = min([t.start for t in self.open if self.proven], default=self.clock)
        cap = Cap(Value(BIGINT, str(oldest)), False, self.proven, "as far as the source can tell")
        table = source_table((("id",),), id="bigint!", stamp="bigint")
        rows = [{"id": str(i), "stamp": None if s is None else str(s)} for i, s in self.committed.items()]
        return MemorySource(table, list(rows), cap)


def pairs(target: MemoryTarget) -> list[tuple[int, int | None]]:
    """The destination's rows as (id, stamp), sorted; a doubled row is there twice."""
    return sorted(
        ((int(r["id"] or 0), None if r["stamp"] is None else int(r["stamp"])) for r in target.rows),
        key=lambda pair: (pair[0], pair[1] or 0),
    )
