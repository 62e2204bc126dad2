"""What passes between the control database and everybody else: claims, outcomes, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from dataloader_core.plan import Backfill
from dataloader_core.table import SourceConfig, TableConfig

Status = Literal["Queued", "In Progress", "Succeeded", "Failed"]


@dataclass(frozen=True)
class Holder:
    """Who holds a claim: enough to find out whether it still lives, and to tell a person.

    ``kind`` is ``dagster`` (``run_id`` names the run), ``worker`` or ``hand`` (``host``, ``pid`` and
    ``process_started`` name a process; a pid alone may be somebody else's by now). ``instance`` is the orchestrator's
    instance: another one cannot know whether a run of it is over.
    """

    kind: Literal["dagster", "worker", "hand"]
    host: str
    pid: int
    process_started: float | None = None
    run_id: str | None = None
    user: str | None = None
    instance: str | None = None

    def describe(self) -> str:
        if self.kind == "dagster":
            return f"Dagster run {self.run_id or '(not yet started)'}"
        return f"process {self.pid} on {self.host}" + (f" of {self.user}" if self.user else "")


@dataclass(frozen=True)
class Claim:
    """One claimed load of one table, and what was true of the table when it was claimed or started.

    Every later update is guarded by ``load_seq``, ``load_id`` and the expected status.

    Attributes:
        previous_closed: The claim before this one ended where nothing of it can still commit.
        committed_version: The last commit of this row in its destination that the control database knows.
        watermark_sets: A mark that changes whenever somebody sets ``incremental_value``; a commit carries it, so that
            a value set meanwhile is noticed. Marks of different histories of the control database differ.
        load_full_orders: A mark that changes whenever ``load_full`` is ordered, likewise.
        disputed_version: The commit whose watermark could not be applied when a load was refused over it.
        disputed_sets: ``watermark_sets`` at that refusal; another mark now is the order to go on.
        staging_tables: Names of staging tables of this row's backfills that may still be there.
        adopt_unowned: ``adopt`` was ordered for a destination that belongs to nobody. (The destination of another
            row is adopted by taking over its ``table_uid``, so nothing more has to be known of it.)
    """

    table: TableConfig
    source: SourceConfig
    config_id: int
    load_seq: int
    load_id: UUID
    history_id: int
    fingerprint: str
    previous_closed: bool
    holder: Holder
    committed_version: int | None = None
    watermark: str | None = None
    watermark_sets: int = 0
    load_full: bool = False
    load_full_orders: int = 0
    backfill: Backfill | None = None
    disputed_version: int | None = None
    disputed_sets: int | None = None
    run_id: str | None = None
    adopt_unowned: bool = False
    staging_tables: tuple[str, ...] = ()

    @property
    def control_key(self) -> str:
        return self.table.control_key


@dataclass(frozen=True)
class ClaimFailure:
    """A row that could not be claimed because of itself (a bad cron, unknown options); it is Failed now."""

    control_key: str
    reason: str


@dataclass(frozen=True)
class TickResult:
    """What one tick of a sensor or worker claimed: batches of one source each, ready to run."""

    batches: Sequence[Sequence[Claim]]
    failures: Sequence[ClaimFailure] = ()


@dataclass(frozen=True)
class LoadResult:
    """What a load did, for the control row, the history row and the assets' metadata.

    ``watermark_before`` and ``watermark_after`` are texts. ``skipped``: there was nothing to do.
    ``committed_version`` and ``table_version``: None where nothing was committed.
    """

    rows: int = 0
    rows_deleted: int = 0
    bytes: int = 0
    watermark_before: str | None = None
    watermark_after: str | None = None
    committed_version: int | None = None
    table_version: int | None = None
    skipped: bool = False
    becomes: str | None = None
    notes: Sequence[str] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How the load of one table ended; plain enough to be a message of a run.

    ``status`` is ``Succeeded``, ``Failed``, ``Cancelled`` or ``Lost`` (somebody else ended the claim; nothing was
    written to the control database). ``message`` holds no secret and no row's value.
    """

    control_key: str
    load_id: UUID
    status: Literal["Succeeded", "Failed", "Cancelled", "Lost"]
    message: str
    destination: str
    duration_seconds: float
    result: LoadResult | None = None
    error_class: str | None = None
    transient: bool = False


@dataclass(frozen=True)
class LoadProgress:
    """Where a running load is, written with its heartbeat."""

    step: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class LaunchedRun:
    """What a launcher started elsewhere for an orchestrator's run; the launcher finds it again by its ``reference``.

    ``instance``: the orchestrator's, which alone may judge whether the run is over; None where it could not be known.
    """

    run_id: str
    launcher: str
    reference: str
    url: str | None = None
    instance: str | None = None


@dataclass(frozen=True)
class TableStatus:
    """One row of ``dataloader status``."""

    control_key: str
    db_config_key: str
    destination: str
    load_strategy: str
    is_active: bool
    last_status: str | None
    last_status_message: str | None
    last_load_date_time: datetime | None
    next_load_date_time: datetime | None
    incremental_value: str | None
    retry_count: int
    rows_processed: int | None
    progress: LoadProgress | None = None
    holder: str | None = None
    started_at: datetime | None = None
    row_limit: int | None = None


@dataclass(frozen=True)
class HistoryEntry:
    """One load in ``historical_metadata``."""

    id: int
    control_key: str
    load_seq: int | None
    run_id: str | None
    load_status: str | None
    load_strategy: str | None
    load_queued_time: datetime | None
    load_start_time: datetime | None
    load_end_time: datetime | None
    total_duration: float | None
    rows_processed: int | None
    bytes_processed: int | None
    watermark_before: str | None
    watermark_after: str | None
    log_message: str | None
    recovered_by: UUID | None = None


@dataclass(frozen=True)
class Why:
    """Why a table is not being loaded now. ``code`` is stable for scripts, ``reason`` is for people.

    Codes: ready, inactive, not_due, by_hand, queued, running, failed, bad_row, source_missing, source_disabled,
    source_limit, backfill_ahead, no_tick.
    """

    control_key: str
    code: str
    reason: str
    cure: str | None = None
    until: datetime | None = None
