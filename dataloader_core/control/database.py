"""The control database: one class, whose statements live in the modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from dataloader_core.commit import CommitRecord
from dataloader_core.control import (
    answers,
    by_hand,
    claims,
    launched,
    loads,
    migrate,
    outcomes,
    people,
    reaping,
    sources,
    tables,
    why,
)
from dataloader_core.control.logins import LibpqLogin
from dataloader_core.control.notes import ControlMemory
from dataloader_core.control.pool import Pool
from dataloader_core.control.records import (
    Claim,
    HistoryEntry,
    Holder,
    LaunchedRun,
    LoadProgress,
    LoadResult,
    Outcome,
    TableStatus,
    TickResult,
    Why,
)
from dataloader_core.interfaces.control_login import ControlLogin
from dataloader_core.plan import Backfill
from dataloader_core.plugins.manager import Registry
from dataloader_core.table import SourceConfig


class ControlDatabase:
    """PostgreSQL with schema ``control``. Safe to share among threads (it holds a small pool).

    Every method is one transaction. Connection trouble is ``ControlUnavailableError``, a rule of the database
    that is broken ``IllegalChangeError``, a guarded update that finds nothing ``ClaimLostError``.

    Args:
        url: A libpq URI, whose password appears in no message, or a login (:func:`.logins.control_login`).
        application_name: What ``pg_stat_activity`` shows.
    """

    def __init__(self, url: str | ControlLogin, *, application_name: str = "dataloader", pool_size: int = 4) -> None:
        login = LibpqLogin(url) if isinstance(url, str) else url
        self._connections = Pool(login, application_name=application_name, size=pool_size)
        self._schema_is_right = False

    def __enter__(self) -> ControlDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connections.close()

    @property
    def _pool(self) -> Pool:
        # Asked once: a program that is older than the schema must not write a word into it.
        if not self._schema_is_right:
            self.check_schema()
        return self._connections

    # schema

    def migrate(self) -> Sequence[str]:
        """Apply the numbered files of ``sql/`` that are missing, in order, under a lock; their names."""
        return migrate.migrate(self._connections)

    def check_schema(self) -> None:
        """Raises SchemaVersionError where the schema is newer than this program, or not there."""
        migrate.check_schema(self._connections)
        self._schema_is_right = True

    # sources and tables

    def put_source(self, source: SourceConfig, *, replace: bool = False) -> None:
        sources.put_source(self._pool, source, replace=replace)

    def sources(self) -> Sequence[SourceConfig]:
        return sources.sources(self._pool)

    def source(self, db_config_key: str) -> SourceConfig:
        """Raises UnknownNameError."""
        return sources.source(self._pool, db_config_key)

    def register_strategies(self, registry: Registry) -> None:
        """Let rows name the strategies that are installed here, and know what each needs of its row."""
        sources.register_strategies(self._pool, registry)

    def source_memory(self, db_config_key: str, *, read_only: bool = False) -> ControlMemory:
        """Where this source's sessions remember what they noted."""
        return ControlMemory(lambda: self._pool, db_config_key, read_only=read_only)

    def rows(self, control_keys: Sequence[str] | None = None) -> Mapping[str, Mapping[str, Any]]:
        """Whole rows of ``table_control`` by control key, as plain values."""
        return tables.rows(self._pool, control_keys)

    def apply_rows(
        self,
        inserts: Sequence[Mapping[str, Any]],
        updates: Mapping[str, Mapping[str, Any]],
        *,
        change_source: str = "apply",
        dry_run: bool = False,
    ) -> None:
        """Insert and update rows of ``table_control``, all or nothing.

        ``dry_run``: let every rule judge, then take everything back.
        """
        tables.apply_rows(self._pool, inserts, updates, change_source=change_source, dry_run=dry_run)

    def completed_backfills(self, control_keys: Sequence[str]) -> frozenset[str]:
        """Those of these tables whose newest change of strategy is the end of a backfill (``backfill_complete``)."""
        return answers.completed_backfills(self._pool, control_keys)

    # claiming

    def tick(
        self,
        holder: Holder,
        *,
        limit: int = 10,
        per_run: int = 12,
        strategies_alone: Sequence[str] = ("chunked_backfill",),
        check_row: Callable[[Claim], str | None] | None = None,
    ) -> TickResult:
        """Claim what is due. ``check_row`` says why a row cannot be loaded (its strategy's own options), or None."""
        return claims.tick(
            self._pool,
            holder,
            limit=limit,
            per_run=per_run,
            strategies_alone=strategies_alone,
            check_row=check_row,
        )

    def claim_by_hand(self, control_key: str, holder: Holder, *, full: bool = False) -> Claim | None:
        """Claim one table now, whatever its schedule; None while its source is at its limit.

        Raises:
            UnknownNameError: no such table.
            IllegalChangeError: it is claimed; names the holder.
        """
        return by_hand.claim_by_hand(self._pool, control_key, holder, full=full)

    def peek(self, control_key: str) -> Claim:
        """The claim that a load would get if it were claimed now; nothing is written. For ``plan``.

        Raises:
            UnknownNameError: no such table.
        """
        return claims.peek(self._pool, control_key)

    def claims(self, load_ids: Sequence[UUID]) -> Sequence[Claim]:
        """The claims of these loads that still stand, in the order given."""
        return claims.claims_of(self._pool, load_ids)

    def attach_run(self, load_ids: Sequence[UUID], *, run_id: str, run_url: str | None = None) -> None:
        """Say which orchestrator's run carries these loads."""
        claims.attach_run(self._pool, load_ids, run_id, run_url)

    # what launchers started elsewhere

    def record_launch(self, run: LaunchedRun, load_ids: Sequence[UUID]) -> None:
        """A launcher has started a run elsewhere: remember it until it has ended, and link it to its loads' rows."""
        launched.record(self._pool, run, load_ids)

    def open_launches(self) -> Sequence[LaunchedRun]:
        """Runs that were launched and are not known to have ended, oldest first."""
        return launched.still_open(self._pool)

    def launch_ended(self, run: LaunchedRun) -> None:
        launched.ended(self._pool, run)

    def launch_problem(self, run: LaunchedRun, problem: str) -> bool:
        """Remember why a launched run could not be ended; whether that is news."""
        return launched.problem(self._pool, run, problem)

    def forget_old_launches(self) -> int:
        """Remove runs that ended 30 days ago, or have been asked for in vain for 60; how many."""
        return launched.forget_old(self._pool)

    # one load, guarded

    def start(self, claim: Claim, holder: Holder, *, row_limit: int | None = None) -> Claim:
        """Queued -> In Progress; the claim with the row's configuration and state read anew.

        ``row_limit`` is the environment's own; the history says which limit the load had.
        """
        return loads.start(self._pool, claim, holder, row_limit=row_limit)

    def heartbeat(self, progress: Mapping[UUID, LoadProgress | None]) -> frozenset[UUID]:
        """Renew the heartbeats of these loads; the ids of those that still hold their claim."""
        return loads.heartbeat(self._pool, progress)

    def raise_load_seq(self, claim: Claim, past: int) -> Claim:
        """Restored control database: ``load_seq`` becomes ``past + 1000``; the claim with it, never closed before."""
        return loads.raise_load_seq(self._pool, claim, past)

    def record_recovery(
        self, claim: Claim, *, committed_version: int, found: CommitRecord | None, apply: bool, forget: bool = False
    ) -> Claim:
        """Write what recovery found, before planning.

        ``found`` is this row's newest data commit; with ``apply`` its watermark, backfill progress, ``becomes`` and
        the end of its ``load_full`` are taken over, and its own history row says ``recovered_by``. ``forget``: an
        ordered ``load_full`` has begun, so that watermark and progress are true no more, also if it is withdrawn.

        Returns:
            The claim as it is then.

        Raises:
            RowChangedError: somebody changed the row's configuration or watermark meanwhile.
        """
        return outcomes.record_recovery(self._pool, claim, committed_version, found, apply=apply, forget=forget)

    def dispute(self, claim: Claim, version: int) -> None:
        """Remember that a load was refused over the watermark of this commit."""
        loads.dispute(self._pool, claim, version)

    def writing(self, claim: Claim) -> None:
        """The load is about to write to its destination for the first time: from here its claim stays open."""
        loads.writing(self._pool, claim)

    def store_backfill(self, claim: Claim, backfill: Backfill, staging: str | None = None) -> Claim:
        """A backfill begins: its boundaries and watermark, before the first chunk; the claim as it is then.

        ``staging`` names the table that its chunks gather in; it is remembered until it is dropped.
        """
        return outcomes.store_backfill(self._pool, claim, backfill, staging)

    def forget_staging(self, claim: Claim, name: str) -> None:
        """A staging table is gone."""
        outcomes.forget_staging(self._pool, claim, name)

    def record_commit(self, claim: Claim, record: CommitRecord, *, rows: int, bytes: int) -> Claim:
        """A step that is not the last has committed (a chunk); the claim as it is then."""
        return outcomes.record_commit(self._pool, claim, record, rows=rows, bytes=bytes)

    def succeed(self, claim: Claim, record: CommitRecord | None, result: LoadResult) -> None:
        """In Progress -> Succeeded. ``record`` is the load's last commit, None where nothing was committed."""
        outcomes.succeed(self._pool, claim, record, result)

    def fail(self, claim: Claim, message: str, *, log: str | None = None, cancelled: bool = False) -> None:
        """Queued or In Progress -> Failed. ``log`` goes to the history only and may name rows' values."""
        loads.fail(self._pool, claim, message, log=log, cancelled=cancelled)

    # people and monitors

    def cancel(self, control_key: str, *, message: str) -> None:
        people.cancel(self._pool, control_key, message)

    def reset(self, control_key: str) -> None:
        """Failed -> NULL, due now."""
        people.reset(self._pool, control_key)

    def order_full(self, control_key: str) -> None:
        people.order_full(self._pool, control_key)

    def adopt(self, control_key: str, *, from_uid: UUID | None) -> None:
        """Take over another row's destination, with the identity in it, or only an unowned one."""
        people.adopt(self._pool, control_key, from_uid)

    def reap_lost_loads(self, run_is_alive: Callable[[str], bool | None], instance: str | None = None) -> Sequence[str]:
        """Fail the loads that nobody runs any more; their control keys.

        ``run_is_alive`` answers for an orchestrator's run id: True (also while it waits in a queue), False (ended or
        unknown to it), None (cannot be asked here). A claim whose run has not called :meth:`attach_run` yet is
        asked for by its load id, as text: the run that carries it may still wait in a queue. It is not asked for
        claims of another ``instance`` of the orchestrator than this one.
        """
        return reaping.reap_lost_loads(self._pool, run_is_alive, instance)

    def fail_unreported(self, run_id: str, message: str) -> Sequence[str]:
        """A run has ended: whatever it carried and did not report is Failed; their control keys."""
        return reaping.fail_unreported(self._pool, run_id, message)

    def status(self, control_keys: Sequence[str] | None = None) -> Sequence[TableStatus]:
        return answers.status(self._pool, control_keys)

    def history(self, control_key: str, *, limit: int = 20) -> Sequence[HistoryEntry]:
        return answers.history(self._pool, control_key, limit)

    def ended_loads(self, load_ids: Sequence[UUID]) -> Sequence[Outcome]:
        """How those of these loads ended that have ended, for whoever did not hear it from the load itself."""
        return answers.ended_loads(self._pool, load_ids)

    def why(self, control_key: str) -> Why:
        return why.why(self._pool, control_key)
