"""Carrying out a plan: read a step, commit it, say so; one commit a step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from dataloader_core.commit import CommitRecord, Look, version_of
from dataloader_core.control.records import LoadProgress
from dataloader_core.errors import (
    ClaimLostError,
    DestinationRefusedError,
    DestinationUnavailableError,
    RivalCommitError,
)
from dataloader_core.failpoints import hit
from dataloader_core.interfaces.engine import Committed, Destination, Prepared
from dataloader_core.interfaces.source import SourceSession
from dataloader_core.loading.context import LOOKS, LoadContext
from dataloader_core.loading.patience import patiently
from dataloader_core.loading.recovery import Finding, fence_record, staging_name
from dataloader_core.loading.ways import choose_way
from dataloader_core.plan import FixedWatermark, HighestRead, LoadPlan, Step, WatermarkRule
from dataloader_core.table import SourceTable

log = logging.getLogger(__name__)


@dataclass
class ReadStep:
    """A step whose rows are read and wait to be committed. ``again`` reads them anew for another look."""

    number: int
    step: Step
    where: Destination
    look: Look
    prepared: Prepared
    again: Callable[[Look], Prepared]
    scope: ExitStack


@dataclass
class Totals:
    """What the committed steps add up to."""

    rows: int = 0
    deleted: int = 0
    bytes: int = 0
    table_version: int | None = None

    def add(self, step: Step, committed: Committed) -> None:
        """Publishing a staging table writes rows that were counted when they were read."""
        if step.read is not None:
            self.rows += committed.rows_written
            self.bytes += committed.bytes
        self.deleted += committed.rows_deleted
        self.table_version = committed.table_version


class Steps:
    """The steps of one plan, in order: :meth:`read` then :meth:`commit`, until ``read`` gives None."""

    def __init__(
        self,
        load: LoadContext,
        plan: LoadPlan,
        source: SourceTable,
        session: SourceSession,
        target: Destination,
        settled: Look,
    ) -> None:
        self.load = load
        self.plan = plan
        self.source = source
        self.session = session
        self.target = target
        self._settled: Look | None = settled
        self.totals = Totals()
        self.last_record: CommitRecord | None = None
        self._remaining: Iterator[tuple[int, Step]] = iter(enumerate(plan.steps, start=1))
        self._store_beginning()

    def _store_beginning(self) -> None:
        """A backfill's boundaries and watermark are stored before its first chunk is read."""
        progress = self.plan.steps[0].progress if self.plan.steps else None
        if progress is not None and (self.load.claim.backfill is None or self.plan.load_full):
            staging = staging_name(self.load.claim.table, progress) if progress.publish == "at_end" else None
            beginning = replace(progress, done=0)
            self.load.claim = self.load.control.store_backfill(self.load.claim, beginning, staging)

    def read(self) -> ReadStep | None:
        """Read the next step's rows. Nothing of them can be seen yet."""
        number, step = next(self._remaining, (0, None))
        if step is None:
            return None
        self.load.stop()
        self._report(step, 0, 0)
        where = self._where(step)
        look = self._look(where)
        with ExitStack() as scope:
            again = self._reader(step, where, scope)
            prepared = again(look)
            hit("load.after_read")
            return ReadStep(number, step, where, look, prepared, again, scope.pop_all())

    def _look(self, where: Destination) -> Look:
        """The target's first step goes by the look that the plan was made from; its commit notices what came since."""
        settled, self._settled = self._settled, None
        return settled if settled is not None and where is self.target else self.load.look_at_base(where)

    def _reader(self, step: Step, where: Destination, scope: ExitStack) -> Callable[[Look], Prepared]:
        policy = self.load.claim.table.schema_policy

        def progress(rows: int, size: int) -> None:
            self.load.stop()
            self._report(step, rows, size)

        if step.read is None:
            assert step.progress is not None
            staging = self.load.staging_of(step.progress)
            aside = self.load.look(staging)
            return lambda look: where.prepare_from(step, self.source, staging, aside, look, policy, progress)
        snapshot = scope.enter_context(self.session.snapshot())
        way = choose_way(self.load.engine, snapshot.ways(step.read), self.load.claim.table.way_of_reading)
        return lambda look: where.prepare(step, self.source, snapshot, way, look, policy, progress)

    def _where(self, step: Step) -> Destination:
        if not step.staged:
            return self.target
        assert step.progress is not None
        staging = self.load.staging_of(step.progress)
        if staging.location not in self.load.base:
            self._enter_staging(staging)
        return staging

    def _enter_staging(self, staging: Destination) -> None:
        look = self.load.look(staging)
        if not look.exists:
            self.load.about_to_write()
            hit("load.before_create")
            staging.create(self.source, fence_record(self.load.claim, Finding(), self.load.claim.run_id))
            look = self.load.look(staging)
        if look.owner != self.load.claim.table.table_uid:
            raise DestinationRefusedError(
                f"{staging.location}, where the chunks of this backfill would gather, belongs to "
                f"{look.owner or 'nobody'}, not to {self.load.claim.control_key}.",
                cure="Move or drop that table.",
            )
        known = max(self.load.claim.committed_version or 0, version_of(self.load.claim.load_seq, 0))
        if look.app_version is not None and look.app_version > known:
            raise ClaimLostError(f"{staging.location} was fenced by a newer load of {self.load.claim.control_key}.")
        self.load.base[staging.location] = look.app_version

    def commit(self, ready: ReadStep) -> None:
        """Make what was read visible, in one commit, and tell the control database where that is not the end."""
        last = ready.number == len(self.plan.steps)
        record = self._record(ready, last)
        with ready.scope:
            committed = self._commit(ready, record)
        self.last_record = record
        self.totals.add(ready.step, committed)
        self.load.note(*ready.prepared.notes, *committed.notes, *self._findings(ready.prepared))
        if last:
            return
        hit("load.before_record_commit")
        self.load.claim = patiently(
            lambda: self.load.control.record_commit(
                self.load.claim, record, rows=committed.rows_written, bytes=committed.bytes
            ),
            self.load.stop,
        )

    def _commit(self, ready: ReadStep, record: CommitRecord) -> Committed:
        """Commit through a look at which the app's version is the plan's own, however often others commit between."""
        self.load.about_to_write()
        where, look = ready.where, ready.look
        for _ in range(LOOKS):
            self.load.stop()
            self.load.refuse_problems(look)
            try:
                hit("load.before_commit")
                committed = where.commit(ready.step, ready.prepared, look, record)
            except (RivalCommitError, DestinationUnavailableError) as error:
                log.info("commit of %s: %s", self.load.claim.control_key, error)
                before, look = look, where.look(self.load.claim.table.table_uid)
                if _is_there(look, record):
                    committed = _landed(ready.prepared, look)
                else:
                    self.load.must_be_base(where, look)
                    if isinstance(error, DestinationUnavailableError):
                        raise
                    if look.columns != before.columns:
                        ready.prepared = ready.again(look)
                    continue
            hit("load.after_commit")
            self.load.base[where.location] = record.version
            return committed
        raise RivalCommitError(
            f"{where.location} was changed by somebody else {LOOKS} times while this load tried to commit.",
            cure="Load it again when the other writer is done.",
        )

    def _record(self, ready: ReadStep, last: bool) -> CommitRecord:
        claim = self.load.claim
        version = version_of(claim.load_seq, ready.number)
        return CommitRecord(
            load_id=claim.load_id,
            version=version,
            table_uid=claim.table.table_uid,
            watermark=self._watermark(ready.step.watermark, ready.prepared),
            rows=ready.prepared.rows,
            fingerprint=claim.fingerprint,
            load_full=self.plan.load_full,
            backfill=ready.step.progress.to_json() if ready.step.progress else None,
            becomes=self.plan.becomes if last else None,
            data_version=version,
            run_id=claim.run_id,
            watermark_sets=claim.watermark_sets,
            load_full_orders=claim.load_full_orders,
        )

    def _watermark(self, rule: WatermarkRule, prepared: Prepared) -> str | None:
        if isinstance(rule, FixedWatermark):
            return rule.value.text if rule.value else None
        if isinstance(rule, HighestRead):
            highest = max((v for v in (rule.floor, prepared.highest) if v is not None), default=None)
            return highest.text if highest is not None else None
        return self.load.claim.watermark

    @staticmethod
    def _findings(prepared: Prepared) -> Iterator[str]:
        for found in prepared.unrepresentable:
            yield f"{found.column}: {found.rows} values ({found.kind}) became NULL"

    def _report(self, step: Step, rows: int, size: int) -> None:
        self.load.progress(LoadProgress(step.label, self.totals.rows + rows, self.totals.bytes + size))


def _is_there(look: Look, record: CommitRecord) -> bool:
    newest = look.newest
    return newest is not None and newest.load_id == record.load_id and newest.version == record.version


def _landed(prepared: Prepared, look: Look) -> Committed:
    """The commit is there; only the answer to it was lost."""
    assert look.table_version is not None
    return Committed(look.table_version, prepared.rows, 0, prepared.bytes)
