"""What all commands share: ``--json``, ``--debug``, and errors that end in a message and an exit code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any

import typer

from dataloader_core.cli.exit_codes import ExitCode, exit_code_of
from dataloader_core.cli.render import Output
from dataloader_core.errors import DataLoaderError

AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show stack traces.", envvar="DATALOADER_DEBUG")]
TableName = Annotated[str, typer.Argument(metavar="TABLE", help="A control_key, for instance crm.public.orders.")]

Function = Callable[..., None]


@contextmanager
def reported(out: Output) -> Iterator[None]:
    """Turn errors into a message and an exit code. Stack traces only with ``--debug``."""
    try:
        yield
    except DataLoaderError as error:
        out.trace()
        code = exit_code_of(error)
        out.error(error, code)
        raise typer.Exit(code) from error
    except KeyboardInterrupt:
        out.note("Interrupted.", style="yellow")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except Exception as error:
        if _is_usage(error):
            raise
        out.trace()
        # The text of a foreign error may hold anything, a connection string included: only its kind is shown.
        unexpected = DataLoaderError(
            f"Unexpected {type(error).__name__}.", cure="This is a defect; run it again with --debug and report it."
        )
        out.error(unexpected, ExitCode.INTERNAL)
        raise typer.Exit(ExitCode.INTERNAL) from error


def _is_usage(error: Exception) -> bool:
    """Typer's own errors (it brings a click of its own) know how to show themselves."""
    return hasattr(error, "exit_code") and hasattr(error, "format_message")


def command(app: typer.Typer, name: str, *, hidden: bool = False) -> Callable[[Function], Function]:
    """Register ``function(out, ...)`` as a command of ``app`` with the options that all commands have.

    Args:
        hidden: An old name: it works, and neither ``--help`` nor the reference shows it.
    """

    def register(function: Function) -> Function:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        shared = [
            inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
            inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug),
        ]

        @wraps(function)
        def run(*args: Any, as_json: bool, debug: bool, **kwargs: Any) -> None:
            out = Output(as_json=as_json, debug=debug)
            with reported(out):
                function(out, *args, **kwargs)

        run.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]  # functions take one
        run.__annotations__ = {p.name: p.annotation for p in [*own, *shared]}
        app.command(name, hidden=hidden)(run)
        return function

    return register
