"""``dataloader init``: make the control database ready, or bring it up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dataloader_core.cli.command import command
from dataloader_core.cli.render import Output

if TYPE_CHECKING:
    from dataloader_core.app import App


def register(app: typer.Typer) -> None:
    @command(app, "init")
    def init(out: Output) -> None:
        """Make the control database ready: create or update its schema, and tell it the strategies.

        It is the one of DATALOADER_CONTROL_URL, or an embedded PostgreSQL in .dataloader/ of this folder (or of
        the folder above that has one already). Run it as often as you like.
        """
        from dataloader_core.cli.session import opened

        with opened() as dataloader:
            where, made = _place(dataloader)
            control = dataloader.open_control()
            try:
                applied = list(control.migrate())
                control.register_strategies(dataloader.registry)
                strategies = list(dataloader.registry.names("strategy"))
                sources = [source.db_config_key for source in control.sources()]
            finally:
                control.close()
        out.document(
            {"control_database": where, "created": made, "applied": applied, "strategies": strategies}
            | {"sources": sources}
        )
        out.say(f"Control database: {where}{' (made just now)' if made else ''}")
        out.say(f"Schema: {'applied ' + ', '.join(applied) if applied else 'up to date, nothing to do'}")
        out.say(f"Strategies: {', '.join(strategies)}")
        for problem in dataloader.registry.problems:
            out.note(f"Left out: {problem}", style="yellow")
        _next_steps(out, sources)


def _place(app: App) -> tuple[str, bool]:
    """Where the control database is, for people, and whether it was made just now."""
    from pathlib import Path

    from dataloader_core.embedded import find_folder, init_embedded
    from dataloader_core.settings import EMBEDDED, mask_url

    url = app.settings.control_url.get_secret_value() if app.settings.control_url else None
    if url and url != EMBEDDED:
        return mask_url(url), False
    found = find_folder()
    if found is None:
        init_embedded(Path.cwd())
        found = find_folder()
        assert found is not None, "an embedded database was made and is not found"
        return f"embedded, in {found.home}", True
    return f"embedded, in {found.home}", False


def _next_steps(out: Output, sources: list[str]) -> None:
    if sources:
        out.say(f"\nSources: {', '.join(sources)}. `dataloader status` shows the tables.")
        return
    out.say("\nNext:")
    out.say("  dataloader source add crm --type postgresql --set host=... --set port=5432 --set database=... \\")
    out.say("      --set user=... --secret password=DATALOADER_SECRET_CRM --scope env")
    out.say("  dataloader source test crm")
    out.say("  dataloader discover crm -o tables.yaml")
    out.say("  dataloader apply tables.yaml")
    out.say("  dataloader run --once")
