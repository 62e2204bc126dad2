"""A table in this process whose rows are stamped by one counter: what tests of the protocol need of a source.

Whatever was written is committed at once with the counter's next value, so its cap is always true.
"""

from __future__ import annotations

from dataloader_core.plan import Cap, Column, Relation
from dataloader_core.table import SourceTable
from dataloader_core.testing.interpreter import MemorySource
from dataloader_core.testing.memory import MemorySession
from dataloader_core.types import BIGINT, STRING
from dataloader_core.values import Value

COLUMNS = (
    Column("id", "id", BIGINT, "id", "bigint", nullable=False),
    Column("v", "v", BIGINT, "v", "bigint", nullable=False),
    Column("note", "note", STRING, "note", "text"),
)
Row = tuple[int, int, str]


class MemoryTable:
    """Rows by id; ``v`` grows with every change, as a sequence in a trigger would make it."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.counter = 0

    def insert(self, how_many: int) -> None:
        for _ in range(how_many):
            self.counter += 1
            self.rows[len(self.rows) + 1] = (len(self.rows) + 1, self.counter, f"new {self.counter}")

    def update(self, every: int) -> None:
        for key in [k for k in self.rows if k % every == 0]:
            self.counter += 1
            self.rows[key] = (key, self.counter, f"changed {self.counter}")

    def source(self) -> MemorySource:
        """What a session finds that is opened now."""
        table = SourceTable(Relation("public", "t"), COLUMNS, keys=(("id",),), row_estimate=len(self.rows))
        rows = [{"id": str(id), "v": str(v), "note": note} for id, v, note in self.rows.values()]
        cap = Cap(Value(BIGINT, str(self.counter)), True, True, "one counter, and nothing is in flight")
        return MemorySource(table, list(rows), cap)


class CountingSession(MemorySession):
    """Sees the table as it is at each question."""

    def __init__(self, table: MemoryTable) -> None:
        self._table = table

    @property
    def source(self) -> MemorySource:  # type: ignore[override]  # asked anew each time
        return self._table.source()


class MemoryAccess:
    """Stands where ``SourceAccess`` stands."""

    def __init__(self, table: MemoryTable) -> None:
        self.table = table

    def session(self, application_name: str) -> MemorySession:
        return CountingSession(self.table)
