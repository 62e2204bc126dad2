"""``dataloader discover``: what a source has, and how each table could be loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataloader_core.cli.command import command
from dataloader_core.cli.render import Output
from dataloader_core.cli.sources import SourceName
from dataloader_core.cli.text import size
from dataloader_core.errors import ConfigurationError, DataLoaderError, SourceUnavailableError, UnknownNameError

if TYPE_CHECKING:
    from dataloader_core.interfaces.source import DiscoveredTable, SourceSession
    from dataloader_core.proposals import Proposal


def register(app: typer.Typer) -> None:
    command(app, "discover")(discover)


def discover(
    out: Output,
    source: SourceName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the proposals to this file, for apply.")
    ] = None,
    schema: Annotated[
        list[str] | None, typer.Option(help="Only this schema. Repeatable; without it all that may be read.")
    ] = None,
    catalog: Annotated[str, typer.Option(help="destination_table_catalog of the proposals.")] = "bronze",
    target_schema: Annotated[
        str | None, typer.Option(help="destination_table_schema; without it the source's default or its name.")
    ] = None,
    cron: Annotated[str | None, typer.Option(help="load_cron of the proposals, for instance '*/15 * * * *'.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Read a source's catalog and propose how to load each table, with the reasons. Changes nothing."""
    from dataloader_core.cli.session import opened
    from dataloader_core.loading.source_access import SourceAccess
    from dataloader_core.proposals import Place, propose
    from dataloader_core.tables_file.writing import render

    if output is not None:
        _may_write(output, force)
    with opened() as dataloader:
        config = dataloader.control.source(source)
        access = SourceAccess(config, dataloader.registry, dataloader.settings)
        with access.session(f"dataloader discover {source}") as session:
            found, skipped = _look(session, schema)
    proposals = propose(found, Place(source, catalog, target_schema or config.default_target_schema, cron))
    out.document({"source": source, "proposals": proposals, "skipped": skipped})
    _show(out, proposals)
    for name, reason in skipped.items():
        out.note(f"Left out {name}: {reason}", style="yellow")
    if output is not None:
        _write(output, render(proposals, source))
        out.say(f"\nWrote {len(proposals)} tables to {output}. Read the reasons, then: dataloader apply {output}")


def _look(session: SourceSession, schemas: Sequence[str] | None) -> tuple[list[DiscoveredTable], dict[str, str]]:
    """What can be loaded, and by name what cannot and why: one odd table must not hide the others."""
    relations = session.relations(schemas)
    if schemas and (missing := set(schemas) - {relation.schema for relation in relations}):
        known = {relation.schema for relation in session.relations()}
        raise UnknownNameError("schema", sorted(missing)[0], known, cure="It has no table that may be read.")
    found, skipped = [], {}
    for relation in relations:
        try:
            found.append(session.discover(relation))
        except SourceUnavailableError:
            raise
        except DataLoaderError as error:
            skipped[str(relation)] = str(error)
    return found, skipped


def _show(out: Output, proposals: Sequence[Proposal]) -> None:
    if not proposals:
        out.say("Nothing that may be read was found.")
        return
    columns = ("table", "kind", "rows", "size", "strategy", "key", "watermark", "cut by", "destination")
    out.table(columns, [_row(proposal) for proposal in proposals])
    out.say("\nWhy:")
    for proposal in proposals:
        out.say(f"  {proposal.control_key}: {' '.join(proposal.reasons)}")


def _row(proposal: Proposal) -> tuple[object, ...]:
    entry = proposal.entry
    return (
        proposal.control_key,
        proposal.kind,
        proposal.row_estimate,
        None if proposal.bytes_estimate is None else size(proposal.bytes_estimate),
        entry["load_strategy"],
        entry.get("primary_key_cols"),
        entry.get("incremental_column"),
        entry.get("partition_column"),
        ".".join(str(entry[f"destination_table_{part}"]) for part in ("catalog", "schema", "name")),
    )


def _may_write(file: Path, force: bool) -> None:
    """Asked before the source is: nobody waits for a crawl to be told that its file cannot be written."""
    if file.exists() and not force:
        raise ConfigurationError(f"{file} exists.", cure="Choose another name, or overwrite it with --force.")
    if not file.absolute().parent.is_dir():
        raise ConfigurationError(f"There is no folder {file.absolute().parent}.", cure="Create it first.")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}.") from None
