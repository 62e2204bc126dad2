"""Whatever opens the control database logs in to Lakebase: commands, loads, doctor, Dagster's sensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, build_sensor_context

from dataloader_dagster.definitions import build_definitions
from tests.conftest import PostgresServer
from tests.databricks.conftest import workspace
from tests.databricks.workspace import Workspace
from tests.support.deployment import Deployment, name_of, templates_of
from tests.support.lakebase import ENDPOINT, INSTANCE, World

__all__ = ["workspace"]


@pytest.fixture(scope="module")
def templates(postgres_server: PostgresServer) -> tuple[str, str]:
    return templates_of(postgres_server)


@pytest.fixture
def world(postgres_server: PostgresServer, workspace: Workspace, tmp_path: Path) -> Iterator[World]:
    made = World(postgres_server, workspace, tmp_path, name_of(postgres_server.new_database("lakebase")))
    yield made
    made.close()


@pytest.fixture
def deployment(world: World, templates: tuple[str, str], tmp_path: Path) -> Deployment:
    """Nothing was initialised yet."""
    source = world.server.new_database("source", f"TEMPLATE {templates[1]}")
    made = Deployment(world.server.dsn(world.database), source, world.server, tmp_path)
    made.environment["DATALOADER_CONTROL_URL"] = world.url()
    return made


@pytest.mark.parametrize("instance", [INSTANCE, ENDPOINT])
def test_every_command_from_init_to_a_load_in_a_process_of_its_own(
    deployment: Deployment, world: World, instance: str
) -> None:
    deployment.environment["DATALOADER_CONTROL_URL"] = world.url(instance)
    assert "Schema: applied" in deployment.ok("init")
    deployment.add_source()
    deployment.apply()
    process = deployment.start("run", "--once")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert len(deployment.rows("orders")) > 0
    [status] = deployment.json("status")["tables"]
    assert status["last_status"] == "Succeeded"
    assert len(world.api.tokens) >= 2
    assert not any(token in said for token in world.api.tokens)


def test_doctor_asks_it_and_says_what_is_wrong(deployment: Deployment, world: World) -> None:
    deployment.ok("init")
    assert "lakebase://crm-control/" in deployment.run("plugins", "doctor").stdout
    world.api.instances[INSTANCE]["state"] = "STOPPED"
    result = deployment.run("plugins", "doctor")
    assert result.exit_code == 1
    assert "is stopped" in " ".join(result.stdout.split())


def test_a_command_that_cannot_log_in_ends_as_one_whose_control_database_is_away(
    deployment: Deployment, world: World
) -> None:
    world.api.instances[INSTANCE]["state"] = "STOPPED"
    assert deployment.run("status").exit_code == 3
    del world.api.instances[INSTANCE]
    assert deployment.run("status").exit_code == 2


def test_a_scheme_that_nobody_offers_is_refused_by_name(deployment: Deployment) -> None:
    deployment.environment["DATALOADER_CONTROL_URL"] = "lakebas://me:hunter2@crm/control"
    result = deployment.run("status")
    assert result.exit_code == 2
    assert "Unknown control login 'lakebas'" in result.output
    assert "hunter2" not in result.output


def test_a_tick_of_dagsters_sensor_claims_what_is_due(
    deployment: Deployment, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.ok("init")
    deployment.add_source()
    deployment.apply()
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    definitions = build_definitions()
    with DagsterInstance.ephemeral() as instance:
        context = build_sensor_context(instance=instance, definitions=definitions)
        data = definitions.resolve_sensor_def("master_sensor").evaluate_tick(context)
    assert len(data.run_requests or ()) == 1
    assert deployment.json("status")["tables"][0]["last_status"] == "Queued"
