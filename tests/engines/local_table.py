"""A source that holds rows in memory, and a table under the local engine's hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
import pyarrow as pa

from dataloader_core.commit import CommitRecord, Look, version_of
from dataloader_core.interfaces.engine import Committed, Prepared
from dataloader_core.interfaces.source import (
    ColumnStats,
    ParquetFile,
    ParquetOptions,
    Progress,
    SourceSnapshot,
    Unrepresentable,
    WayOfReading,
)
from dataloader_core.plan import Column, KeepWatermark, LossPolicy, Read, Relation, Replace, Step, WatermarkRule, Write
from dataloader_core.schema import target_column
from dataloader_core.table import SourceTable
from dataloader_core.types import ColumnType
from dataloader_core.values import Value
from dataloader_engines.local.destination import LocalDestination
from dataloader_engines.local.duck import projection
from dataloader_engines.local.engine import LocalEngine
from dataloader_engines.local.settings import LocalSettings

UID = UUID("6b1f9a2e-0000-4000-8000-000000000001")
PARQUET = WayOfReading("parquet", True, "in memory")
ARROW = WayOfReading("arrow", True, "in memory")


class Rows(SourceSnapshot):
    """Rows as SQL over DuckDB's own types; ``parts`` files as a parallel source would write them."""

    def __init__(self, sql: str, *, parts: int = 1, found: Sequence[Unrepresentable] = ()) -> None:
        self.sql, self.parts, self.found = sql, parts, found
        self.asked: Mapping[str, ColumnStats] | None = None

    def ways(self, read: Read) -> Sequence[WayOfReading]:
        return (PARQUET, ARROW)

    def _projected(self, read: Read, con: duckdb.DuckDBPyConnection) -> str:
        con.execute("SET TimeZone = 'UTC'")
        names = {n.casefold(): n for n, *_ in con.execute(f"DESCRIBE {self.sql}").fetchall()}
        present = {c.target.casefold(): names[c.name.casefold()] for c in read.columns}
        return f"SELECT {projection([target_column(c) for c in read.columns], present)} FROM ({self.sql})"

    def write_parquet(self, read: Read, options: ParquetOptions, progress: Progress) -> Sequence[ParquetFile]:
        con = duckdb.connect()
        sql = self._projected(read, con)
        con.execute(f"CREATE TABLE t AS {sql}")
        [(rows,)] = con.execute("SELECT count(*) FROM t").fetchall()
        files = []
        for part in range(self.parts):
            path = options.folder / f"{options.prefix}{part:03}.parquet"
            low, high = rows * part // self.parts, rows * (part + 1) // self.parts
            [(_, count, size, _, stats, *_)] = con.execute(
                f"COPY (SELECT * FROM t WHERE rowid >= {low} AND rowid < {high}) TO '{path}' "
                "(FORMAT parquet, RETURN_STATS)"
            ).fetchall()
            found = {
                n[1:-1].replace('""', '"'): ColumnStats(s.get("min"), s.get("max"), int(s.get("null_count", 0)))
                for n, s in stats.items()
            }
            files.append(ParquetFile(path, count, size, found))
            progress(high, size)
        return files

    def read_arrow(self, read: Read) -> pa.RecordBatchReader:
        con = duckdb.connect()
        return con.execute(self._projected(read, con)).to_arrow_reader(1000)

    def unrepresentable(self, read: Read, stats: Mapping[str, ColumnStats] | None) -> Sequence[Unrepresentable]:
        self.asked = stats
        return self.found

    def highest(self, read: Read, column: str, upto: Value | None, inclusive: bool) -> Value | None:
        return None


def column(name: str, kind: str, **more: Any) -> Column:
    return Column(name, more.pop("target", name), ColumnType.parse(kind), f'"{name}"', kind, **more)


class Table:
    """One Delta table with the steps of a load spelt short. ``columns``: name to type."""

    def __init__(self, lake: Path, columns: Mapping[str, str], name: str = "orders") -> None:
        self.lake, self.name = lake, name
        self.engine = LocalEngine(LocalSettings(lake=str(lake), memory_mb=256))
        self.columns = tuple(column(n, k) for n, k in columns.items())
        self.comment: str | None = None
        self.seq = 0
        self.destination = self.open()

    def open(self) -> LocalDestination:
        destination = self.engine.destination("bronze", "crm", self.name)
        assert isinstance(destination, LocalDestination)
        return destination

    @property
    def path(self) -> Path:
        return self.lake / "bronze" / "crm" / self.name

    @property
    def source(self) -> SourceTable:
        return SourceTable(Relation("public", self.name), self.columns, comment=self.comment)

    def record(self, step: int = 1, uid: UUID = UID) -> CommitRecord:
        self.seq += 1
        version = version_of(self.seq, step)
        return CommitRecord(uuid4(), version, uid, None, 0, "print", False, data_version=version)

    def look(self, uid: UUID = UID, known: int | None = None) -> Look:
        return self.destination.look(uid, known_version=known)

    def create(self, uid: UUID = UID) -> CommitRecord:
        record = self.record(0, uid)
        self.destination.create(self.source, record)
        return record

    def step(
        self,
        write: Write | None = None,
        *,
        watermark: WatermarkRule | None = None,
        loss: LossPolicy | None = None,
        on_unrepresentable: Any = "fail",
    ) -> Step:
        read = Read(Relation("public", self.name), self.columns, on_unrepresentable=on_unrepresentable)
        return Step(read, write or Replace(), watermark or KeepWatermark(), "test", loss or LossPolicy(max_fraction=1))

    def prepare(
        self,
        step: Step,
        sql: str | Rows,
        *,
        look: Look | None = None,
        policy: Any = "evolve",
        way: WayOfReading = PARQUET,
    ) -> Prepared:
        rows = sql if isinstance(sql, Rows) else Rows(sql)
        return self.destination.prepare(
            step, self.source, rows, way, look or self.look(), policy, lambda rows, size: None
        )

    def load(
        self,
        sql: str | Rows,
        write: Write | None = None,
        *,
        loss: LossPolicy | None = None,
        policy: Any = "evolve",
        way: WayOfReading = PARQUET,
    ) -> Committed:
        look, step = self.look(), self.step(write, loss=loss)
        prepared = self.prepare(step, sql, look=look, policy=policy, way=way)
        return self.destination.commit(step, prepared, look, self.record())

    def rows(self, order: str = "ALL") -> list[tuple[Any, ...]]:
        """What a Delta reader that is not ours sees."""
        from deltalake import DeltaTable, QueryBuilder

        found = QueryBuilder().register("t", DeltaTable(self.path)).execute("SELECT * FROM t").read_all()
        table = pa.table(found)
        con = duckdb.connect()
        con.execute("SET TimeZone = 'UTC'")
        con.register("t", table)
        return con.execute(f"SELECT * FROM t ORDER BY {order}").fetchall()
