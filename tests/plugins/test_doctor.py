"""`doctor` names what is wrong and the cure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from dataloader_core.control.database import ControlDatabase
from dataloader_core.interfaces.source import Check
from dataloader_core.plugins import doctor
from dataloader_core.plugins.manager import Registry
from tests.plugins.vault import backend

Write = Callable[..., EntryPoint]
BUILT_IN = [*entry_points(group="dataloader.plugins")]


def checks(environ: Mapping[str, str], *more: EntryPoint) -> dict[str, Check]:
    return {check.name: check for check in doctor.checks(Registry([*BUILT_IN, *more]), environ)}


@pytest.fixture
def deployment(tmp_path: Path) -> dict[str, str]:
    return {"DATALOADER_CONTROL_URL": "postgresql://me:hunter2@127.0.0.1:1/x", "DATALOADER_LAKE": str(tmp_path)}


def test_a_sound_deployment_has_no_complaint(deployment: dict[str, str], database: str) -> None:
    with ControlDatabase(database) as control:
        control.migrate()
    found = checks(deployment | {"DATALOADER_CONTROL_URL": database})
    assert [c for c in found.values() if not c.ok] == []
    assert {"source postgresql", "strategy full", "engine local", "secret backend env"} <= set(found)


def test_a_control_database_that_nobody_runs_is_no_sound_one(deployment: dict[str, str]) -> None:
    nobody = "postgresql://me:hunter2@127.0.0.1:1/control"
    check = checks(deployment | {"DATALOADER_CONTROL_URL": nobody})["control database"]
    assert not check.ok
    assert "hunter2" not in f"{check.detail} {check.cure}"


def test_with_spark_the_drivers_of_installed_sources_are_told(deployment: dict[str, str]) -> None:
    found = checks(deployment | {"DATALOADER_ENGINE": "spark"})
    assert {"pyspark", "java", "jars", "jdbc postgresql"} <= set(found)
    assert "org.postgresql:postgresql:" in found["jdbc postgresql"].detail


def test_the_doctors_old_name_still_works() -> None:
    from typer.testing import CliRunner

    from dataloader_core.cli.main import app

    told = [CliRunner().invoke(app, [*name, "--json"]).stdout for name in (["doctor"], ["plugins", "doctor"])]
    assert told[0] == told[1]
    assert '"checks"' in told[0]


def test_a_missing_lake_is_named(deployment: dict[str, str]) -> None:
    del deployment["DATALOADER_LAKE"]
    assert "DATALOADER_LAKE: is not set" in checks(deployment)["settings of engine local"].detail


def test_a_missing_control_database_has_both_cures(
    deployment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    del deployment["DATALOADER_CONTROL_URL"]
    check = checks(deployment)["control database"]
    assert not check.ok
    assert check.cure == "Run `dataloader init`, or set DATALOADER_CONTROL_URL."


def test_an_unknown_engine_and_launcher_are_named(deployment: dict[str, str]) -> None:
    found = checks(deployment | {"DATALOADER_ENGINE": "loca", "DATALOADER_LAUNCHER": "rocket"})
    assert "Did you mean 'local'?" in found["selected engine"].detail
    assert "Unknown launcher 'rocket'" in found["selected launcher"].detail


def test_wrong_settings_are_reported_and_the_rest_goes_on(deployment: dict[str, str]) -> None:
    found = checks(deployment | {"DATALOADER_POOL_SIZE": "x"})
    assert "DATALOADER_POOL_SIZE" in found["settings"].detail
    assert found["strategy full"].ok


def test_a_misspelt_variable_is_noticed(deployment: dict[str, str]) -> None:
    found = checks(deployment | {"DATALOADER_POOLSIZE": "3", "DATALOADER_SECRET_CRM": "x"})
    assert "DATALOADER_POOL_SIZE" in str(found["variable DATALOADER_POOLSIZE"].cure)
    assert "variable DATALOADER_SECRET_CRM" not in found


def test_a_broken_plugin_is_shown_with_package_version_and_cause(deployment: dict[str, str], plugin: Write) -> None:
    check = checks(deployment, plugin("broken", "import no_such_module", version="0.3"))["plugin broken"]
    assert "dataloader-broken 0.3 is left out: ModuleNotFoundError" in check.detail


def test_a_name_offered_twice_is_shown(deployment: dict[str, str], plugin: Write) -> None:
    check = checks(deployment, plugin("mine", backend("env")))["secret backend env"]
    assert check.ok  # the last offer of the name loads
    listed = [c for c in doctor.checks(Registry([*BUILT_IN, plugin("again", backend("env"))]), deployment) if not c.ok]
    [doubled] = [c for c in listed if c.name != "control database"]
    assert doubled.name == "secret backend env"
    assert "dataloader-core" in doubled.detail
    assert "dataloader-again 1.2" in doubled.detail


def test_a_missing_driver_of_an_extra_is_shown(deployment: dict[str, str], plugin: Write, tmp_path: Path) -> None:
    entry = plugin("vault", backend(extra="hashi"))
    metadata = tmp_path / "dataloader_vault-1.2.dist-info/METADATA"
    metadata.write_text(
        metadata.read_text()
        + "Provides-Extra: hashi\nRequires-Dist: hvac-not-there>=2; extra == 'hashi'\n"
        + "Requires-Dist: pydantic; extra == 'hashi'\nRequires-Dist: other-not-there; extra == 'more'\n"
    )
    check = checks(deployment | {"DATALOADER_SECRET_SCOPES": "env,vault:*"}, entry)["secret backend vault"]
    assert not check.ok
    assert check.detail == "dataloader-vault 1.2 needs hvac-not-there, not installed."
    assert check.cure == "Install with: pip install 'dataloader-vault[hashi]'"
    unused = checks(deployment, entry)["secret backend vault"]
    assert unused.ok
    assert unused.detail == "not selected; to use it: pip install 'dataloader-vault[hashi]'"
