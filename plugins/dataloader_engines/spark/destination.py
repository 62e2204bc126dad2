"""One Delta table, as one load of the Spark engine sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast
from uuid import UUID

from dataloader_core import failpoints
from dataloader_core.commit import CommitRecord, Look
from dataloader_core.errors import DestinationRefusedError
from dataloader_core.interfaces.engine import Committed, Destination, Prepared
from dataloader_core.interfaces.source import Progress, SourceSnapshot, Tally, WayOfReading
from dataloader_core.plan import HighestRead, Merge, Read, Replace, Step
from dataloader_core.schema import SchemaChange, SchemaPolicy, check_compared, compare_schemas
from dataloader_core.table import SourceTable
from dataloader_engines.spark import commits, creation, publish, staging, tuning
from dataloader_engines.spark.address import Address
from dataloader_engines.spark.area import StagingArea
from dataloader_engines.spark.errors import spark_errors
from dataloader_engines.spark.look import Created, Handle, location_of, take_look
from dataloader_engines.spark.passing import Passing, passing
from dataloader_engines.spark.reading_jobs import stoppable
from dataloader_engines.spark.session import LoadSession, Sessions
from dataloader_engines.spark.settings import SparkSettings
from dataloader_engines.spark.staging import Facts, Origin, Staged
from dataloader_engines.spark.writing import Writer


class SparkDestination(Destination):
    """A table by its path or by its three names.

    Rows wait in Parquet files until a commit writes them, or pass from the source into the commit.
    """

    def __init__(self, address: Address, settings: SparkSettings, sessions: Sessions) -> None:
        self.location = address.location
        self.address = address
        self._settings = settings
        self._sessions = sessions
        self._opened: LoadSession | None = None
        self._area = StagingArea(address.staging, settings.staging_hours)
        self._look: tuple[UUID, Look] | None = None
        self._passing: list[Passing] = []
        self._created: tuple[UUID, Created] | None = None

    @property
    def session(self) -> LoadSession:
        if self._opened is None:
            self._opened = self._sessions.open()
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._area.remove_all(self._opened)
            for each in self._passing:
                each.drop()
            self._opened.close()
            self._opened = None

    def look(self, table_uid: UUID, *, known_version: int | None = None) -> Look:
        before = self._look[1] if self._look is not None and self._look[0] == table_uid else None
        created = self._created[1] if self._created is not None and self._created[0] == table_uid else None
        with spark_errors(self.location):
            look = take_look(self.session, self.address, table_uid, known_version, before, created)
        self._look = (table_uid, look)
        return look

    def create(self, table: SourceTable, record: CommitRecord) -> None:
        if not table.columns:
            raise DestinationRefusedError(
                f"{table.relation} has no columns, and a Delta table needs at least one.",
                cure="Give the source table a column, or choose others with `columns`.",
            )
        with spark_errors(self.location):
            properties = tuning.of_new_table(self._settings)
            version = commits.CREATION
            if not creation.create(self.session, self.address, table, record, properties):
                version = commits.fence(self.session, self.address, record).version
            location = location_of(self.session, self.address)
        self._created = (record.table_uid, Created(record, version, creation.comment_of(table), location))

    def commit_empty(self, look: Look, record: CommitRecord, *, own: bool = False) -> None:
        with spark_errors(self.location):
            commits.fence(self.session, self.address, record, _handle(look), own=own)

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
        origin = Origin(step.read.columns, schema_policy, source.comment)
        change = _change(origin, step, look)
        check_compared(step.write, change, look.columns, has_rows=look.has_rows)
        read = replace(step.read, columns=change.read)
        failpoints.hit("engine.before_read")
        # Where a type is widened, the table's own rows are written along with those that are read, and counted too.
        told = self._told(step, read, snapshot) if not change.widened else None
        if told is not None:
            prepared = self._pass(read, told, snapshot, way, progress, origin)
        else:
            prepared = self._stage(step, read, snapshot, way, progress, origin)
        return replace(prepared, notes=change.notes)

    def _told(self, step: Step, read: Read, snapshot: SourceSnapshot) -> Tally | None:
        """What the source tells of the rows beforehand, where that is enough for a commit."""
        if self._settings.write_through == "off" or isinstance(step.write, Merge) or step.unproven:
            return None
        return snapshot.tally(read, _rule(step))

    def _pass(
        self, read: Read, told: Tally, snapshot: SourceSnapshot, way: WayOfReading, progress: Progress, origin: Origin
    ) -> Prepared:
        staging.check_fits(read, told.unrepresentable)
        with spark_errors(self.location):
            found = passing(self.session, snapshot, read, way, self._parts(way), told.rows)
        self._passing.append(found)
        staged = Staged(found.view, None, _names(read), told.rows, 0, origin, progress, passing=found)
        return Prepared(told.rows, 0, told.highest, told.above, told.unrepresentable, handle=staged)

    def _stage(
        self, step: Step, read: Read, snapshot: SourceSnapshot, way: WayOfReading, progress: Progress, origin: Origin
    ) -> Prepared:
        merged = step.write.keys if isinstance(step.write, Merge) else ()
        rule = _rule(step)
        self._area.sweep(self.session)
        folder = self._area.new_folder()
        try:
            with spark_errors(self.location):
                with stoppable(self.session.spark, progress):
                    staging.write(self.session, folder, read, snapshot, way, self._parts(way))
                failpoints.hit("engine.after_read")
                with stoppable(self.session.spark, progress):
                    relation = staging.relation(folder)
                    facts = staging.ask(self.session, relation, read, step.unproven, rule, bounded=merged[:1])
                    if step.unproven:
                        staging.check_keys(self.session, relation, step.unproven, facts)
            unrepresentable = snapshot.unrepresentable(read, facts.stats)
            staging.check_fits(read, unrepresentable)
            highest = facts.highest
            if rule is not None and facts.rows and not any(c.name == rule.column and c.exact for c in read.columns):
                highest = snapshot.highest(read, rule.column, rule.upto, rule.inclusive)
        except BaseException:
            self._area.remove(self.session, folder)
            raise
        size = self._area.bytes_of(folder)
        progress(facts.rows, size)
        staged = Staged(relation, folder, _names(read), facts.rows, size, origin, progress, _bounds(facts))
        return Prepared(facts.rows, size, highest, facts.above, unrepresentable, handle=staged)

    def _parts(self, way: WayOfReading) -> int:
        return self._settings.spark_parts or way.options.get("parts", way.parallel)

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
        assert isinstance(staging, SparkDestination)
        origin = publish.origin(aside, schema_policy, source.comment)
        with spark_errors(self.location):
            staged = publish.take_over(self.session, staging.address, aside, look, origin, progress)
        change = compare_schemas(origin.columns, look.columns, schema_policy, replace=True)
        return Prepared(staged.rows, staged.bytes, notes=change.notes, handle=staged)

    def commit(self, step: Step, prepared: Prepared, look: Look, record: CommitRecord) -> Committed:
        staged: Staged = prepared.handle
        change = _change(staged.origin, step, look)
        with spark_errors(self.location):
            writer = Writer(self.session, self.address, self._settings, step, look, change, staged, record)
            committed = writer.carry_out()
        if staged.folder is not None:
            self._area.remove(self.session, staged.folder)
        if staged.passing is not None:
            staged.passing.drop()
            self._passing.remove(staged.passing)
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
        with spark_errors(self.location):
            creation.drop(self.session, self.address)
        failpoints.hit("engine.after_drop")


def _handle(look: Look) -> Handle:
    return cast(Handle, look.handle)


def _change(origin: Origin, step: Step, look: Look) -> SchemaChange:
    return compare_schemas(origin.columns, look.columns, origin.policy, replace=isinstance(step.write, Replace))


def _rule(step: Step) -> HighestRead | None:
    return step.watermark if isinstance(step.watermark, HighestRead) else None


def _names(read: Read) -> tuple[str, ...]:
    return tuple(c.target for c in read.columns)


def _bounds(facts: Facts) -> dict[str, tuple[str, str]]:
    return {
        name.casefold(): (s.low, s.high) for name, s in facts.stats.items() if s.low is not None and s.high is not None
    }
