"""The wheel alone works like the checkout."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.packaging.conftest import Environment

REPOSITORY = Path(__file__).parents[2]
SOURCE_ROOTS = ("dataloader_core", "plugins", "dagster_defs", "sql")
PACKAGES = {
    "dataloader_control", "dataloader_core", "dataloader_dagster", "dataloader_databricks", "dataloader_engines",
    "dataloader_launchers", "dataloader_secrets", "dataloader_sources", "dataloader_strategies",
}  # fmt: skip


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_every_file_of_the_source_roots_is_in_it(names: set[str]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", *SOURCE_ROOTS], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    present = [path for path in listed if (REPOSITORY / path).exists()]
    assert len(present) > 50
    assert {_place(path) for path in present} <= names


def _place(path: str) -> str:
    root, _, rest = path.partition("/")
    return {"plugins": rest, "dagster_defs": rest, "sql": f"dataloader_core/_sql/{rest}"}.get(root, path)


def test_it_brings_its_own_packages_and_nothing_else(names: set[str]) -> None:
    assert {name.partition("/")[0] for name in names} == PACKAGES
    assert not [name for name in names if "test_" in name or name.startswith("tests/") or "__pycache__" in name]


def test_the_schema_and_the_typing_marker_are_in_it(names: set[str]) -> None:
    assert "dataloader_core/_sql/001_tables.sql" in names
    assert "dataloader_core/py.typed" in names


def test_nothing_is_imported_from_the_checkout(complete: Environment) -> None:
    code = "import dataloader_core, dataloader_sources, dataloader_dagster; print(dataloader_core.__file__)"
    assert complete.python(code).startswith(str(complete.folder))


def test_without_extras_all_plugins_are_listed(bare: Environment) -> None:
    done = bare.run("dataloader", "plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    listing = json.loads(done.stdout)
    assert listing["broken"] == []
    assert {"postgresql", "local", "subprocess", "full", "file"} <= {p["name"] for p in listing["plugins"]}


def test_without_extras_the_command_line_still_explains_itself(bare: Environment) -> None:
    done = bare.run("dataloader", "--help")
    assert done.returncode == 0, done.stderr
    assert "apply" in done.stdout


def test_without_extras_a_missing_driver_becomes_an_install_hint(bare: Environment) -> None:
    done = bare.run("dataloader", "doctor", "--json")
    assert done.returncode == 1, done.stderr
    failed = {check["name"]: check for check in json.loads(done.stdout)["checks"] if not check["ok"]}
    assert failed["engine local"]["cure"].endswith("pip install 'dataloader-core[local]'")
    assert failed["source postgresql"]["cure"].endswith("pip install 'dataloader-core[postgresql]'")
    assert "Traceback" not in done.stderr


def test_without_extras_the_embedded_database_becomes_an_install_hint(bare: Environment, tmp_path: Path) -> None:
    done = bare.run("dataloader", "init", cwd=tmp_path)
    assert done.returncode != 0
    assert "dataloader-core[embedded]" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_with_all_extras_nothing_is_missing(complete: Environment, tmp_path: Path, database: str) -> None:
    settings = {"DATALOADER_LAKE": str(tmp_path), "DATALOADER_CONTROL_URL": database}
    assert complete.run("dataloader", "init", **settings).returncode == 0
    done = complete.run("dataloader", "doctor", "--json", **settings)
    assert [check for check in json.loads(done.stdout)["checks"] if not check["ok"]] == []
    assert done.returncode == 0
