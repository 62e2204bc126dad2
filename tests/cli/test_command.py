"""What all commands share: options, exit codes, errors without stack traces, and a quick start."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from dataloader_core.cli.command import command
from dataloader_core.cli.exit_codes import ExitCode, exit_code_of
from dataloader_core.cli.main import app
from dataloader_core.cli.render import Output
from dataloader_core.errors import (
    ConfigurationError,
    ControlUnavailableError,
    DataLoaderError,
    DestinationRefusedError,
    IllegalChangeError,
    LoadCancelledError,
    MissingDriverError,
    SchemaVersionError,
    SecretError,
    SourceUnavailableError,
)


def raising(error: BaseException) -> typer.Typer:
    failing = typer.Typer()

    def fail(out: Output) -> None:
        raise error

    command(failing, "fail")(fail)
    return failing


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (SecretError("x"), 2),
        (MissingDriverError("x"), 2),
        (ControlUnavailableError("x"), 3),
        (SchemaVersionError("x"), 3),
        (IllegalChangeError("x"), 4),
        (SourceUnavailableError("x"), 5),
        (DestinationRefusedError("x"), 5),
        (LoadCancelledError("x"), 130),
        (DataLoaderError("x"), 1),
    ],
)
def test_each_class_of_error_has_its_exit_code(error: DataLoaderError, code: int) -> None:
    assert exit_code_of(error) == code
    result = CliRunner().invoke(raising(error), [])
    assert result.exit_code == code
    assert result.stderr == "Error: x\n"


def test_an_unexpected_error_shows_its_kind_and_nothing_of_its_text() -> None:
    result = CliRunner().invoke(raising(RuntimeError("postgresql://me:hunter2@host")), [])
    assert result.exit_code == ExitCode.INTERNAL
    assert "RuntimeError" in result.stderr
    assert "hunter2" not in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_stack_trace() -> None:
    result = CliRunner().invoke(raising(ConfigurationError("x")), ["--debug"])
    assert "Traceback" in result.stderr
    assert result.exit_code == 2


def test_an_interrupt_has_its_own_exit_code() -> None:
    assert CliRunner().invoke(raising(KeyboardInterrupt()), []).exit_code == 130


def test_an_unknown_option_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["status", "--nope"])
    assert result.exit_code == 2
    assert "--nope" in result.stderr


def test_every_command_takes_json_and_debug() -> None:
    def commands(group: object, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], object]]:
        found = getattr(group, "commands", None)
        if found is None:
            return [(path, group)]
        return [leaf for name, child in found.items() for leaf in commands(child, (*path, name))]

    leaves = commands(typer.main.get_command(app), ())
    assert len(leaves) >= 16
    for path, leaf in leaves:
        options = {option for parameter in leaf.params for option in parameter.opts}  # type: ignore[attr-defined]  # typer's own copy of click
        assert {"--json", "--debug"} <= options, path


def test_help_lists_the_exit_codes() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    for code in ExitCode:
        assert f"{int(code)}  {code.meaning}" in text


def _used_by_children() -> float:
    """Seconds of processor time: unlike those on the clock they do not depend on who else uses the machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_imports_neither_drivers_nor_models_and_is_quick() -> None:
    program = (
        "import sys\nfrom dataloader_core.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'pydantic', 'psycopg', 'sqlglot', 'yaml', 'duckdb', 'deltalake', 'pyarrow', 'dagster'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))\n"
    )
    fastest = 60.0
    for _ in range(3):
        began = _used_by_children()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        fastest = min(fastest, _used_by_children() - began)
        assert done.stderr == ""
    assert fastest < 0.5


def test_without_a_control_database_both_cures_are_named(tmp_path: object) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DATALOADER_")}
    done = subprocess.run(
        [sys.executable, "-m", "dataloader_core.cli.main", "status", "--json"],
        cwd=str(tmp_path),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "dataloader init" in error["cure"]
    assert "DATALOADER_CONTROL_URL" in error["cure"]
