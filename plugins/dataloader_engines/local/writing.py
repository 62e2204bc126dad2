"""What a step's write becomes: which files one commit takes out and puts in, under which schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataloader_core.commit import CommitRecord, TargetColumn
from dataloader_core.interfaces.engine import Committed
from dataloader_core.loss import check_merge, check_replace
from dataloader_core.plan import Column, LossPolicy, Merge, Replace, Step
from dataloader_core.schema import SchemaChange, SchemaPolicy
from dataloader_engines.local import commits
from dataloader_engines.local.duck import DataFile, Duck, text
from dataloader_engines.local.look import Handle, TargetFile
from dataloader_engines.local.rewrite import Rewrite, Rewriter
from dataloader_engines.local.storage import Storage


@dataclass(frozen=True)
class Staged:
    """One step's rows in the staging folder; the engine's part of ``Prepared``.

    Attributes:
        token: In the names of its files.
        source: The source's columns, before the schema policy.
        comment: The source's comment on the table.
        indexed: Columns (of the table) whose bounds are kept however far right they stand.
    """

    token: str
    files: Sequence[DataFile]
    source: Sequence[Column]
    policy: SchemaPolicy
    comment: str | None
    indexed: Sequence[str]

    @property
    def rows(self) -> int:
        return sum(f.rows for f in self.files)


@dataclass(frozen=True)
class Writer:
    """Carries out one write through one handle.

    Attributes:
        new_path: Names a file that this attempt writes.
        named: Names of files that a commit holds, or may hold: nobody may delete them any more.
    """

    duck: Duck
    storage: Storage
    handle: Handle
    change: SchemaChange
    new_path: Callable[[object], Path]
    named: set[str]

    def carry_out(self, step: Step, staged: Staged, record: CommitRecord) -> Committed:
        """One commit.

        Raises:
            LossRefusedError: ``step.loss`` forbids it; nothing was changed.
            NotCommittedError: somebody else committed; nothing was changed.
        """
        there = self._rows_there()
        if isinstance(step.write, Replace):
            check_replace(step.loss, read=staged.rows, there=there)
            work = Rewrite(self.handle.files, staged.files, deleted=there)
        elif isinstance(step.write, Merge):
            work = self._merge(step.write, staged, step.loss, there)
        else:
            rest = self._rewriter(staged).cast_all() if self.change.widened else Rewrite()
            work = Rewrite(rest.removed, (*rest.added, *staged.files))
        overwrite = isinstance(step.write, Replace) or bool(self.change.widened)
        version = self._commit(work, staged, record, overwrite=overwrite)
        return Committed(
            table_version=version,
            rows_written=staged.rows,
            rows_deleted=work.deleted,
            bytes=sum(f.bytes for f in work.added),
            rows_total=there - work.deleted - work.updated + staged.rows,
            metrics={
                "files_added": len(work.added),
                "files_removed": len(work.removed),
                "rows_updated": work.updated,
                "bytes_read": sum(f.bytes for f in staged.files),
            },
        )

    def _merge(self, write: Merge, staged: Staged, loss: LossPolicy, there: int) -> Rewrite:
        def check(deleted: int) -> None:
            window = bool(write.delete_where or write.delete_missing_where)
            check_merge(loss, read=staged.rows, there=there, deleted=deleted, window=window)

        return self._rewriter(staged).merge(write, staged.files, everything=bool(self.change.widened), check=check)

    def _rewriter(self, staged: Staged) -> Rewriter:
        # A plan speaks the source's spelling of today, and the table may have another: "Order_ID" is its "order_id".
        names: dict[str, TargetColumn] = {c.name.casefold(): c for c in self.change.columns}
        for column in self.change.read:
            names.setdefault(column.name.casefold(), names[column.target.casefold()])
        return Rewriter(self.duck, self.storage, self.handle, self.change.columns, names, self.new_path)

    def _commit(self, work: Rewrite, staged: Staged, record: CommitRecord, *, overwrite: bool) -> int:
        columns = self.change.columns
        for file in work.added:
            self.storage.put(file.path)
        handle = commits.ready_schema(self.handle, columns, overwrite=overwrite, comment=staged.comment)
        adds = [commits.add_action(f.path.name, f.rows, f.bytes, f.stats, columns, staged.indexed) for f in work.added]
        removes = [] if overwrite else [commits.remove_action(f) for f in work.removed]
        names = {f.path.name for f in work.added}
        self.named.update(names)
        try:
            return commits.write(handle, [*removes, *adds], columns, record, overwrite=overwrite)
        except commits.NotCommittedError:
            self.named.difference_update(names)
            raise

    def _rows_there(self) -> int:
        return sum(f.rows if f.rows is not None else self._count(f) for f in self.handle.files)

    def _count(self, file: TargetFile) -> int:
        [(rows,)] = self.duck.run(f"SELECT count(*) FROM read_parquet({text(self.storage.fetch(file.path))})")
        return int(rows)
