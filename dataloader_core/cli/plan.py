"""``dataloader plan``: what a load would do."""

from __future__ import annotations

import typer

from dataloader_core.cli.command import TableName, command
from dataloader_core.cli.render import Output


def register(app: typer.Typer) -> None:
    command(app, "plan")(plan)


def plan(out: Output, table: TableName) -> None:
    """Show what the next load of a table would do: SQL, bounds, cap, way of reading, commit. Changes nothing."""
    from dataloader_core.cli.session import known_tables, opened
    from dataloader_core.loading.preview import preview

    with opened() as dataloader:
        known_tables(dataloader, [table])
        explanation = preview(dataloader.control, dataloader.registry, dataloader.settings, dataloader.engine, table)
    out.document(explanation.to_json())
    out.say(explanation.to_text())
