"""The launcher's settings: one place for runs, a Volume, no secret among what travels."""

from __future__ import annotations

import json
import re

import pytest
from databricks.sdk.service import compute

from dataloader_core.errors import ConfigurationError
from dataloader_core.settings import read_settings
from dataloader_launchers.databricks.libraries import dependency
from dataloader_launchers.databricks.libraries import library as library_of
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


@pytest.mark.parametrize("variables", [None, [], ["A=b"], "A=b", {"A": 1}, {"A": None}])
def test_variables_of_a_new_cluster_that_are_no_texts_by_name_are_refused(variables: object) -> None:
    with pytest.raises(ConfigurationError, match="spark_env_vars must map names to texts"):
        read(new_cluster=json.dumps({"spark_env_vars": variables}))


def test_settings_that_are_no_secret_may_travel() -> None:
    given = {"DATALOADER_CONTROL_URL": "lakebase://main/dataloader", "DATALOADER_SECRET_SCOPES": "databricks:crm"}
    assert read(serverless="true", environment=json.dumps(given)).databricks_environment == given


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_PRELOAD", "AWS_CONFIG_FILE", "DATALOADER_PARENT_PIPE"])
def test_what_decides_which_code_runs_does_not_travel(name: str) -> None:
    given = json.dumps({name: "/Volumes/main/dataloader/pipes"})
    with pytest.raises(ConfigurationError, match=f"{name} is no setting of DataLoader that travels"):
        read(serverless="true", environment=given)
    read(new_cluster='{"spark_version": "16.4.x-scala2.12"}', environment=given)


def test_references_to_secrets_are_for_clusters_that_are_made_for_the_run() -> None:
    given = json.dumps({"DATALOADER_CONTROL_URL": "{{secrets/dataloader/control-url}}"})
    read(new_cluster='{"spark_version": "16.4.x-scala2.12"}', environment=given)
    with pytest.raises(ConfigurationError, match="only the variables of a cluster itself"):
        read(cluster_id="c1", environment=given)


LIBRARIES = {
    "/Volumes/main/dataloader/wheels/dataloader_core-0.1.0-py3-none-any.whl": "whl",
    "s3://bucket/a.whl": "whl",
    "/Workspace/Shared/ojdbc11.jar": "jar",
    "abfss://libs@account.dfs.core.windows.net/postgresql-42.7.4.jar": "jar",
    "/Volumes/main/dataloader/wheels/requirements.txt": "requirements",
    "org.postgresql:postgresql:42.7.4": "maven",
    "io.delta:delta-spark_2.13:4.0.0": "maven",
    "dagster-pipes": "pypi",
    "dagster-pipes>=1.13": "pypi",
    "psycopg[binary,pool] ~= 3.2": "pypi",
}


@pytest.mark.parametrize(("text", "kind"), LIBRARIES.items())
def test_each_library_is_told_as_what_it_is(text: str, kind: str) -> None:
    [library] = [compute.Library.from_dict(library_of(text))]
    told = library.as_dict()
    assert list(told) == [kind]
    assert text in (told[kind], *(told[kind].values() if isinstance(told[kind], dict) else ()))
    assert read(cluster_id="c1", libraries=json.dumps([text])).databricks_libraries == (text,)


@pytest.mark.parametrize(
    "text",
    [
        *("dist/a.whl", "a.whl", "driver.jar", "requirements.txt", "/Volumes/m/d/w/a.egg", "/Volumes/m/d/w/"),
        *("group:artifact", "<2", "two words", "a @ https://example.com/a.zip"),
    ],
)
def test_what_is_no_library_is_refused_by_name(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"DATALOADER_DATABRICKS_LIBRARIES.*{re.escape(repr(text))} is no library"
    ):
        read(cluster_id="c1", libraries=text)


def test_serverless_compute_gets_lines_of_pip_and_no_jar() -> None:
    given = "/Volumes/m/d/w/requirements.txt,/Volumes/m/d/w/a.whl,dagster-pipes>=1.13"
    asked = [dependency(one) for one in read(serverless="true", libraries=given).databricks_libraries]
    assert asked == ["-r /Volumes/m/d/w/requirements.txt", "/Volumes/m/d/w/a.whl", "dagster-pipes>=1.13"]
    for text in ("/Volumes/m/d/w/ojdbc11.jar", "org.postgresql:postgresql:42.7.4"):
        with pytest.raises(ConfigurationError, match="for the JVM, which serverless compute does not install"):
            read(serverless="true", libraries=text)


def test_a_refused_library_is_named_without_its_password() -> None:
    with pytest.raises(ValueError, match="is no library") as caught:
        library_of("git+https://bot:hunter2@github.com/x")
    assert "hunter2" not in str(caught.value)
