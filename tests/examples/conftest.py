"""Packages of outsiders, built and installed into folders of their own, used through the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.delta import read_delta

EXAMPLE = Path(__file__).parents[2] / "examples" / "snapshot_append_plugin"

SOURCE_SQL = """
CREATE TABLE prices (sku text PRIMARY KEY, price numeric(10, 2) NOT NULL);
INSERT INTO prices VALUES ('a', 1.50), ('b', 20);
CREATE TABLE lands (code text PRIMARY KEY);
INSERT INTO lands VALUES ('PT');
"""


@dataclass
class Outsider:
    """A deployment with packages beside the core's own environment, which stays as it is."""

    folder: Path
    server: Any
    control_url: str
    source_url: str
    environment: dict[str, str] = field(default_factory=dict)

    def install(self, *packages: Path) -> None:
        self.environment["PYTHONPATH"] = os.pathsep.join(map(str, packages))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DATALOADER_", "PYTHON"))}
        return subprocess.run(
            [sys.executable, "-m", "dataloader_core.cli.main", *arguments],
            cwd=self.folder,
            env={**inherited, "COLUMNS": "200", **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        return json.loads(done.stdout)

    def add_source(self, scope: str, secret: str) -> None:
        database = self.source_url.rpartition("/")[2].partition("?")[0]
        self.ok(
            "source", "add", "crm", "--type", "postgresql", "--set", f"host={self.server.host}",
            "--set", f"port={self.server.port}", "--set", "user=loader", "--set", f"database={database}",
            "--secret", f"password={secret}", "--scope", scope,
        )  # fmt: skip

    def apply(self, table: str, strategy: str, **fields: object) -> subprocess.CompletedProcess[str]:
        entry = {
            "control_key": f"crm.{table}",
            "db_config_key": "crm",
            "source_table_schema": "public",
            "source_table_name": table,
            "destination_table_catalog": "bronze",
            "destination_table_schema": "crm",
            "destination_table_name": table,
            "load_strategy": strategy,
            **fields,
        }
        file = self.folder / f"{table}.yaml"
        file.write_text(json.dumps({"tables": [entry]}))
        return self.run("apply", str(file))

    def rows(self, table: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = read_delta(self.folder / "lake" / "bronze" / "crm" / table).to_pylist()
        return rows


def build(source: Path, target: Path) -> Path:
    """Install a package with pip, as its author's users do, but without fetching anything."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return target


def write_package(folder: Path, name: str, version: str, plugins: Mapping[str, str]) -> Path:
    """A package with one module and one entry point for each plugin."""
    package = folder / name.replace("-", "_")
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    entries = []
    for plugin, code in plugins.items():
        (package / f"{plugin}.py").write_text(textwrap.dedent(code))
        entries.append(f'{plugin} = "{package.name}.{plugin}"')
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
        '[project.entry-points."dataloader.plugins"]\n' + "\n".join(entries) + "\n"
    )
    return folder


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package of this repository, installed."""
    folder = tmp_path_factory.mktemp("example")
    copy = shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return build(copy, folder / "site")


@pytest.fixture
def outsider(postgres_server: Any, tmp_path: Path) -> Outsider:
    source, control = postgres_server.new_database("outsider"), postgres_server.new_database("outsider")
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(SOURCE_SQL)
    made = Outsider(tmp_path, postgres_server, control, source)
    made.environment.update(
        {
            "DATALOADER_CONTROL_URL": control,
            "DATALOADER_LAKE": str(tmp_path / "lake"),
            "DATALOADER_SECRET_CRM": "correct horse",
        }
    )
    return made
