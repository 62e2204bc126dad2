"""The loader of one source: claimed tables in, outcomes out."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
from dataloader_core.control.records import Claim, LoadProgress, LoadResult, Outcome
from dataloader_core.errors import (
    ClaimLostError,
    ConfigurationError,
    ControlDatabaseError,
    ControlLoginError,
    DataLoaderError,
    LoadCancelledError,
    RowChangedError,
)
from dataloader_core.interfaces.engine import Engine
from dataloader_core.loading.heartbeat import Heartbeat
from dataloader_core.loading.patience import patiently
from dataloader_core.loading.source_access import SourceAccess, connections_of
from dataloader_core.loading.steps import ReadStep
from dataloader_core.loading.table_load import TableLoad
from dataloader_core.plugins.manager import Registry
from dataloader_core.redaction import redact_known
from dataloader_core.settings import Settings
from dataloader_core.table import SourceConfig

log = logging.getLogger(__name__)


class DataLoader:
    """Loads tables of one source, several at a time, each with an outcome of its own.

    Args:
        source: The only source whose tables it accepts.
        engine: Carries the plans out.
        pool: Tables at a time; the source's ``max_connections`` may make it fewer.
        on_outcome: Told of each table when that table ends, from the thread that loaded it.
        on_progress: Told where each load is.

    Example::

        loader = DataLoader(source, app.control, app.registry, app.settings, app.engine)
        for outcome in loader.process_tables(claims):
            print(outcome.control_key, outcome.status)
    """

    def __init__(
        self,
        source: SourceConfig,
        control: ControlDatabase,
        registry: Registry,
        settings: Settings,
        engine: Engine,
        *,
        pool: int = 12,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        on_progress: Callable[[str, LoadProgress], None] = lambda _key, _progress: None,
    ) -> None:
        self.source = source
        self._control = control
        self._registry = registry
        self._settings = settings
        self._engine = engine
        self._pool = pool
        self._on_outcome = on_outcome
        self._on_progress = on_progress
        self._access: SourceAccess | None = None
        self._access_lock = threading.Lock()
        self._cancelled = threading.Event()
        self._heartbeat: Heartbeat | None = None

    def set_connection_string(self) -> SourceAccess:
        """Resolve the source's secrets into a connection, once. It is shown to nobody.

        Raises:
            SecretError: a secret is missing or may not be used.
            ConfigurationError: the connection's fields are incomplete.
        """
        with self._access_lock:
            if self._access is None:
                self._access = SourceAccess(
                    self.source, self._registry, self._settings, self._control.source_memory(self.source.db_config_key)
                )
            return self._access

    def process_tables(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Load every claimed table; a table that fails fails alone.

        Returns:
            An outcome for each claim, in the order given. A claim of another source fails like any other table.
        """
        at_once = self._at_once(len(claims))
        with Heartbeat(self._control) as self._heartbeat, ThreadPoolExecutor(at_once, "dataloader-table") as pool:
            for claim in claims:
                self._heartbeat.add(claim.load_id)
            return list(pool.map(self._process, claims))

    def _at_once(self, tables: int) -> int:
        """How many tables the pool and the source's connections allow at a time."""
        try:
            return max(1, min(self._pool, tables, self.source.max_connections // connections_of(self.source)))
        except ConfigurationError:
            return 1  # each load says what is wrong with the source's options

    def cancel(self) -> None:
        """End all running loads as soon as they notice; they fail as cancelled."""
        self._cancelled.set()

    def load_table_from_source(self, claim: Claim) -> tuple[TableLoad, ReadStep | None]:
        """Start the claimed load, settle what is true of its destination, plan, and read its first rows.

        Nothing of the rows can be seen yet; give both to :meth:`write_to_unity_catalog`, or close the load.
        """
        holder = this_process(claim.holder.kind, run_id=claim.holder.run_id)
        started = self._control.start(claim, holder, row_limit=self._settings.row_limit)
        self._refuse_another_source(started)
        load = TableLoad(
            started,
            self._control,
            self._registry,
            self._engine,
            self.set_connection_string(),
            row_limit=self._settings.row_limit,
            stop=lambda: self._stop_if_over(started),
            progress=lambda progress: self._report(started, progress),
        )
        try:
            load.open()
            return load, load.read()
        except BaseException:
            load.close()
            raise

    def _refuse_another_source(self, claim: Claim) -> None:
        """The row may have been pointed elsewhere while it was queued; its watermark belongs to where it points now."""
        if claim.source.db_config_key != self.source.db_config_key:
            raise RowChangedError(
                f"{claim.control_key} is of source {claim.source.db_config_key!r} now; this loader is bound to "
                f"{self.source.db_config_key!r}.",
                cure="Load it again: the next load reads from there.",
            )
        if claim.source != self.source:
            raise RowChangedError(
                f"Source {self.source.db_config_key!r} was changed while {claim.control_key} was queued.",
                cure="Load it again: the next load goes by the changed source.",
            )

    def write_to_unity_catalog(self, load: TableLoad, ready: ReadStep | None) -> None:
        """Commit what was read, and whatever the plan has beyond its first step."""
        while ready is not None:
            load.commit(ready)
            ready = load.read()

    def _process(self, claim: Claim) -> Outcome:
        ended = partial(_outcome, claim, time.monotonic())
        try:
            self._stop_if_over(claim)
            load, ready = self.load_table_from_source(claim)
            try:
                self.write_to_unity_catalog(load, ready)
                result = load.hand_over()
            finally:
                load.close()
            outcome = ended("Succeeded", _in_one_line(result.notes), result=result)
        except ClaimLostError as error:
            outcome = ended("Lost", _safe(error), error=error)
        except Exception as error:  # noqa: BLE001  # whatever it was, this table alone fails, and says so
            outcome = self._failed(claim, error, ended)
        finally:
            if self._heartbeat is not None:
                self._heartbeat.remove(claim.load_id)
        self._tell(outcome)
        return outcome

    def _tell(self, outcome: Outcome) -> None:
        try:
            self._on_outcome(outcome)
        except Exception:  # whoever listens may be gone; the control database has been told
            log.exception("the outcome of %s could not be passed on", outcome.control_key)

    def _failed(self, claim: Claim, error: Exception, ended: Callable[..., Outcome]) -> Outcome:
        cancelled = isinstance(error, LoadCancelledError)
        message = _safe(error)
        if not isinstance(error, DataLoaderError):
            where = traceback.extract_tb(error.__traceback__)[-1:]
            log.error("load of %s failed at %s: %s", claim.control_key, where, message)
        samples = error.samples if isinstance(error, DataLoaderError) else ()
        details = redact_known(f"Values: {', '.join(samples)}") if samples else None
        try:
            patiently(
                lambda: self._control.fail(claim, message, log=details, cancelled=cancelled),
                lambda: None,
            )
        except ClaimLostError as lost:
            return ended("Lost", _safe(lost), error=lost)
        except (ControlDatabaseError, ControlLoginError) as unavailable:
            message = f"{message} (and the control database could not be told: {unavailable})"
        return ended("Cancelled" if cancelled else "Failed", message, error=error)

    def _stop_if_over(self, claim: Claim) -> None:
        if self._cancelled.is_set():
            raise LoadCancelledError(f"The load of {claim.control_key} was cancelled.")
        if self._heartbeat is not None and self._heartbeat.lost(claim.load_id):
            raise ClaimLostError(f"The load of {claim.control_key} no longer holds its claim; somebody ended it.")

    def _report(self, claim: Claim, progress: LoadProgress) -> None:
        if self._heartbeat is not None:
            self._heartbeat.tell(claim.load_id, progress)
        self._on_progress(claim.control_key, progress)


def _in_one_line(notes: Sequence[str]) -> str:
    """Notes are sentences, some without a full stop."""
    return "; ".join([*(note.rstrip(".") for note in notes[:-1]), *notes[-1:]])


def _safe(error: Exception) -> str:
    """What may leave this process: whatever was resolved as a secret is masked, whichever field it was for."""
    return redact_known(str(error) if isinstance(error, DataLoaderError) else f"{type(error).__name__}: {error}")


def _outcome(
    claim: Claim,
    began: float,
    status: Literal["Succeeded", "Failed", "Cancelled", "Lost"],
    message: str,
    *,
    result: LoadResult | None = None,
    error: Exception | None = None,
) -> Outcome:
    return Outcome(
        control_key=claim.control_key,
        load_id=claim.load_id,
        status=status,
        message=message,
        destination=claim.table.destination,
        duration_seconds=time.monotonic() - began,
        result=result,
        error_class=type(error).__name__ if error is not None else None,
        transient=isinstance(error, DataLoaderError) and error.transient,
    )
