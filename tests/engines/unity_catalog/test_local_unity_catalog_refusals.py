"""What a load says when Unity Catalog refuses, throttles or is away; and that nothing was written then."""

from __future__ import annotations

import json

import pytest
from catalog_world import FULL, PATH, TABLE, says_when_it_fails

from dataloader_core.settings import read_settings
from dataloader_engines.local.catalog import UnityCatalog as UnityCatalogOfTheWorkspace
from dataloader_engines.local.engine import LocalEngine
from dataloader_engines.local.settings import LocalSettings
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.unity_catalog import UnityCatalog
from tests.support.deployment import Deployment


def row_count(deployment: Deployment) -> int:
    return len(deployment.rows("orders")) if (deployment.folder / "lake").exists() else 0


@pytest.mark.parametrize(
    ("privilege", "securable"),
    [
        ("USE CATALOG", "bronze"),
        ("USE SCHEMA", "bronze.crm"),
        ("CREATE TABLE", "bronze.crm"),
        ("EXTERNAL USE SCHEMA", "bronze.crm"),
    ],
)
def test_a_missing_grant_is_named_and_no_row_is_written_before_it_is_there(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog, privilege: str, securable: str
) -> None:
    catalog.deny(privilege, securable)
    said = says_when_it_fails(deployment, workspace)
    assert f"does not have {privilege} on" in said
    assert "It takes USE CATALOG on bronze" in said
    assert row_count(deployment) == 0
    catalog.grant(privilege, securable)
    deployment.ok("load", TABLE)
    assert row_count(deployment) == 100
    assert FULL in catalog.tables


def test_without_the_right_to_see_the_table_nothing_is_written(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog
) -> None:
    deployment.ok("load", TABLE)
    catalog.deny("SELECT", FULL)
    deployment.source_sql("INSERT INTO orders (id) VALUES (1000)")
    assert f"SELECT on {FULL}" in says_when_it_fails(deployment, workspace)
    assert row_count(deployment) == 100


def test_without_the_right_to_change_the_entry_the_load_succeeds_and_says_so(
    deployment: Deployment, catalog: UnityCatalog
) -> None:
    deployment.ok("load", TABLE)
    catalog.deny("MODIFY", FULL)
    deployment.source_sql("ALTER TABLE orders ADD amount numeric(12,2)")
    [outcome] = deployment.json("load", TABLE)["outcomes"]
    assert outcome["status"] == "Succeeded"
    assert f"MODIFY on {FULL}" in outcome["message"]


@pytest.mark.parametrize("schema", ["bronze.other", "silver.crm"], ids=["no schema", "no catalog"])
def test_a_schema_that_is_not_there_is_named(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog, schema: str
) -> None:
    catalog.schemas = {schema}
    said = says_when_it_fails(deployment, workspace)
    assert "Unity Catalog has no schema bronze.crm. Create it: CREATE SCHEMA bronze.crm." in said
    assert not (deployment.folder / "lake").exists()


def test_a_place_that_another_table_has_is_named(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog
) -> None:
    place = (deployment.folder / "lake" / "bronze" / "crm" / "orders").as_uri()
    catalog.put("bronze.crm.old_orders", storage_location=place)
    said = says_when_it_fails(deployment, workspace)
    assert "overlaps with table 'bronze.crm.old_orders'" in said
    assert "Correct what it names" in said
    assert row_count(deployment) == 0


@pytest.mark.parametrize(
    ("status", "said"),
    [(429, "is throttling requests"), (500, "injected by the test"), (503, "injected by the test")],
)
def test_trouble_of_the_workspace_is_transient(
    deployment: Deployment, workspace: Workspace, status: int, said: str
) -> None:
    workspace.faults.add("GET", PATH, status, retry_after=0)
    [outcome] = json.loads(deployment.run("load", TABLE, "--json").stdout)["outcomes"]
    assert (outcome["status"], outcome["transient"]) == ("Failed", True)
    assert said in outcome["message"]
    assert not (deployment.folder / "lake").exists()
    workspace.faults.clear()
    deployment.ok("load", TABLE)


def test_throttling_that_ends_is_not_noticed(
    deployment: Deployment, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataloader_databricks.workspace.RETRY_SECONDS", 20)
    throttled = workspace.faults.add("GET", PATH, 429, retry_after=0, times=2)
    deployment.ok("load", TABLE)
    assert throttled.hits == 2


def test_a_workspace_that_is_away_is_named(deployment: Deployment, workspace: Workspace) -> None:
    workspace.stop_listening()
    assert "cannot be reached" in says_when_it_fails(deployment, workspace)
    assert not (deployment.folder / "lake").exists()


def test_a_token_that_expired_is_named_and_its_successor_is_used(
    deployment: Deployment, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.identity.expire_all()
    said = says_when_it_fails(deployment, workspace)
    assert "does not accept the credentials" in said
    assert "Renew what DATABRICKS_TOKEN" in said
    monkeypatch.setenv("DATABRICKS_TOKEN", workspace.identity.new_token())
    deployment.ok("load", TABLE)


def test_a_token_that_expires_behind_the_commit_does_not_make_the_load_look_failed(
    deployment: Deployment, workspace: Workspace
) -> None:
    deployment.ok("load", TABLE)
    deployment.source_sql("ALTER TABLE orders ADD amount numeric(12,2)")
    workspace.faults.add("PATCH", PATH, 401, "Credential was expired")
    [outcome] = deployment.json("load", TABLE)["outcomes"]
    assert outcome["status"] == "Succeeded"
    assert "Credential was expired" in outcome["message"]


def test_a_service_principal_renews_its_token_by_itself(
    deployment: Deployment, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "loader")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.identity.new_client("loader"))
    workspace.identity.lifetime = 1.0
    deployment.ok("load", TABLE)
    assert workspace.state(UnityCatalog).tables[FULL]["owner"] == "loader"
    assert workspace.identity.issued >= 2


def test_a_wrong_secret_of_a_service_principal_is_said_without_it(
    deployment: Deployment, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "loader")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "correct-horse")
    said = says_when_it_fails(deployment, workspace)
    assert "does not accept the credentials" in said
    assert "correct-horse" not in said


def test_without_a_login_the_variables_are_named(
    deployment: Deployment, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "/nowhere")
    said = says_when_it_fails(deployment, workspace)
    assert "Set DATABRICKS_HOST with DATABRICKS_CLIENT_ID" in said


def test_the_doctor_says_which_metastore_answers(workspace: Workspace) -> None:
    assert UnityCatalogOfTheWorkspace().check().detail.startswith("metastore ")
    workspace.identity.expire_all()
    failed = UnityCatalogOfTheWorkspace().check()
    assert not failed.ok
    assert "does not accept the credentials" in failed.detail


def test_the_doctor_names_a_lake_that_no_catalog_could_read(deployment: Deployment) -> None:
    engine = LocalEngine(read_settings(LocalSettings, deployment.environment))
    [check] = [check for check in engine.checks() if check.name == "unity catalog"]
    assert not check.ok
    assert "is a folder of this machine" in check.detail
