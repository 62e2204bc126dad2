"""``dataloader plugins`` and ``dataloader doctor``: what is installed, and whether it works."""

from __future__ import annotations

import typer

from dataloader_core.cli.command import command
from dataloader_core.cli.exit_codes import ExitCode
from dataloader_core.cli.render import Output


def register(app: typer.Typer) -> None:
    group = typer.Typer(name="plugins", help="Sources, strategies, secret backends, engines, launchers.")
    app.add_typer(group, no_args_is_help=True)
    command(group, "list")(list_)
    command(app, "doctor")(doctor)
    command(group, "doctor", hidden=True)(doctor)


def list_(out: Output) -> None:
    """List what is registered, and what is broken, with package, version and cause. Imports no driver."""
    from dataloader_core.plugins.manager import default_registry

    registry = default_registry()
    offers, problems = registry.listing(), registry.problems
    conflicts = {f"{kind} {name}" for kind, name in registry.conflicts()}
    out.document(
        {
            "plugins": [
                {
                    "kind": o.kind,
                    "name": o.record.name,
                    "aliases": o.record.aliases,
                    "summary": o.record.summary,
                    "package": o.package,
                    "version": o.version,
                    "entry_point": o.entry_point,
                    "extra": o.record.extra,
                    "conflict": any(f"{o.kind} {name}" in conflicts for name in o.names),
                }
                for o in offers
            ],
            "broken": problems,
        }
    )
    out.table(
        ("kind", "name", "also", "what it is", "from"),
        [(o.kind, o.record.name, o.record.aliases, o.record.summary, f"{o.package} {o.version}") for o in offers],
    )
    for conflict in sorted(conflicts):
        out.note(f"{conflict} is offered more than once: it cannot be used until one of them is gone.", style="red")
    for problem in problems:
        out.note(f"Broken: {problem}", style="red")


def doctor(out: Output) -> None:
    """Check settings, plugins, drivers and, with Spark, Java and jars. Exit code 1 if anything is wrong."""
    from dataloader_core.cli.checks import write_checks
    from dataloader_core.plugins.doctor import checks

    found = list(checks())
    ok = all(check.ok for check in found)
    out.document({"ok": ok, "checks": found})
    write_checks(out, found)
    if not ok:
        raise typer.Exit(ExitCode.FAILED)
