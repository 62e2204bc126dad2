"""What a step's write becomes: one commit, by the cheapest statement that does the same and carries the transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from dataloader_core import failpoints
from dataloader_core.commit import CommitRecord, Look, TargetColumn
from dataloader_core.errors import RivalCommitError, SchemaChangeError
from dataloader_core.interfaces.engine import Committed
from dataloader_core.loss import check_merge, check_replace
from dataloader_core.plan import LossPolicy, Merge, Replace, Step
from dataloader_core.schema import SchemaChange
from dataloader_core.types import ColumnType
from dataloader_engines.spark import clustering, commits, features, log, merging, tuning
from dataloader_engines.spark.address import Address
from dataloader_engines.spark.look import Entry, Handle, count_rows
from dataloader_engines.spark.reading_jobs import stoppable
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.settings import SparkSettings
from dataloader_engines.spark.sql import Names, projection
from dataloader_engines.spark.staging import Staged
from dataloader_engines.spark.types import commented_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_ALL, _WHOLE = commits.ALL, commits.OVERWRITE_SCHEMA
_A_TASK_FOR_EACH_FILE: Final = {"spark.sql.files.openCostInBytes": str(128 << 20)}
"""So that a file's rows stay together, and the keys in it few."""
_FILES: Final = 16
_ROWS_PER_FILE: Final = 100_000
_MORE_FILES: Final = 1.25
"""How many files more may be rewritten than hold rows to replace: a MERGE costs about so much more for each."""


