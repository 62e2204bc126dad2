"""``dataloader run``: a worker that claims what is due and loads it, without Dagster."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dataloader_core.cli.command import command
from dataloader_core.cli.exit_codes import ExitCode
from dataloader_core.cli.render import Output
from dataloader_core.errors import ControlLoginError, ControlUnavailableError, UnknownNameError

if TYPE_CHECKING:
    from dataloader_core.app import App
    from dataloader_core.cli.loads import Loads
    from dataloader_core.control.records import Claim, ClaimFailure, Outcome


def register(app: typer.Typer) -> None:
    command(app, "run")(run)


def run(
    out: Output,
    once: Annotated[bool, typer.Option("--once", help="Load what is due now, then end.")] = False,
    interval: Annotated[float, typer.Option(min=1, help="Seconds between two ticks.")] = 60.0,
) -> None:
    """Claim what is due and load it, again and again: a worker without Dagster.

    Each tick first fails loads that nobody runs any more. Ctrl-C ends the loads as cancelled. With --once the
    exit code says whether all loads succeeded.
    """
    from dataloader_core.cli.loads import Loads, stopped_by_signals
    from dataloader_core.cli.progress import ProgressView
    from dataloader_core.cli.session import opened

    if out.as_json and not once:
        raise UnknownNameError("use of --json", "run without --once", ["run --once"], cure="An endless run has no end.")
    with opened() as dataloader:
        _ = dataloader.engine
        with ProgressView(out) as view:
            loads = Loads(dataloader, view)
            worker = Worker(out, dataloader, loads)
            with stopped_by_signals(loads, out):
                worker.once() if once else worker.forever(interval)
    out.document({"outcomes": worker.outcomes, "failed_rows": worker.failures, "reaped": worker.reaped})
    if once:
        done = sum(outcome.status == "Succeeded" for outcome in worker.outcomes)
        out.say(f"{done} of {len(worker.outcomes) + len(worker.failures)} tables loaded that were due.")
    code = _exit_code(worker, cancelled=loads.cancelled.is_set(), once=once)
    if code:
        raise typer.Exit(code)


class Worker:
    """Ticks and loads. ``outcomes``, ``failures`` and ``reaped`` are kept for ``--once`` only."""

    def __init__(self, out: Output, app: App, loads: Loads) -> None:
        self._out = out
        self._app = app
        self._loads = loads
        self.outcomes: list[Outcome] = []
        self.failures: list[ClaimFailure] = []
        self.reaped: list[str] = []

    def once(self) -> None:
        """Everything that is due now. A table that comes due again meanwhile is left for the next run."""
        done: set[str] = set()
        while not self._loads.cancelled.is_set():
            batches, failures = self._tick()
            self.failures += failures
            claimed = {claim.control_key for batch in batches for claim in batch}
            if not claimed and not failures:
                return
            self.outcomes += self._loads.process(batches)
            if claimed and claimed <= done:
                return
            done |= claimed

    def forever(self, interval: float) -> None:
        """Tick until stopped. A batch runs in a thread of its own: a long one delays no tick."""
        running: list[threading.Thread] = []
        self._out.note(f"Ticking every {interval:g} s; Ctrl-C ends it.")
        while not self._loads.cancelled.is_set():
            try:
                batches, _ = self._tick()
                running = [thread for thread in running if thread.is_alive()]
                running += [self._in_background(batch) for batch in batches]
            except (ControlUnavailableError, ControlLoginError) as error:
                self._out.note(f"{error} Trying again at the next tick.", style="yellow")
            self._loads.pause(interval)
        for thread in running:
            thread.join()

    def _in_background(self, batch: Sequence[Claim]) -> threading.Thread:
        thread = threading.Thread(target=self._batch, args=(batch,), name="dataloader-batch")
        thread.start()
        return thread

    def _batch(self, batch: Sequence[Claim]) -> None:
        try:
            self._loads.batch(batch)
        except Exception as error:  # noqa: BLE001  # one batch must not end the worker; its claims are reaped
            self._out.trace()
            self._out.note(f"A batch of {batch[0].source.db_config_key} ended: {type(error).__name__}.", style="red")

    def _tick(self) -> tuple[Sequence[Sequence[Claim]], Sequence[ClaimFailure]]:
        from dataloader_core.claiming import claim_due
        from dataloader_core.control.processes import this_process

        reaped = self._app.control.reap_lost_loads(lambda _run_id: None)
        for key in reaped:
            self._out.note(f"Failed {key}: nobody ran its load any more.", style="yellow")
        self.reaped += reaped
        tick = claim_due(self._app, this_process(kind="worker"))
        for failure in tick.failures:
            self._out.note(f"Failed {failure.control_key}: {failure.reason}", style="red")
        return tick.batches, tick.failures


def _exit_code(worker: Worker, *, cancelled: bool, once: bool) -> ExitCode:
    if cancelled:
        return ExitCode.INTERRUPTED if once else ExitCode.OK
    if worker.failures or any(outcome.status != "Succeeded" for outcome in worker.outcomes):
        return ExitCode.FAILED
    return ExitCode.OK
