"""``dataloader reset``, ``cancel`` and ``adopt``: what people decide about one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataloader_core.cli.command import TableName, command
from dataloader_core.cli.render import Output
from dataloader_core.errors import DestinationRefusedError

if TYPE_CHECKING:
    from uuid import UUID

    from dataloader_core.app import App


def register(app: typer.Typer) -> None:
    command(app, "reset")(reset)
    command(app, "cancel")(cancel)
    command(app, "adopt")(adopt)


def reset(out: Output, table: TableName) -> None:
    """Make a failed table ready at the next tick, before its next time."""
    from dataloader_core.cli.session import opened

    with opened() as dataloader:
        dataloader.control.reset(table)
    out.document({"control_key": table, "reset": True})
    out.say(f"{table} is ready: the next tick loads it.")


def cancel(
    out: Output,
    table: TableName,
    message: Annotated[str | None, typer.Option(help="Why, for the history.")] = None,
) -> None:
    """End a table's load, wherever it runs. It stops at its next look; nothing of it commits after that is noticed."""
    from dataloader_core.cli.session import opened
    from dataloader_core.control.processes import this_process

    with opened() as dataloader:
        text = message or f"cancelled by {this_process(kind='hand').user or 'a person'} on the command line"
        dataloader.control.cancel(table, message=text)
    out.document({"control_key": table, "cancelled": True})
    out.say(f"The load of {table} is cancelled: its row is Failed, and what carries it stops at its next look.")


def adopt(out: Output, table: TableName) -> None:
    """Take over the destination of a table: from the row that its owner property names, or from nobody.

    Identity, version and watermark come along from that row; the next load makes sure that nothing of an older
    load can still commit.
    """
    from dataloader_core.cli.session import known_tables, opened

    with opened() as dataloader:
        known_tables(dataloader, [table])
        owner, destination = _owner(dataloader, table)
        dataloader.control.adopt(table, from_uid=owner)
    out.document({"control_key": table, "destination": destination, "from": owner})
    whom = f"from row {owner}" if owner else "it belonged to nobody"
    out.say(f"{table} has taken over {destination} ({whom}). Load it: dataloader load {table}")


def _owner(app: App, table: str) -> tuple[UUID | None, str]:
    """Whose the destination is; None: nobody's.

    Raises:
        DestinationRefusedError: there is nothing to take over.
    """
    row = app.control.rows([table])[table]
    names = tuple(row[f"destination_table_{part}"] for part in ("catalog", "schema", "name"))
    with app.engine.destination(*names) as destination:
        look = destination.look(row["table_uid"])
    where = ".".join(names)
    if not look.exists:
        raise DestinationRefusedError(f"There is no table {where} yet.", cure=f"Load it: dataloader load {table}.")
    if look.owner == row["table_uid"]:
        raise DestinationRefusedError(f"{where} belongs to {table} already.", cure="There is nothing to adopt.")
    return look.owner, where