@dataclass(frozen=True)
class Writer:
    """Carries out one write of staged rows, against one look."""

    session: LoadSession
    address: Address
    settings: SparkSettings
    step: Step
    look: Look
    change: SchemaChange
    staged: Staged
    record: CommitRecord
    notes: list[str] = field(default_factory=list)

    @property
    def handle(self) -> Handle:
        found: Handle = self.look.handle
        return found

    @cached_property
    def rows_there(self) -> int:
        """Of the whole table, before the write."""
        rows = self.handle.rows
        return count_rows(self.session, self.address, self.handle.version) if rows is None else rows

    def carry_out(self) -> Committed:
        """One commit.

        Raises:
            LossRefusedError: ``step.loss`` forbids it; nothing was changed.
            RivalCommitError: somebody else committed; nothing was changed.
        """
        if isinstance(self.step.write, Replace):
            return self._replace(self.step.loss)
        if isinstance(self.step.write, Merge):
            return self._merge(self.step.write, self.step.loss)
        if self.change.widened:
            return self._rewrite(merging.union_all(self), _ALL, "rewrite")
        return self._append()

    def _replace(self, loss: LossPolicy) -> Committed:
        check_replace(loss, read=self.staged.rows, there=self.rows_there)
        schema = self._overwritten_schema()
        entry = self._overwrite(self.rows(), _ALL, schema)
        self._restore_clustering(schema)
        self._check(entry)
        return self._committed(entry, deleted=self.rows_there, total=self.staged.rows, how="overwrite")

    def _append(self) -> Committed:
        schema = self._merged_schema()
        self._ready(schema)
        entry = self._land(lambda: self._by_options(self.rows(), schema=schema))
        self._check(entry)
        return self._committed(entry, deleted=0, how="append")

    def _merge(self, write: Merge, loss: LossPolicy) -> Committed:
        window = bool(write.delete_where or write.delete_missing_where)
        if not self.look.has_rows and not self.change.widened:
            return self._append()
        with self.stoppable():
            tally = merging.tally(self, write)
        if window:
            check_merge(loss, read=self.staged.rows, there=tally.there, deleted=tally.deleted, window=True)
        failpoints.hit("engine.merge_found")
        deleted, metrics = tally.deleted, {"rows_updated": tally.updated}
        if self.change.widened:
            return self._rewrite(merging.merged(self, write), _ALL, "rewrite", deleted=deleted, metrics=metrics)
        if not deleted and not tally.updated:
            return self._append()
        if write.delete_missing_where and not tally.strays:
            where = merging.window(self, write)
            return self._rewrite(self.rows(), where, "replace window", deleted=deleted, metrics=metrics)
        if tally.doubled or not self.session.confs or self._cheaper_rewritten(tally):
            where = _ALL if window or tally.there == self.rows_there else merging.key_range(self, write)
            rows = merging.merged(self, write, where)
            return self._rewrite(rows, where, "rewrite", deleted=deleted, metrics=metrics)
        self._ready(self._merged_schema())
        entry = merging.land_merge(self, write, adds=tally.updated < self.staged.rows)
        return self._committed(entry, deleted=entry.metric("numTargetRowsDeleted"), how="merge", metrics=metrics)

    def _rewrite(
        self,
        rows: DataFrame,
        where: str,
        how: str,
        *,
        deleted: int = 0,
        metrics: Mapping[str, Any] | None = None,
    ) -> Committed:
        """Overwrite rows with what was made of them."""
        schema = self._overwritten_schema() if self.change.widened else self._merged_schema()
        with self.session.preferring(_A_TASK_FOR_EACH_FILE):
            entry = self._overwrite(rows, where, schema)
        self._restore_clustering(schema)
        return self._committed(entry, deleted=deleted, how=how, metrics=metrics)

    def _overwrite(self, rows: DataFrame, where: str, schema: str | None) -> Entry:
        """Whoever committed between our last look and Delta's own may have lost rows: it can only be told."""
        ready = self._ready(schema)
        entry = self._land(lambda: self._by_options(rows, where=where, schema=schema))
        if entry.read_version is not None and entry.read_version > ready:
            self.notes.append(
                f"Somebody else committed version {entry.read_version} in the moment before this load's version "
                f"{entry.version}, which may have overwritten rows of it; compare the two by time travel."
            )
        return entry

    def _cheaper_rewritten(self, tally: merging.Tally) -> bool:
        """Whether an overwrite of the keys' range writes no more files than a MERGE would.

        A MERGE that adds rows joins both sides whole, and spreads the rows over files by the hash of their keys: every
        later merge finds some of its keys in each. Where it only updates it does neither. Tables that know single rows
        keep them apart by a MERGE only.
        """
        if tally.files is None or tally.touched is None or features.knows_rows(self.handle):
            return False
        return tally.updated < self.staged.rows and tally.files <= tally.touched * _MORE_FILES

    def rows(self) -> DataFrame:
        """What was read, in the table's columns as they are with the commit."""
        return self.typed(self.staged_sql(self.change.columns))

    def typed(self, sql: str) -> DataFrame:
        """Rows with the comments of the table's columns, which Delta takes from what is written."""
        return self.session.sql(sql).to(commented_schema(self.change.columns, self._defaults))

    def staged_sql(self, columns: tuple[TargetColumn, ...]) -> str:
        return f"SELECT {projection(columns, self.staged.names)} FROM {self.staged.relation}"

    def table_sql(self, where: str = _ALL) -> str:
        """The table as the look saw it, in its columns as they are with the commit."""
        present = [c.name for c in self.look.columns]
        return (
            f"SELECT {projection(self.change.columns, present)} "
            f"FROM {self.address.sql} VERSION AS OF {self.handle.version} WHERE {where}"
        )

    @property
    def names(self) -> Names:
        """A plan speaks the source's spelling of today, and the table may have another."""
        names: dict[str, TargetColumn] = {c.name.casefold(): c for c in self.change.columns}
        for column in self.change.read:
            names.setdefault(column.name.casefold(), names[column.target.casefold()])
        return names

    def _merged_schema(self) -> str | None:
        return "mergeSchema" if self.change.added else None

    def _by_options(self, rows: DataFrame, *, where: str | None = None, schema: str | None = None) -> None:
        commits.by_options(
            self.session,
            self.address,
            rows,
            self.record,
            where=where,
            schema=schema,
            clustered=bool(clustering.of(self.handle)),
            rows_per_file=self._rows_per_file() if where is not None else None,
        )

    def _rows_per_file(self) -> int | None:
        """Contiguous pieces of what an overwrite writes: later merges need to rewrite few of them.

        Where tables are tuned, Delta sizes their files itself.
        """
        if tuning.is_on(self.settings):
            return None
        return max(_ROWS_PER_FILE, -(-max(self.staged.rows, self.rows_there) // _FILES))

    def _land(self, commit: Any) -> Entry:
        failpoints.hit("engine.before_commit")
        entry = commits.land(self.session, self.address, self.handle.version, self.record, commit, self._around())
        failpoints.hit("engine.after_commit")
        return entry

    @contextmanager
    def _around(self) -> Iterator[None]:
        passing = self.staged.passing
        with self.stoppable(), passing.around() if passing is not None else nullcontext():
            yield

    def stoppable(self) -> AbstractContextManager[None]:
        """Around a statement that may take long: it ends as soon as the load is to stop."""
        return stoppable(self.session.spark, self.staged.progress)

    def _check(self, entry: Entry) -> None:
        """An append or overwrite wrote the rows that its record says."""
        if self.staged.passing is not None:
            self.staged.passing.check(entry)

    def _ready(self, schema: str | None) -> int:
        """Settle metadata, unless somebody else committed. An overwrite takes comments along with its schema.

        Returns:
            The table's version then.
        """
        commits.must_be_unchanged(self.session, self.address, self.handle)
        altered = self.session.altered
        self.notes.extend(tuning.apply(self.session, self.address, self.settings, self.handle, self.step.write))
        if clustering.REMEMBERED in self.handle.properties and schema != _WHOLE:
            self.notes.extend(clustering.restore(self.session, self.address, self.handle, self.look.columns))
        columns = self.change.columns
        if schema == _WHOLE:
            columns = tuple(c for c in columns if c.type.name == "timestamp_ntz")
            if clustering.of(self.handle):
                clustering.remember(self.session, self.address, self.handle)
        commits.ready(self.session, self.address, self.handle, columns, self.staged.origin.comment)
        if self.session.altered == altered:
            return self.handle.version
        return commits.must_hold_its_rows(self.session, self.address, self.handle)

    @property
    def _defaults(self) -> Mapping[str, str]:
        """Of columns that keep their type: one of another type is another column."""
        there = {c.name: c.type for c in self.look.columns}
        kept = {c.name for c in self.change.columns if there.get(c.name) == c.type}
        return {name: value for name, value in self.handle.defaults.items() if name in kept}

    def _overwritten_schema(self) -> str | None:
        """How an overwrite takes the schema: whole only where it must, as the table forgets much with it.

        Raises:
            SchemaChangeError: the table is partitioned, which it would forget, or has generated columns.
        """
        if self.change.columns == self.look.columns:
            return None
        if self.handle.partitioned or clustering.of(self.handle) or features.may_generate(self.handle):
            wanted, there = _types(self.change.columns), _types(self.look.columns)
            if wanted == there:
                return None
            if there.items() <= wanted.items():
                return self._merged_schema()
            self._check_partitions()
            self._check_generated()
        return _WHOLE

    def _check_partitions(self) -> None:
        if self.handle.partitioned:
            raise SchemaChangeError(
                f"{self.address.location} is partitioned by {', '.join(self.handle.partitioned)}; with the new schema "
                "it would be so no more.",
                cure="Set schema_policy to 'freeze', or write the table anew without partitions.",
            )

    def _check_generated(self) -> None:
        """That the table would not forget how columns get their values."""
        if not features.may_generate(self.handle):
            return
        fields = self.handle.declared
        if fields is None:
            fields = log.fields(self.session, self.handle.location)
        told = "its log, which says how columns get their values, cannot be read"
        if fields is not None:
            told = f"its columns {', '.join(features.generated(fields))} are generated, and would be so no more"
        if fields is None or features.generated(fields):
            raise SchemaChangeError(
                f"The schema of {self.address.location} cannot be taken whole: {told}.",
                cure="Set schema_policy to 'freeze', grant READ FILES on it, or write the table anew.",
            )

    def _restore_clustering(self, schema: str | None) -> None:
        """Behind an overwrite that took the schema whole. The commit is there: nothing may fail the load any more."""
        if schema != _WHOLE or not clustering.of(self.handle):
            return
        try:
            self.notes.extend(clustering.restore(self.session, self.address, self.handle, self.change.columns))
        except RivalCommitError:
            self.notes.append(
                "Somebody else committed right behind this load; its next write sets the clustering again."
            )

    def _committed(
        self,
        entry: Entry,
        *,
        deleted: int,
        how: str,
        total: int | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> Committed:
        return Committed(
            table_version=entry.version,
            rows_written=self.staged.rows,
            rows_deleted=deleted,
            bytes=entry.metric("numOutputBytes") or entry.metric("numTargetBytesAdded"),
            rows_total=total,
            notes=tuple(self.notes),
            metrics={
                "written_by": how,
                "files_added": entry.metric("numFiles") or entry.metric("numTargetFilesAdded"),
                "files_removed": entry.metric("numRemovedFiles") or entry.metric("numTargetFilesRemoved"),
                **({"bytes_read": self.staged.bytes} if self.staged.bytes else {}),
                **(metrics or {}),
            },
        )


def _types(columns: tuple[TargetColumn, ...]) -> dict[str, ColumnType]:
    """Order and spelling of names say nothing about the rows."""
    return {c.name.casefold(): c.type for c in columns}
