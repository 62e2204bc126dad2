"""The control database: one class, whose statements live in the modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from dataloader_core.commit import CommitRecord
from dataloader_core.control.records import (
    Claim,
    HistoryEntry,
    Holder,
    LoadProgress,
    LoadResult,
    TableStatus,
    TickResult,
    Why,
)
from dataloader_core.plan import Backfill
from dataloader_core.table import SourceConfig


class ControlDatabase:
    """PostgreSQL with schema ``control``. Safe to share among threads (it holds a small pool).

    Every method is one transaction. Connection trouble is ``ControlUnavailableError``, a rule of the database
    that is broken ``IllegalChangeError``, a guarded update that finds nothing ``ClaimLostError``.

    Args:
        url: A libpq URI. The password in it appears in no message.
        application_name: What ``pg_stat_activity`` shows.
    """

    def __init__(self, url: str, *, application_name: str = "dataloader", pool_size: int = 4) -> None: ...

    def close(self) -> None: ...

    # schema

    def migrate(self) -> Sequence[str]:
        """Apply the numbered files of ``sql/`` that are missing, in order, under a lock; their names."""
        raise NotImplementedError

    def check_schema(self) -> None:
        """Raises SchemaVersionError where the schema is newer than this program, or not there."""
        raise NotImplementedError

    # sources and tables

    def put_source(self, source: SourceConfig, *, replace: bool = False) -> None:
        raise NotImplementedError

    def sources(self) -> Sequence[SourceConfig]:
        raise NotImplementedError

    def source(self, db_config_key: str) -> SourceConfig:
        """Raises UnknownNameError."""
        raise NotImplementedError

    def rows(self, control_keys: Sequence[str] | None = None) -> Mapping[str, Mapping[str, Any]]:
        """Whole rows of ``table_control`` by control key, as plain values."""
        raise NotImplementedError

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
        raise NotImplementedError

    def completed_backfills(self, control_keys: Sequence[str]) -> frozenset[str]:
        """Those of these tables whose newest change of ``load_strategy`` is the end of a backfill (``backfill_complete``)."""
        raise NotImplementedError

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
        raise NotImplementedError

    def claim_by_hand(self, control_key: str, holder: Holder, *, full: bool = False) -> Claim | None:
        """Claim one table now, whatever its schedule; None while its source is at its limit.

        Raises:
            UnknownNameError: no such table.
            IllegalChangeError: it is claimed; names the holder.
        """
        raise NotImplementedError

    def claims(self, load_ids: Sequence[UUID]) -> Sequence[Claim]:
        """The claims of these loads that still stand, in the order given."""
        raise NotImplementedError

    def attach_run(self, load_ids: Sequence[UUID], *, run_id: str, run_url: str | None = None) -> None:
        """Say which orchestrator's run carries these loads."""
        raise NotImplementedError

    # one load, guarded

    def start(self, claim: Claim, holder: Holder) -> Claim:
        """Queued -> In Progress; the claim with the row's configuration and state read anew."""
        raise NotImplementedError

    def heartbeat(self, progress: Mapping[UUID, LoadProgress | None]) -> frozenset[UUID]:
        """Renew the heartbeats of these loads; the ids of those that still hold their claim."""
        raise NotImplementedError

    def raise_load_seq(self, claim: Claim, past: int) -> Claim:
        """Restored control database: ``load_seq`` becomes ``past + 1000``; the claim with it, never closed before."""
        raise NotImplementedError

    def record_recovery(
        self, claim: Claim, *, committed_version: int, found: CommitRecord | None, apply: bool
    ) -> Claim:
        """Write what recovery found, before planning.

        ``found`` is this row's newest data commit; with ``apply`` its watermark, backfill progress, ``becomes`` and
        the end of its ``load_full`` are taken over, and its own history row says ``recovered_by``. The claim as it is then.
        """
        raise NotImplementedError

    def dispute(self, claim: Claim, version: int) -> None:
        """Remember that a load was refused over the watermark of this commit."""
        raise NotImplementedError

    def writing(self, claim: Claim) -> None:
        """The load is about to write to its destination for the first time: from here its claim stays open."""
        raise NotImplementedError

    def store_backfill(self, claim: Claim, backfill: Backfill) -> Claim:
        """A backfill begins: its boundaries and watermark, before the first chunk; the claim as it is then."""
        raise NotImplementedError

    def record_commit(self, claim: Claim, record: CommitRecord, *, rows: int, bytes: int) -> Claim:
        """A step that is not the last has committed (a chunk); the claim as it is then."""
        raise NotImplementedError

    def succeed(self, claim: Claim, record: CommitRecord | None, result: LoadResult) -> None:
        """In Progress -> Succeeded. ``record`` is the load's last commit, None where nothing was committed."""
        raise NotImplementedError

    def fail(self, claim: Claim, message: str, *, log: str | None = None, cancelled: bool = False) -> None:
        """Queued or In Progress -> Failed. ``log`` goes to the history only and may name rows' values."""
        raise NotImplementedError

    # people and monitors

    def cancel(self, control_key: str, *, message: str) -> None:
        raise NotImplementedError

    def reset(self, control_key: str) -> None:
        """Failed -> NULL, due now."""
        raise NotImplementedError

    def order_full(self, control_key: str) -> None:
        raise NotImplementedError

    def adopt(self, control_key: str, *, from_uid: UUID | None) -> None:
        """Take over another row's destination, with the identity in it, or only an unowned one."""
        raise NotImplementedError

    def reap_lost_loads(self, run_is_alive: Callable[[str], bool | None]) -> Sequence[str]:
        """Fail the loads that nobody runs any more; their control keys.

        ``run_is_alive`` answers for an orchestrator's run id: True (also while it waits in a queue), False (ended or
        unknown to it), None (cannot be asked here).
        """
        raise NotImplementedError

    def fail_unreported(self, run_id: str, message: str) -> Sequence[str]:
        """A run has ended: whatever it carried and did not report is Failed; their control keys."""
        raise NotImplementedError

    def status(self, control_keys: Sequence[str] | None = None) -> Sequence[TableStatus]:
        raise NotImplementedError

    def history(self, control_key: str, *, limit: int = 20) -> Sequence[HistoryEntry]:
        raise NotImplementedError

    def why(self, control_key: str) -> Why:
        raise NotImplementedError
