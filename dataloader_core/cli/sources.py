"""``dataloader source``: where tables come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataloader_core.cli.command import command
from dataloader_core.cli.exit_codes import ExitCode
from dataloader_core.cli.render import Output

if TYPE_CHECKING:
    from dataloader_core.table import SourceConfig

SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name (db_config_key).")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(name="source", help="Databases that tables come from.", no_args_is_help=True)
    app.add_typer(group)
    command(group, "add")(add)
    command(group, "list")(list_)
    command(group, "test")(test)


def add(
    out: Output,
    name: SourceName,
    type_: Annotated[str, typer.Option("--type", help="The kind of database, for instance postgresql.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field that is no secret. Repeatable.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="FIELD=NAME", help="The name of the secret that holds a field. Repeatable."),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="NAME", help="One secret that holds all fields as JSON.")
    ] = None,
    scope: Annotated[
        str, typer.Option(help="Where secrets are: env, file:FOLDER, databricks:SCOPE, key_vault:VAULT.")
    ] = "env",
    target_schema: Annotated[
        str | None, typer.Option(help="destination_table_schema of tables that give none.")
    ] = None,
    max_loads: Annotated[int, typer.Option(min=1, help="Tables loaded at once, over all processes.")] = 12,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections that one run may open.")] = 48,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A session's option, for instance statement_timeout=2h. Repeatable."),
    ] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="Load none of its tables for now.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a source of this name.")] = False,
) -> None:
    """Add a source. Secrets are given by name; their values stay where they are."""
    from dataloader_core.cli.connection import check_secret_names, connection_fields, settings_of
    from dataloader_core.cli.session import opened
    from dataloader_core.loading.source_access import session_options
    from dataloader_core.table import SourceConfig

    with opened() as dataloader:
        value = connection_fields(dataloader.registry, type_, set_ or (), secret or (), bundle)
        check_secret_names(value, scope, dataloader.registry, dataloader.settings)
        source = SourceConfig(
            db_config_key=name,
            db_type=type_,
            db_config_value=value,
            db_kv_scope=scope,
            default_target_schema=target_schema,
            is_active=not inactive,
            max_concurrent_loads=max_loads,
            max_connections=max_connections,
            options=settings_of(option or ()),
        )
        session_options(source, "dataloader")
        dataloader.control.put_source(source, replace=replace)
    out.document({"source": source})
    out.say(f"Source {name} is stored. `dataloader source test {name}` tries it.")


def list_(out: Output) -> None:
    """List the sources."""
    from dataloader_core.cli.connection import masked
    from dataloader_core.cli.session import opened

    with opened() as dataloader:
        found = [masked(source) for source in dataloader.control.sources()]
    out.document({"sources": found})
    if not found:
        out.say("No sources yet. Add one: dataloader source add NAME --type postgresql --set host=...")
        return
    columns = ("source", "type", "active", "secrets from", "loads at once", "connections", "connects with")
    out.table(columns, [_row(source) for source in found])


def _row(source: SourceConfig) -> tuple[object, ...]:
    return (
        source.db_config_key,
        source.db_type,
        source.is_active,
        source.db_kv_scope,
        source.max_concurrent_loads,
        source.max_connections,
        _connects_with(source.db_config_value),
    )


def _connects_with(value: Any) -> str:
    """Literals as they are, secrets by their names."""
    if isinstance(value, str):
        return f"bundle {value}"
    parts = []
    for field, content in value.items():
        literal = isinstance(content, dict) and "value" in content
        parts.append(f"{field}={content['value']}" if literal else f"{field}=<{content}>")
    return " ".join(parts)


def test(out: Output, name: SourceName) -> None:
    """Try a source: secrets, connection, grants, and whether watermarks can be proven.

    Exit code 1 if anything fails.
    """
    from dataloader_core.cli.checks import source_checks, write_checks
    from dataloader_core.cli.session import opened

    with opened() as dataloader:
        source = dataloader.control.source(name)
        checks = source_checks(dataloader, source)
    ok = all(check.ok for check in checks)
    out.document({"source": name, "ok": ok, "checks": checks})
    write_checks(out, checks)
    if not ok:
        raise typer.Exit(ExitCode.FAILED)
