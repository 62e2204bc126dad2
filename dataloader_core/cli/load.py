"""``dataloader load``: tables by hand, now, whatever their schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from dataloader_core.cli.command import command
from dataloader_core.cli.exit_codes import ExitCode
from dataloader_core.cli.render import Output
from dataloader_core.errors import ConfigurationError, IllegalChangeError

if TYPE_CHECKING:
    from dataloader_core.app import App
    from dataloader_core.cli.loads import Loads
    from dataloader_core.control.records import Claim, Outcome

POLL_SECONDS = 2.0


def register(app: typer.Typer) -> None:
    command(app, "load")(load)


@dataclass
class _Run:
    """What became of the tables that were asked for."""

    outcomes: list[Outcome] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    not_started: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        if self.not_started or any(outcome.status == "Cancelled" for outcome in self.outcomes):
            return ExitCode.INTERRUPTED
        if any(outcome.status != "Succeeded" for outcome in self.outcomes):
            return ExitCode.FAILED
        return ExitCode.REFUSED if self.refused else ExitCode.OK


def load(
    out: Output,
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Control keys.")],
    full: Annotated[bool, typer.Option("--full", help="Read everything and overwrite, once (load_full).")] = False,
) -> None:
    """Load tables now, in this process. Their schedules stay as they are.

    Waits while a source is at its limit; refuses a table that is claimed, naming the holder. Ctrl-C ends the
    loads as cancelled.
    """
    from dataloader_core.cli.loads import Loads, stopped_by_signals
    from dataloader_core.cli.progress import ProgressView
    from dataloader_core.cli.session import known_tables, opened

    keys = list(dict.fromkeys(tables))
    with opened() as dataloader:
        known_tables(dataloader, keys)
        # Before anything is claimed: a missing driver or DATALOADER_LAKE concerns every table.
        _ = dataloader.engine
        with ProgressView(out) as view:
            loads = Loads(dataloader, view)
            with stopped_by_signals(loads, out):
                run = _run(out, dataloader, loads, keys, full)
    out.document({"outcomes": run.outcomes, "refused": run.refused, "not_started": run.not_started})
    done = sum(outcome.status == "Succeeded" for outcome in run.outcomes)
    out.say(f"{done} of {len(keys)} tables loaded.")
    if run.exit_code:
        raise typer.Exit(run.exit_code)


def _run(out: Output, app: App, loads: Loads, keys: Sequence[str], full: bool) -> _Run:
    run, waiting, told = _Run(), list(keys), False
    while waiting and not loads.cancelled.is_set():
        claims, waiting = _claim(out, app, run, waiting, full)
        if claims:
            run.outcomes += loads.process(batches(app, claims))
            told = False
        elif waiting:
            if not told:
                out.note(
                    f"Waiting for a place at the source (its limit of loads, or a backfill): {', '.join(waiting)}",
                    style="yellow",
                )
                told = True
            loads.pause(POLL_SECONDS)
    run.not_started = waiting
    return run


def _claim(out: Output, app: App, run: _Run, waiting: Sequence[str], full: bool) -> tuple[list[Claim], list[str]]:
    """Claim what can be claimed now; what its source's limit holds back is asked for again later."""
    from dataloader_core.control.processes import this_process

    holder, claims, later = this_process(kind="hand"), [], []
    for key in waiting:
        try:
            claim = app.control.claim_by_hand(key, holder, full=full)
        except (IllegalChangeError, ConfigurationError) as error:
            run.refused[key] = str(error)
            out.note(f"Refused {key}: {error}", style="yellow")
            continue
        if claim is None:
            later.append(key)
        else:
            claims.append(claim)
    return claims, later


def batches(app: App, claims: Sequence[Claim]) -> list[list[Claim]]:
    """One batch a source; a strategy that runs alone gets one of its own."""
    from dataloader_core.claiming import runs_alone

    groups: dict[tuple[str, ...], list[Claim]] = {}
    for claim in claims:
        alone = runs_alone(app, claim.table.load_strategy)
        key = (claim.source.db_config_key, claim.control_key if alone else "")
        groups.setdefault(key, []).append(claim)
    return list(groups.values())
