"""One load of one table, from a started claim to its last commit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from dataloader_core.commit import Look
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.records import Claim, LoadProgress, LoadResult
from dataloader_core.errors import DataLoaderError
from dataloader_core.failpoints import hit
from dataloader_core.interfaces.engine import Engine
from dataloader_core.loading.context import LoadContext
from dataloader_core.loading.fencing import settle
from dataloader_core.loading.patience import patiently
from dataloader_core.loading.source_access import SourceAccess
from dataloader_core.loading.steps import ReadStep, Steps
from dataloader_core.planning import make_plan
from dataloader_core.plugins.manager import Registry
from dataloader_core.table import LoadState, TableConfig

log = logging.getLogger(__name__)


class TableLoad:
    """Opens source and destination, settles what is true, plans; then its steps are read and committed.

    Args:
        claim: As ``ControlDatabase.start`` returned it.
        row_limit: The environment's trial limit, on top of the table's own.
        stop: Raises when the load has to end; asked often.
        progress: Told where the load is.
    """

    def __init__(
        self,
        claim: Claim,
        control: ControlDatabase,
        registry: Registry,
        engine: Engine,
        access: SourceAccess,
        *,
        row_limit: int | None,
        stop: Callable[[], None],
        progress: Callable[[LoadProgress], None],
    ) -> None:
        self._scope = ExitStack()
        self.context = LoadContext(claim, control, registry, engine, stop, progress, self._scope)
        self._access = access
        self._row_limit = row_limit
        self._before = claim.watermark
        self._steps: Steps | None = None

    def open(self) -> None:
        """Everything before the first row: connect, look, fence, recover, plan.

        Raises:
            DataLoaderError: at most a fence was committed; nothing of the table's rows has changed.
        """
        load, table = self.context, self.context.claim.table
        name = f"dataloader {table.control_key} #{load.claim.load_seq}"
        session = self._scope.enter_context(self._access.session(name))
        source = session.describe(table.relation, table.columns, table.on_unrepresentable)
        target = load.destination(table.destination_table_name)
        look = settle(load, target, source)
        load.note(*target.register(look))
        load.stop()
        # recovery may have brought the table further: a finished backfill makes it another strategy's
        self._before = load.claim.watermark
        table = with_row_limit(load.claim.table, self._row_limit)
        plan, source = make_plan(load.registry, session, table, load_state(load.claim, look))
        hit("load.after_plan")
        load.note(*plan.notes)
        self._steps = Steps(load, plan, source, session, target, look)

    def read(self) -> ReadStep | None:
        """The next step's rows, read and not yet visible; None when all is done."""
        assert self._steps is not None, "open() comes first"
        return self._steps.read()

    def commit(self, ready: ReadStep) -> None:
        """One commit: these rows and the watermark that becomes true with them."""
        assert self._steps is not None, "open() comes first"
        self._steps.commit(ready)

    def result(self) -> LoadResult:
        assert self._steps is not None, "open() comes first"
        steps, claim = self._steps, self.context.claim
        record = steps.last_record
        return LoadResult(
            rows=steps.totals.rows,
            rows_deleted=steps.totals.deleted,
            bytes=steps.totals.bytes,
            watermark_before=self._before,
            watermark_after=record.watermark if record else claim.watermark,
            committed_version=record.version if record else None,
            table_version=steps.totals.table_version,
            skipped=not steps.plan.steps,
            becomes=steps.plan.becomes,
            notes=tuple(self.context.notes),
        )

    def hand_over(self) -> LoadResult:
        """Tell the control database; then what only this load needed may go.

        Raises:
            ClaimLostError: somebody else ended the claim. What was committed stays true and is found by the next load.
        """
        assert self._steps is not None, "open() comes first"
        result, record = self.result(), self._steps.last_record
        hit("load.before_succeed")
        patiently(lambda: self.context.control.succeed(self.context.claim, record, result), lambda: None)
        hit("load.after_succeed")
        for name in self.context.claim.staging_tables:
            self._drop_staging(name)
        return result

    def _drop_staging(self, name: str) -> None:
        """A table that loads well needs no staging table any more, whichever backfill made it."""
        try:
            self.context.destination(name).drop(self.context.claim.table.table_uid)
            self.context.control.forget_staging(self.context.claim, name)
        except DataLoaderError as error:
            # it is still remembered, and its name is used by no other backfill
            log.warning("the staging table %s could not be dropped: %s", name, error)

    def close(self) -> None:
        """Close sessions and delete files that were not committed. Safe to call at any time; raises nothing."""
        try:
            self._scope.close()
        except Exception:  # the load has ended as it has; what could not be cleaned up is named by no commit
            log.warning("after the load of %s not all could be closed", self.context.claim.control_key, exc_info=True)


def with_row_limit(table: TableConfig, limit: int | None) -> TableConfig:
    """The table with the environment's trial limit, where that is lower than its own."""
    if limit is None:
        return table
    return replace(table, row_limit=min(limit, table.row_limit or limit))


def load_state(claim: Claim, look: Look) -> LoadState:
    return LoadState(
        load_seq=claim.load_seq,
        watermark=claim.watermark,
        load_full=claim.load_full,
        backfill=claim.backfill,
        has_rows=look.has_rows,
    )
