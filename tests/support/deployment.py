"""A deployment for the command line: a control database, a source with a password, a lake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import psycopg
from typer.testing import CliRunner, Result

from dataloader_core.cli.main import app
from tests.support.delta import read_delta

SOURCE_SQL = """
CREATE TABLE orders (
    id bigint PRIMARY KEY, name text, updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON orders (updated_at);
INSERT INTO orders SELECT n, 'order ' || n, now() - interval '1 day' FROM generate_series(1, 100) n;
CREATE TABLE colours (code text PRIMARY KEY, label text);
INSERT INTO colours VALUES ('r', 'red'), ('g', 'green');
CREATE TABLE "Odd Name" (id int PRIMARY KEY, "a[b]" text);
ANALYZE;
"""


class Deployment:
    """Runs commands in one environment, in this process or in one of its own."""

    def __init__(self, control_url: str, source_url: str, server: Any, folder: Path) -> None:
        self.control_url = control_url
        self.source_url = source_url
        self.server = server
        self.folder = folder
        self.environment = {
            "DATALOADER_CONTROL_URL": control_url,
            "DATALOADER_LAKE": str(folder / "lake"),
            "DATALOADER_SECRET_CRM": "correct horse",
        }

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env=self.environment, catch_exceptions=False)

    def ok(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output + "".join(traceback.format_exception(*result.exc_info or ()))
        return result.stdout

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The command as a process of its own."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DATALOADER_")}
        return subprocess.Popen(
            [sys.executable, "-m", "dataloader_core.cli.main", *arguments],
            cwd=self.folder,
            env={**inherited, **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """On the control database."""
        return self._execute(self.control_url, statement, parameters)

    def source_sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._execute(self.source_url, statement, parameters)

    def _execute(self, url: str, statement: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def add_source(self, name: str = "crm", *extra: str) -> None:
        self.ok(
            "source", "add", name, "--type", "postgresql", "--set", f"host={self.server.host}",
            "--set", f"port={self.server.port}", "--set", "user=loader",
            "--set", f"database={name_of(self.source_url)}",
            "--secret", "password=DATALOADER_SECRET_CRM", "--scope", "env", *extra,
        )  # fmt: skip

    def apply(self, **fields: object) -> None:
        """One table of the source ``crm``: ``orders`` unless another is named."""
        name = str(fields.pop("source_table_name", "orders"))
        entry = {
            "db_config_key": "crm",
            "source_table_schema": "public",
            "source_table_name": name,
            "destination_table_catalog": "bronze",
            "destination_table_schema": "crm",
            "destination_table_name": name,
            "load_strategy": "full",
            **fields,
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(json.dumps({"tables": [entry]}))
        self.ok("apply", str(file))

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table of the lake."""
        rows: list[dict[str, Any]] = read_delta(self.folder / "lake" / "bronze" / "crm" / table).to_pylist()
        return rows


def templates_of(server: Any) -> tuple[str, str]:
    """Names of databases to copy: one that `init` has prepared, and a source. Copies are quicker than preparing."""
    control, source = server.new_database("template"), server.new_database("template")
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(SOURCE_SQL)
    prepared = CliRunner().invoke(app, ["init"], env={"DATALOADER_CONTROL_URL": control})
    assert prepared.exit_code == 0, prepared.output
    return name_of(control), name_of(source)


def new_deployment(server: Any, templates: tuple[str, str], folder: Path) -> Deployment:
    """Initialised, with the source ``crm``."""
    control, source = (server.new_database("copy", f"TEMPLATE {name}") for name in templates)
    made = Deployment(control, source, server, folder)
    made.add_source()
    return made


def name_of(url: str) -> str:
    """The database of a libpq URI."""
    return url.rpartition("/")[2].partition("?")[0]
