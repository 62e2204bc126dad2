"""One Delta table in an engine's hands, and beside it the list of rows that it must be equal to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from dataloader_core.commit import CommitRecord, Look, version_of
from dataloader_core.interfaces.engine import Committed, Destination, Engine, Prepared
from dataloader_core.interfaces.source import SourceSnapshot, WayOfReading
from dataloader_core.plan import KeepWatermark, LossPolicy, Read, Replace, Step, WatermarkRule, Write
from dataloader_core.table import SourceTable
from dataloader_core.testing.builders import source_table
from dataloader_core.testing.conformance.delta_log import DeltaLog
from dataloader_core.testing.interpreter import MemorySource, MemoryTarget, Row, commit
from dataloader_core.testing.memory import MemorySnapshot
from dataloader_core.testing.texts import canonical_rows, rows_of
from dataloader_core.types import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

Reader = Callable[[Destination], "pa.Table"]
SchemaPolicy = Literal["evolve", "freeze", "fail"]
CATALOG, SCHEMA = "bronze", "conformance"
_ANY_LOSS = LossPolicy(max_fraction=1)


@dataclass(frozen=True)
class Rows:
    """What the source gives: ``rows`` as texts (None is NULL), and how it behaves."""

    rows: Sequence[Row]
    options: Mapping[str, Any] = field(default_factory=dict)


def rows(names: str, *values: Sequence[object | None], **options: Any) -> Rows:
    """``rows("id name", (1, "a"), (2, None))``; options are those of ``MemorySnapshot``."""
    found = [dict(zip(names.split(), (None if v is None else str(v) for v in row), strict=True)) for row in values]
    return Rows(found, options)


class ConformanceTable:
    """One table with the steps of a load spelt short.

    ``model`` is what the interpreter makes of the same steps: :meth:`check` compares. Attributes may be changed
    between loads, as a source changes.

    Args:
        types: Columns by name; an exclamation mark makes one NOT NULL.
    """

    def __init__(
        self, engine: Engine, read: Reader, name: str, types: Mapping[str, str], keys: tuple[tuple[str, ...], ...] = ()
    ) -> None:
        self.engine = engine
        self.name = name
        self.uid = uuid4()
        self.seq = 0
        self.model = MemoryTarget()
        self._read = read
        self._opened: list[Destination] = []
        self.have(types, keys=keys)
        self.destination = self.open()

    def have(
        self, types: Mapping[str, str], *, keys: tuple[tuple[str, ...], ...] = (), comment: str | None = None,
        comments: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """The source's columns from now on."""
        table = source_table(keys, None, **types)
        columns = tuple(replace(c, comment=(comments or {}).get(c.name)) for c in table.columns)
        self.source: SourceTable = replace(table, columns=columns, comment=comment)

    def open(self) -> Destination:
        """Another load's destination of the same table."""
        self._opened.append(self.engine.destination(CATALOG, SCHEMA, self.name))
        return self._opened[-1]

    def close(self) -> None:
        for destination in self._opened:
            destination.close()

    @property
    def log(self) -> DeltaLog:
        return DeltaLog(folder_of(self.destination))

    def record(self, step: int = 1, uid: UUID | None = None) -> CommitRecord:
        """Of the next load; each has a load id and a sequence number of its own."""
        self.seq += 1
        version = version_of(self.seq, step)
        return CommitRecord(uuid4(), version, uid or self.uid, None, 0, "print", False, data_version=version)

    def look(self, *, known: int | None = None, uid: UUID | None = None) -> Look:
        return self.destination.look(uid or self.uid, known_version=known)

    def create(self) -> CommitRecord:
        record = self.record(0)
        self.destination.create(self.source, record)
        return record

    def fence(self) -> CommitRecord:
        record = self.record(0)
        self.destination.commit_empty(self.look(), record)
        return record

    def step(
        self, write: Write | None = None, *, watermark: WatermarkRule | None = None, loss: LossPolicy | None = None,
        unique: tuple[str, ...] = (), on_unrepresentable: Literal["fail", "null"] = "fail",
    ) -> Step:  # fmt: skip
        """Everything is read; ``Replace`` unless another write is named, and any loss is allowed unless one says."""
        read = Read(self.source.relation, self.source.columns, on_unrepresentable=on_unrepresentable)
        rule = watermark or KeepWatermark()
        return Step(read, write or Replace(), rule, "conformance", loss or _ANY_LOSS, unique=unique)

    def snapshot(self, given: Rows) -> MemorySnapshot:
        return MemorySnapshot(self._source(given), **given.options)

    def prepare(
        self, step: Step, given: Rows | SourceSnapshot, *, look: Look | None = None, policy: SchemaPolicy = "evolve",
        way: str | None = None, through: Destination | None = None,
    ) -> Prepared:  # fmt: skip
        assert step.read is not None
        snapshot = self.snapshot(given) if isinstance(given, Rows) else given
        chosen = self._way(snapshot.ways(step.read), way)
        where = through or self.destination
        return where.prepare(step, self.source, snapshot, chosen, look or self.look(), policy, lambda rows, size: None)

    def load(
        self, given: Rows, write: Write | None = None, *, policy: SchemaPolicy = "evolve", way: str | None = None,
        **step: Any,
    ) -> Committed:  # fmt: skip
        """Look, prepare, commit, and the same in the model."""
        done, look = self.step(write, **step), self.look()
        prepared = self.prepare(done, given, look=look, policy=policy, way=way)
        committed = self.destination.commit(done, prepared, look, self.record())
        self.expect(done, given)
        return committed

    def expect(self, step: Step, given: Rows) -> None:
        """The step happened: so it does in the model, which raises where it should not have been possible."""
        commit(step, self._source(given), self.model)

    def rows(self) -> list[Row]:
        """What a reader sees, as canonical texts in some order."""
        return rows_of(self._read(self.destination), self.types())

    def types(self) -> dict[str, ColumnType]:
        return {c.name: c.type for c in self.look().columns}

    def check(self) -> None:
        """The table holds exactly the model's rows."""
        assert ordered(self.rows()) == ordered(self.model.rows)

    def _source(self, given: Rows) -> MemorySource:
        types = {c.name: c.type for c in self.source.columns}
        return MemorySource(self.source, canonical_rows(given.rows, types))

    def _way(self, ways: Sequence[WayOfReading], wanted: str | None) -> WayOfReading:
        offered = {w.way: w for w in ways if w.usable}
        return next(offered[name] for name in ((wanted,) if wanted else self.engine.reads) if name in offered)


def ordered(found: Iterable[Row]) -> list[tuple[tuple[str, str], ...]]:
    """Rows in an order that does not depend on who gave them; NULL is told from every text."""
    return sorted(tuple((name, repr(text)) for name, text in sorted(row.items())) for row in found)


def folder_of(destination: Destination) -> Path:
    """Where the table lies, for engines whose location is a path or a ``file:`` URI."""
    return Path(unquote(urlsplit(destination.location).path))
