"""``dataloader apply``: make the control database say what a file says, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataloader_core.cli.command import command
from dataloader_core.cli.render import Output
from dataloader_core.cli.text import cell
from dataloader_core.errors import IllegalChangeError

if TYPE_CHECKING:
    from dataloader_core.app import App
    from dataloader_core.tables_file import Entry, TableChange
    from dataloader_core.tables_file.changes import Wishes

_ATTEMPTS = 3
_SIGNS = {"create": "+", "change": "~", "keep": "="}
_STYLES = {"create": "green", "change": "yellow", "keep": None}


def register(app: typer.Typer) -> None:
    command(app, "apply")(apply)


def apply(
    out: Output,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A tables.yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Also look for tables and columns at the sources.")] = False,
    clear_watermark: Annotated[
        bool,
        typer.Option(
            "--clear-watermark",
            help="Where a change makes a watermark doubtful, clear it: the next load reads everything.",
        ),
    ] = False,
    restart_backfill: Annotated[
        bool, typer.Option("--restart-backfill", help="Start backfills again that were completed.")
    ] = False,
) -> None:
    """Apply a file of tables: check everything, show what changes, then write it all or nothing.

    A field that an entry does not give stays as it is; a table that the file does not name is left alone.
    """
    from dataloader_core.cli.session import opened
    from dataloader_core.tables_file import read
    from dataloader_core.tables_file.changes import Wishes

    entries = read(file)
    wishes = Wishes(clear_watermark=clear_watermark, restart_backfill=restart_backfill)
    with opened() as dataloader:
        planned = _plan(dataloader, entries, file, wishes)
        if check:
            from dataloader_core.cli.remote_check import check_sources

            check_sources(dataloader, entries, str(file))
        planned = _write(out, dataloader, planned, entries, file, wishes, dry_run)
    out.document({"file": str(file), "applied": not dry_run, "changes": planned})
    _summary(out, planned, dry_run)


def _plan(app: App, entries: Sequence[Entry], file: Path, wishes: Wishes) -> list[TableChange]:
    """What would change now. Raises TablesFileError with everything that is wrong."""
    from dataclasses import replace

    from dataloader_core.tables_file import Known, TablesFileError, changes, check

    sources = {source.db_config_key: source for source in app.control.sources()}
    known = Known(app.registry, sources, app.control.rows())
    if problems := check(entries, known):
        raise TablesFileError(str(file), sorted(problems, key=lambda p: (p.line or 0, p.where)))
    keys = [entry.control_key for entry in entries if entry.control_key in known.rows]
    return changes(entries, known, replace(wishes, backfilled=app.control.completed_backfills(keys)))


def _write(
    out: Output,
    app: App,
    planned: list[TableChange],
    entries: Sequence[Entry],
    file: Path,
    wishes: Wishes,
    dry_run: bool,
) -> list[TableChange]:
    """Write them in one transaction; a dry run lets the database judge too and takes everything back.

    Somebody else may have applied meanwhile: where that is why the database refuses, there is another plan now.
    """
    for attempt in range(_ATTEMPTS):
        _show(out, planned)
        try:
            app.control.apply_rows(
                [change.values for change in planned if change.action == "create"],
                {change.control_key: change.values for change in planned if change.action == "change"},
                dry_run=dry_run,
            )
            return planned
        except IllegalChangeError as refused:
            again = _plan(app, entries, file, wishes)
            if again == planned or attempt == _ATTEMPTS - 1:
                raise _with_option(refused, wishes) from None
            out.note("The tables were changed meanwhile by somebody else; looking again.", style="yellow")
            planned = again
    return planned


def _with_option(refused: IllegalChangeError, wishes: Wishes) -> IllegalChangeError:
    """A doubtful watermark has its own option here; the database's cure speaks of SQL."""
    if wishes.clear_watermark or "incremental_value" not in refused.problem:
        return refused
    return IllegalChangeError(
        refused.problem,
        cure="Nothing was changed. With --clear-watermark the next load reads everything again; to keep a watermark, "
        "change both in one SQL statement.",
    )


def _show(out: Output, planned: Sequence[TableChange]) -> None:
    for change in planned:
        if change.action == "keep" and not change.notes:
            continue
        out.say(f"{_SIGNS[change.action]} {change.control_key}", style=_STYLES[change.action])
        for field in change.fields:
            if change.action == "create":
                out.say(f"    {field.field}: {cell(field.new)}")
            else:
                out.say(f"    {field.field}: {_old(field.old)} -> {_old(field.new)}")
        for note in change.notes:
            out.say(f"    ({note})")


def _old(value: object) -> str:
    return "(empty)" if value is None or value in ([], {}) else cell(value)


def _summary(out: Output, planned: Sequence[TableChange], dry_run: bool) -> None:
    counts = {action: sum(c.action == action for c in planned) for action in _SIGNS}
    text = f"{counts['create']} new, {counts['change']} changed, {counts['keep']} as they were"
    out.say(f"Dry run, nothing was changed: {text}." if dry_run else f"Applied: {text}.")
