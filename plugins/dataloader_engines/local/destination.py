"""One Delta table, as one load of the local engine sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Literal
from uuid import UUID, uuid4

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from dataloader_core import failpoints
from dataloader_core.commit import OWNER_PROPERTY, CommitRecord, Look
from dataloader_core.engine_mark import mark_of
from dataloader_core.errors import DestinationRefusedError
from dataloader_core.interfaces.engine import Committed, Destination, Prepared
from dataloader_core.interfaces.source import Progress, SourceSnapshot, WayOfReading
from dataloader_core.plan import HighestRead, Merge, Replace, Step
from dataloader_core.schema import SchemaChange, check_compared, compare_schemas, target_column
from dataloader_core.table import SourceTable
from dataloader_engines.local import commits, keys, publish
from dataloader_engines.local.duck import Duck
from dataloader_engines.local.errors import destination_errors, rival
from dataloader_engines.local.look import Handle, open_table, take_look
from dataloader_engines.local.settings import LocalSettings
from dataloader_engines.local.staging import Stager, highest_read
from dataloader_engines.local.storage import Storage
from dataloader_engines.local.types import delta_schema
from dataloader_engines.local.writing import Staged, Writer

SchemaPolicy = Literal["evolve", "freeze", "fail"]


class LocalDestination(Destination):
    """A table in a folder or an object store. Files are written first and named by a commit afterwards.

    Every file of this load has ``part-<32 hex digits>-`` in front, one token for each step and attempt. What a crash
    leaves behind is named by no commit and goes with Delta's own VACUUM.
    """

    def __init__(self, storage: Storage, settings: LocalSettings) -> None:
        self.location = storage.uri
        self.storage = storage
        self._settings = settings
        self._duck: Duck | None = None
        self._tokens: set[str] = set()
        self._named: set[str] = set()

    def close(self) -> None:
        if self._duck is not None:
            self._duck.close()
            self._duck = None
        for token in tuple(self._tokens):
            self._discard(token)
        self.storage.close()

    def look(self, table_uid: UUID, *, known_version: int | None = None) -> Look:
        with destination_errors(self.location):
            return take_look(self.storage, table_uid, known_version)

    def create(self, table: SourceTable, record: CommitRecord) -> None:
        if not table.columns:
            raise DestinationRefusedError(
                f"{table.relation} has no columns, and a Delta table needs at least one.",
                cure="Give the source table a column, or choose others with `columns`.",
            )
        failpoints.hit("engine.before_create")
        with destination_errors(self.location):
            if open_table(self.storage) is not None:
                raise rival(self.location)
            self.storage.make()
            self._create(table, record)
        failpoints.hit("engine.after_create")

    def _create(self, table: SourceTable, record: CommitRecord) -> None:
        try:
            DeltaTable.create(
                self.location,
                delta_schema([target_column(c) for c in table.columns]),
                mode="error",
                description=table.comment[:4000] if table.comment else None,
                configuration={OWNER_PROPERTY: str(record.table_uid), **mark_of("local", self.location)},
                commit_properties=commits.properties(record),
                raise_if_key_not_exists=False,
            )
        except DeltaError as error:
            found = self.look(record.table_uid)
            mine = found.newest_fence or found.newest
            if mine is not None and (mine.load_id, mine.version) == (record.load_id, record.version):
                return
            if found.exists:
                raise rival(self.location) from error
            raise

    def commit_empty(self, look: Look, record: CommitRecord, *, own: bool = False) -> None:
        with destination_errors(self.location):
            commits.write_empty(_handle(look), record, own=own)

    def prepare(
        self,
        step: Step,
        source: SourceTable,
        snapshot: SourceSnapshot | None,
        way: WayOfReading | None,
        look: Look,
        schema_policy: SchemaPolicy,
        progress: Progress,
    ) -> Prepared:
        assert step.read is not None, "a step without a read is prepared from its staging table"
        assert snapshot is not None
        assert way is not None
        change = compare_schemas(
            step.read.columns, look.columns, schema_policy, replace=isinstance(step.write, Replace)
        )
        check_compared(step.write, change, look.columns, has_rows=look.has_rows)
        read = replace(step.read, columns=change.read)
        stager = self._stager()
        failpoints.hit("engine.before_read")
        with destination_errors(self.location), self._discarding(stager):
            files, unrepresentable = stager.read(read, snapshot, way, progress)
            failpoints.hit("engine.after_read")
            if step.unproven:
                keys.check_keys(stager.duck, files, step.unproven)
            highest, above = None, 0
            if isinstance(step.watermark, HighestRead):
                highest, above = highest_read(stager.duck, files, read, step.watermark, snapshot)
        staged = Staged(
            stager.token, files, step.read.columns, schema_policy, source.comment, _indexed(step, source, change)
        )
        return Prepared(
            rows=staged.rows,
            bytes=sum(f.bytes for f in files),
            highest=highest,
            above=above,
            unrepresentable=unrepresentable,
            notes=change.notes,
            handle=staged,
        )

    def prepare_from(
        self,
        step: Step,
        source: SourceTable,
        staging: Destination,
        aside: Look,
        look: Look,
        schema_policy: SchemaPolicy,
        progress: Progress,
    ) -> Prepared:
        assert isinstance(staging, LocalDestination)
        columns = publish.as_source_columns(aside.columns)
        change = compare_schemas(columns, look.columns, schema_policy, replace=True)
        stager = self._stager()
        with destination_errors(self.location), self._discarding(stager):
            files = publish.take_over(stager, staging.storage, aside, look)
        staged = Staged(stager.token, files, columns, schema_policy, source.comment, _indexed(step, source, change))
        return Prepared(staged.rows, sum(f.bytes for f in files), notes=change.notes, handle=staged)

    def commit(self, step: Step, prepared: Prepared, look: Look, record: CommitRecord) -> Committed:
        staged: Staged = prepared.handle
        change = compare_schemas(staged.source, look.columns, staged.policy, replace=isinstance(step.write, Replace))
        stager = self._stager()
        with destination_errors(self.location), self._discarding(stager):
            writer = Writer(stager.duck, self.storage, _handle(look), change, stager.new_path, self._named)
            committed = writer.carry_out(step, staged, record)
        self._discard(staged.token)
        return committed

    def drop(self, table_uid: UUID) -> None:
        look = self.look(table_uid)
        if not look.exists:
            return
        if look.owner != table_uid:
            raise DestinationRefusedError(
                f"{self.location} belongs to {look.owner or 'nobody'}, not to {table_uid}; it is not dropped.",
                cure="Drop it by hand if nobody needs it.",
            )
        failpoints.hit("engine.before_drop")
        with destination_errors(self.location):
            self.storage.remove()
        failpoints.hit("engine.after_drop")

    def _stager(self) -> Stager:
        """For one step or one attempt at a commit; the table's DuckDB is opened with the first."""
        if self._duck is None:
            with destination_errors(str(self._settings.temp_folder or "the temp folder")):
                self._duck = Duck(self.storage.temp, threads=self._settings.threads, memory_mb=self._settings.memory_mb)
        token = uuid4().hex
        self._tokens.add(token)
        return Stager(self.storage, self._duck, token, self._settings.threads, self._settings.files)

    @contextmanager
    def _discarding(self, stager: Stager) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._discard(stager.token)
            raise

    def _discard(self, token: str) -> None:
        """Delete the token's files, except those that a commit names, or may name."""
        # Storage that is full, read-only or gone must not hide what went wrong before.
        with suppress(OSError):
            self.storage.discard(token, self._named)
        self._tokens.discard(token)


def _handle(look: Look) -> Handle:
    handle: Handle = look.handle
    return handle


def _indexed(step: Step, source: SourceTable, change: SchemaChange) -> tuple[str, ...]:
    """Columns whose bounds later merges want: this merge's keys, the source's best key, the watermark."""
    targets = {c.name: c.target for c in change.read}
    wanted = [*(source.keys[0] if source.keys else ())]
    if isinstance(step.watermark, HighestRead):
        wanted.append(step.watermark.column)
    merged = step.write.keys if isinstance(step.write, Merge) else ()
    spelled = {c.target.casefold(): c.target for c in change.read}
    return (
        *(spelled.get(key.casefold(), key) for key in merged),
        *(targets[name] for name in wanted if name in targets),
    )
