"""The launcher's settings: one place for runs, a Volume, no secret among what travels."""

from __future__ import annotations

import json

import pytest

from dataloader_core.errors import ConfigurationError
from dataloader_core.settings import read_settings
from dataloader_launchers.databricks.settings import DatabricksSettings

VOLUME = {"DATALOADER_DATABRICKS_VOLUME": "/Volumes/main/dataloader/runs"}


def read(**given: str) -> DatabricksSettings:
    return read_settings(
        DatabricksSettings, VOLUME | {f"DATALOADER_DATABRICKS_{k.upper()}": v for k, v in given.items()}
    )


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ({"cluster_id": "c1"}, "cluster"),
        ({"new_cluster": '{"spark_version": "16.4.x-scala2.12", "num_workers": 2}'}, "new_cluster"),
        ({"serverless": "true"}, "serverless"),
        ({"job_id": "7"}, "job"),
    ],
)
def test_each_place_is_chosen_by_its_setting(given: dict[str, str], shape: str) -> None:
    assert read(**given).shape == shape


@pytest.mark.parametrize("given", [{}, {"cluster_id": "c1", "serverless": "true"}])
def test_it_must_be_exactly_one(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="exactly one of DATALOADER_DATABRICKS_CLUSTER_ID"):
        read(**given)


@pytest.mark.parametrize("path", ["dbfs:/tmp", "/Volumes/main/dataloader", "/tmp/runs", "/Volumes//a/b"])
def test_a_folder_outside_of_volumes_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="/Volumes/CATALOG/SCHEMA/VOLUME"):
        read(serverless="true", volume=path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATALOADER_CONTROL_URL", "postgresql://loader:hunter2@db/control"),
        ("DATALOADER_CONTROL_URL", "host=db user=loader password=hunter2"),
        ("DATALOADER_SECRET_CRM", "hunter2"),
        ("DATABRICKS_TOKEN", "hunter2"),
        ("PGPASSWORD", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "hunter2"),
        ("AZURE_STORAGE_CONNECTION_STRING", "hunter2"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} holds a secret") as refused:
        read(serverless="true", environment=json.dumps({name: value}))
    assert "hunter2" not in str(refused.value)


def test_a_secret_among_the_variables_of_a_new_cluster_is_refused() -> None:
    variables = {"DATALOADER_CONTROL_URL": "postgresql://loader:hunter2@db/control"}
    with pytest.raises(ConfigurationError, match="DATALOADER_CONTROL_URL holds a secret") as refused:
        read(new_cluster=json.dumps({"spark_env_vars": variables}))
    assert "hunter2" not in str(refused.value)
    references = {"DATALOADER_CONTROL_URL": "{{secrets/dataloader/control-url}}", "DATALOADER_ENGINE": "spark"}
    read(new_cluster=json.dumps({"spark_env_vars": references}))


def test_settings_that_are_no_secret_may_travel() -> None:
    given = {"DATALOADER_CONTROL_URL": "lakebase://main/dataloader", "DATALOADER_SECRET_SCOPES": "databricks:crm"}
    assert read(serverless="true", environment=json.dumps(given)).databricks_environment == given


def test_references_to_secrets_are_for_clusters_that_are_made_for_the_run() -> None:
    given = json.dumps({"DATALOADER_CONTROL_URL": "{{secrets/dataloader/control-url}}"})
    read(new_cluster='{"spark_version": "16.4.x-scala2.12"}', environment=given)
    with pytest.raises(ConfigurationError, match="only the variables of a cluster itself"):
        read(cluster_id="c1", environment=given)
