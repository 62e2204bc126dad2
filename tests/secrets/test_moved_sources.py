"""A source that was written for one scope name, ``azure-keyvault``, loads as it stands in the control database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import PASSWORD, PostgresServer
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.secrets import Secrets
from tests.secrets.vault_stand_in import Vault
from tests.support.deployment import Deployment, name_of, templates_of


@pytest.fixture(scope="module")
def templates(postgres_server: PostgresServer) -> tuple[str, str]:
    return templates_of(postgres_server)


@pytest.fixture
def deployment(postgres_server: PostgresServer, templates: tuple[str, str], tmp_path: Path) -> Deployment:
    """A source as plain SQL makes it, with the scope that is the column's default."""
    control, source = (postgres_server.new_database("moved", f"TEMPLATE {name}") for name in templates)
    made = Deployment(control, source, postgres_server, tmp_path)
    names = {"host": "crm-host", "port": "crm-port", "user": "crm-user", "password": "crm-password"}
    made.sql(
        "INSERT INTO control.table_control_dbconfig (db_config_key, db_type, db_config_value) VALUES ('crm', %s, %s)",
        "postgresql",
        json.dumps({**names, "service_name": "crm-database"}),
    )
    made.apply()
    return made


def secrets_of(deployment: Deployment) -> dict[str, str]:
    server = deployment.server
    return {
        "crm-host": server.host,
        "crm-port": str(server.port),
        "crm-user": "loader",
        "crm-password": PASSWORD,
        "crm-database": name_of(deployment.source_url),
    }


def test_its_secrets_come_from_the_databricks_scope(deployment: Deployment, workspace: Workspace) -> None:
    for name, value in secrets_of(deployment).items():
        workspace.state(Secrets).put("azure-keyvault", name, value)
    deployment.environment["DATALOADER_SECRET_SCOPES"] = "azure-keyvault"
    assert "resolved from azure-keyvault" in deployment.ok("source", "test", "crm")
    process = deployment.start("run", "--once")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert len(deployment.rows("orders")) > 0


def test_until_the_deployment_allows_the_scope_the_table_fails_with_the_cure(
    deployment: Deployment, workspace: Workspace
) -> None:
    process = deployment.start("run", "--once")
    process.communicate(timeout=120)
    [status] = deployment.json("status")["tables"]
    assert status["last_status"] == "Failed"
    assert "DATALOADER_SECRET_SCOPES" in status["last_status_message"]
    assert workspace.requests == []


def test_a_scope_that_is_away_is_a_failure_that_may_pass(deployment: Deployment, workspace: Workspace) -> None:
    deployment.environment["DATALOADER_SECRET_SCOPES"] = "azure-keyvault"
    workspace.faults.add("GET", "secrets/get", 500)
    result = deployment.run("load", "crm.public.orders", "--json")
    assert result.exit_code == 1
    [outcome] = json.loads(result.stdout)["outcomes"]
    assert (outcome["error_class"], outcome["transient"]) == ("SecretUnavailableError", True)


def test_the_same_secrets_may_come_from_the_vault_itself(deployment: Deployment, vault: Vault) -> None:
    for name, value in secrets_of(deployment).items():
        vault.put(name, value)
    deployment.sql("UPDATE control.table_control_dbconfig SET db_kv_scope = 'key_vault:crm-vault'")
    deployment.environment["DATALOADER_SECRET_SCOPES"] = "key_vault:crm-vault"
    assert "resolved from key_vault:crm-vault" in deployment.ok("source", "test", "crm")
    deployment.ok("load", "crm.public.orders")
    assert len(deployment.rows("orders")) > 0
    assert len(vault.requests) == len(secrets_of(deployment))
