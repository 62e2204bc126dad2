"""The entry point. Commands import what they need when they run, so that ``--help`` stays quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dataloader_core.cli import adopt, apply, discover, init, load, plan, plugins, sources, state, watch, worker
from dataloader_core.cli.exit_codes import ExitCode

_EPILOG = "Exit codes: " + "; ".join(f"{int(code)} {code.meaning}" for code in ExitCode) + "."

app = typer.Typer(
    name="dataloader",
    help="Loads tables from databases into Delta, exactly once, driven by a control database.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
