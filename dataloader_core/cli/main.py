"""The entry point. Commands import what they need when they run, so that ``--help`` stays quick."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from dataloader_core.cli import apply, discover, init, load, people, plan, plugins, sources, state, worker
from dataloader_core.cli.exit_codes import ExitCode

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {int(code):>3}  {code.meaning}" for code in ExitCode)

app = typer.Typer(
    name="dataloader",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dataloader-core {version('dataloader-core')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Loads tables from databases into Delta, exactly once, driven by a control database.

    Settings are environment variables: DATALOADER_CONTROL_URL, DATALOADER_LAKE and others.
    """


for _module in (init, sources, discover, apply, plan, load, worker, state, people, plugins):
    _module.register(app)


def main() -> None:
    """What ``dataloader`` runs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name in a script that the terminal's encoding lacks is shown escaped; it must not end the command.
            stream.reconfigure(errors="backslashreplace")
    app()


if __name__ == "__main__":
    main()
