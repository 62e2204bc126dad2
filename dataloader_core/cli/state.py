"""``dataloader status``, ``history`` and ``why``: what is going on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataloader_core.cli.command import TableName, command
from dataloader_core.cli.render import Output, drawn_table
from dataloader_core.cli.text import ago, cell, size
from dataloader_core.errors import ConfigurationError

if TYPE_CHECKING:
    from dataloader_core.app import App
    from dataloader_core.control.records import HistoryEntry, TableStatus

WATCH_SECONDS = 2.0
_COLUMNS = ("table", "strategy", "status", "since", "rows", "watermark", "next", "message")


def register(app: typer.Typer) -> None:
    command(app, "status")(status)
    command(app, "history")(history)
    command(app, "why")(why)


def status(
    out: Output,
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="A control_key; without it all.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 2 seconds until Ctrl-C.")] = False,
) -> None:
    """Show where the tables are: status, rows, watermark, next time, who holds a claim."""
    from dataloader_core.cli.session import known_tables, opened

    if watch and out.as_json:
        raise ConfigurationError("--watch and --json do not go together.", cure="Ask again and again without --watch.")
    with opened() as dataloader:
        keys = None if table is None else [table]
        if keys:
            known_tables(dataloader, keys)
        if watch:
            with suppress(KeyboardInterrupt):
                _watch(out, dataloader, keys)
            return
        found = list(dataloader.control.status(keys))
    out.document({"tables": found})
    if not found:
        out.say("No tables yet. `dataloader discover SOURCE -o tables.yaml` proposes some.")
    elif table is None:
        out.table(_COLUMNS, [_row(s) for s in found])
    else:
        _one(out, found[0])


def _watch(out: Output, app: App, keys: Sequence[str] | None) -> None:
    if not out.console().is_terminal:
        while True:
            out.table(_COLUMNS, [_row(s) for s in app.control.status(keys)])
            out.say()
            time.sleep(WATCH_SECONDS)
    from rich.live import Live

    with Live(console=out.console(), auto_refresh=False) as live:
        while True:
            rows = [[cell(value) for value in _row(s)] for s in app.control.status(keys)]
            live.update(drawn_table(_COLUMNS, rows), refresh=True)
            time.sleep(WATCH_SECONDS)


def _row(status: TableStatus) -> tuple[object, ...]:
    return (
        status.control_key,
        status.load_strategy,
        (status.last_status or "-") if status.is_active else f"inactive ({status.last_status or '-'})",
        _since(status),
        status.rows_processed if status.progress is None else status.progress.rows,
        status.incremental_value,
        status.next_load_date_time,
        _message(status),
    )


def _since(status: TableStatus) -> str | None:
    at = status.started_at if status.last_status in ("Queued", "In Progress") else status.last_load_date_time
    return None if at is None else ago((datetime.now(UTC) - at).total_seconds())


def _message(status: TableStatus) -> str:
    limited = f"[only {status.row_limit:,} rows by row_limit] " if status.row_limit else ""
    if status.progress is not None:
        at = status.progress
        return f"{limited}{at.step}: {at.rows:,} rows, {size(at.bytes)}"
    if status.holder:
        return f"{limited}{status.holder}"
    return limited + (status.last_status_message or "")


def _one(out: Output, status: TableStatus) -> None:
    fields: dict[str, Any] = asdict(status)
    if status.progress is not None:
        fields["progress"] = _message(status)
    out.table(("field", "value"), [(name, value) for name, value in fields.items() if value is not None])


def history(
    out: Output,
    table: TableName,
    limit: Annotated[int, typer.Option(min=1, help="How many loads, newest first.")] = 20,
) -> None:
    """Show a table's loads, newest first.

    Values of rows, where a failure names some, stay in control.historical_metadata (log_message).
    """
    from dataloader_core.cli.session import known_tables, opened

    with opened() as dataloader:
        known_tables(dataloader, [table])
        found = [_public(entry) for entry in dataloader.control.history(table, limit=limit)]
    out.document({"control_key": table, "loads": found})
    if not found:
        out.say(f"{table} was never loaded. `dataloader why {table}` says why.")
        return
    columns = ("load", "status", "strategy", "queued", "started", "took", "rows", "size", "watermark", "message")
    out.table(
        columns,
        [
            (
                None if entry.load_seq is None else str(entry.load_seq),
                entry.load_status or "open",
                entry.load_strategy,
                entry.load_queued_time,
                entry.load_start_time,
                None if entry.total_duration is None else f"{entry.total_duration:.1f}s",
                entry.rows_processed,
                None if entry.bytes_processed is None else size(entry.bytes_processed),
                entry.watermark_after,
                _log(entry.log_message, entry.recovered_by),
            )
            for entry in found
        ],
    )


def _public(entry: HistoryEntry) -> HistoryEntry:
    """The entry without what follows a failure's message: values of rows stay in the control database."""
    if entry.load_status == "Succeeded":
        return entry
    return replace(entry, log_message=(entry.log_message or "").partition("\n")[0] or None)


def _log(message: str | None, recovered_by: object) -> str:
    note = f" (its commit was found and adopted by load {recovered_by})" if recovered_by else ""
    return (message or "") + note


def why(out: Output, table: TableName) -> None:
    """Say why a table is not being loaded now, and what would change that."""
    from dataloader_core.cli.session import opened

    with opened() as dataloader:
        answer = dataloader.control.why(table)
    out.document({"why": answer})
    out.say(f"{answer.control_key}: {answer.reason}")
    if answer.until is not None:
        left = (answer.until - datetime.now(UTC)).total_seconds()
        out.say(f"Until {cell(answer.until)}" + (f", in {ago(left)}" if left > 0 else ""))
    if answer.cure:
        out.say(answer.cure, style="yellow")
