"""The asset bundle: held against the typed models of ``databricks-bundles``, the wheel and the program's settings."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from dagster_pipes import encode_param
from databricks.bundles.core import Resource
from databricks.bundles.core._resource_type import _ResourceType
from databricks.sdk import WorkspaceClient
from pydantic import BaseModel

from dataloader_core.plugins.manager import default_registry
from dataloader_core.settings import PREFIX, Settings, read_settings, variable
from dataloader_dagster.settings import DagsterSettings
from dataloader_launchers.databricks.orders import ENTRY_POINT, RunRequest, start
from dataloader_launchers.databricks.settings import DatabricksSettings
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.jobs import Jobs
from tests.databricks.workspace.runs import Runs
from tests.deploy.bundle import FOLDER, GIVEN, REPOSITORY, Bundle, read_bundle

MODELS: dict[str, type[Resource]] = {one.plural_name: one.resource_type for one in _ResourceType.all()}
TARGETS = ("dev", "prod")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle()


def jobs(bundle: Bundle, target: str = "prod") -> dict[str, Any]:
    return bundle.resources(target)["jobs"]


def environments(job: dict[str, Any]) -> list[dict[str, str]]:
    return [cluster["new_cluster"].get("spark_env_vars", {}) for cluster in job.get("job_clusters", ())]


@pytest.mark.parametrize("target", TARGETS)
def test_every_resource_is_one_that_databricks_knows(bundle: Bundle, target: str) -> None:
    assert tuple(bundle.targets) == TARGETS
    resources = bundle.resources(target)
    assert {"jobs", "schemas", "volumes", "secret_scopes", "database_instances"} <= set(resources)
    for kind, named in resources.items():
        for resource in named.values():
            made: Any = MODELS[kind].from_dict(resource)  # type: ignore[attr-defined]  # every model has it
            assert made.as_dict()


def test_the_models_refuse_what_is_misspelt(bundle: Bundle) -> None:
    job = jobs(bundle)["load"]
    with pytest.raises(ValueError, match="Unexpected field 'max_concurent_runs'"):
        MODELS["jobs"].from_dict(job | {"max_concurent_runs": 3})  # type: ignore[attr-defined]  # every model has it


def test_every_variable_is_used_and_every_use_is_declared(bundle: Bundle) -> None:
    declared = bundle.root["variables"]
    assert bundle.references() == set(declared)
    for target in TARGETS:
        given = set(bundle.root["targets"][target].get("variables", {}))
        undefined = {name for name, v in declared.items() if "default" not in v} - given
        assert undefined == set(GIVEN)


def test_it_names_files_that_are_there_or_are_built(bundle: Bundle) -> None:
    assert set(bundle.files) == {f"resources/{path.name}" for path in (FOLDER / "resources").iterdir()}
    artifact = bundle.root["artifacts"]["dataloader"]
    source = FOLDER / artifact["path"] / artifact["build"].split()[-1]
    assert (source.resolve() / "pyproject.toml").is_file()
    assert source.resolve() == REPOSITORY
    [built] = artifact["files"]
    for wheel in wheels_of(bundle):
        # Libraries are written from the file's own folder, artifacts from the bundle's.
        assert (FOLDER / "resources" / wheel).resolve() == (FOLDER / built["source"]).resolve()


def wheels_of(bundle: Bundle) -> list[str]:
    found = []
    for job in jobs(bundle).values():
        found += [one["whl"] for task in job["tasks"] for one in task.get("libraries", ()) if "whl" in one]
        for environment in job.get("environments", ()):
            found += [one for one in environment["spec"]["dependencies"] if one.endswith(".whl")]
    return found


def test_the_wheel_that_is_built_is_the_one_that_is_uploaded(bundle: Bundle, wheel: Path) -> None:
    [built] = bundle.root["artifacts"]["dataloader"]["files"]
    assert fnmatch(f"dist/{wheel.name}", built["source"])


def test_its_tasks_start_an_entry_point_of_the_wheel(bundle: Bundle, wheel: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    [info] = tmp_path.glob("*.dist-info")
    installed = Distribution.at(info)
    commands = {entry.name for entry in installed.entry_points.select(group="console_scripts")}
    for job in jobs(bundle).values():
        for task in job["tasks"]:
            assert task["python_wheel_task"]["package_name"] == installed.metadata["Name"]
            assert task["python_wheel_task"]["entry_point"] in commands


@pytest.mark.parametrize("name", ["load", "load_serverless"])
def test_the_launcher_can_hand_its_order_to_the_job(bundle: Bundle, workspace: Workspace, name: str) -> None:
    runs = workspace.state(Runs)
    workspace.state(Jobs).jobs[7] = jobs(bundle)[name] | {"job_clusters": []}
    settings = DatabricksSettings(databricks_job_id=7, databricks_volume="/Volumes/main/dataloader/pipes")
    environment = {"DATALOADER_ENGINE": "spark"}
    given = {"--dagster-pipes-context": "c", "--dagster-pipes-messages": "m"}
    request = RunRequest("a run", "token", given, environment, 3600)
    given = {**given, "--dataloader-environment": encode_param(environment)}
    run = runs.get(start(WorkspaceClient(), settings, request))
    assert run.task["python_wheel_task"]["entry_point"] == ENTRY_POINT
    assert run.task["python_wheel_task"]["parameters"] == [part for pair in given.items() for part in pair]


def test_what_the_wheel_needs_beside_is_what_its_extras_ask_for(bundle: Bundle) -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for job in jobs(bundle).values():
        packages = [one["pypi"]["package"] for t in job["tasks"] for one in t.get("libraries", ()) if "pypi" in one]
        for environment in job.get("environments", ()):
            packages += [one for one in environment["spec"]["dependencies"] if not one.endswith(".whl")]
        assert packages
        for package in packages:
            assert f'"{package}"' in text, package


@pytest.mark.parametrize("target", TARGETS)
def test_the_settings_it_gives_are_settings_that_the_program_reads(bundle: Bundle, target: str) -> None:
    registry = default_registry()
    models: list[type[BaseModel]] = [Settings, *(o.record.settings for o in registry.listing() if o.record.settings)]
    known = {variable(field) for model in models for field in model.model_fields}
    for job in jobs(bundle, target).values():
        for given in environments(job):
            assert {name for name in given if name.startswith(PREFIX)} <= known
            settings = read_settings(Settings, given)
            assert settings.engine in registry.names("engine")
            assert settings.control_url is not None


@pytest.mark.parametrize("target", TARGETS)
def test_rows_wait_in_the_volume_that_it_makes_whatever_the_target_calls_its_schema(
    bundle: Bundle, target: str
) -> None:
    resources = bundle.resources(target)
    path = f"/Volumes/{_full_name(resources['volumes']['staging']).replace('.', '/')}"
    assert [given["DATALOADER_STAGING"] for job in resources["jobs"].values() for given in environments(job)] == [path]


@pytest.mark.parametrize("target", TARGETS)
def test_no_name_of_a_resource_is_written_where_it_is_used(bundle: Bundle, target: str) -> None:
    """A target may call it otherwise: the volumes' schema is the schema that is made."""
    resources = bundle.resources(target)
    [schema] = resources["schemas"].values()
    assert {volume["schema_name"] for volume in resources["volumes"].values()} == {schema["name"]}
    assert (schema["name"] == "dataloader") == (target == "prod")


@pytest.mark.parametrize("target", TARGETS)
def test_its_scope_is_one_that_loads_may_use(bundle: Bundle, target: str) -> None:
    resources = bundle.resources(target)
    [scope] = resources["secret_scopes"].values()
    for job in resources["jobs"].values():
        for given in environments(job):
            assert read_settings(Settings, given).secret_scopes == (f"databricks:{scope['name']}",)


def test_no_limit_of_the_job_is_below_a_limit_of_the_launcher(bundle: Bundle) -> None:
    for job in jobs(bundle).values():
        assert job["timeout_seconds"] > DagsterSettings().alone_time_limit
        assert all(task["max_retries"] == 0 for task in job["tasks"])


def test_it_grants_no_more_than_its_page_says(bundle: Bundle) -> None:
    page = (REPOSITORY / "docs" / "how-to" / "grants.md").read_text(encoding="utf-8")
    resources = bundle.resources("prod")
    granted = {
        privilege
        for kind in ("schemas", "volumes")
        for resource in resources[kind].values()
        for grant in resource.get("grants", ())
        for privilege in grant["privileges"]
    }
    assert granted == {"USE_SCHEMA", "READ_VOLUME", "WRITE_VOLUME"}
    assert all(privilege.replace("_", " ") in page for privilege in granted)
    levels = {
        (kind, p["level"], principals()[p["service_principal_name"]])
        for kind in ("jobs", "secret_scopes", "database_instances")
        for resource in resources[kind].values()
        for p in resource["permissions"]
    }
    assert levels == {
        ("jobs", "CAN_MANAGE_RUN", "orchestrator"),
        ("secret_scopes", "READ", "loader"),
        ("database_instances", "CAN_USE", "orchestrator"),
        ("database_instances", "CAN_USE", "loader"),
    }
    assert all(level.replace("_", " ") in page for _, level, _ in levels)


def principals() -> dict[str, str]:
    """Whose application id it is."""
    return {application_id: name for name, application_id in GIVEN.items()}


def grants_of_the_page() -> set[tuple[str, str, str]]:
    """Securable, principal, privilege, of each GRANT on what is DataLoader's own."""
    page = (REPOSITORY / "docs" / "how-to" / "grants.md").read_text(encoding="utf-8")
    found = re.findall(r"^GRANT (.+) ON (?:CATALOG|SCHEMA|VOLUME) (\S+) TO `(\w+)`;$", page, re.MULTILINE)
    return {(name, who, privilege) for privileges, name, who in found for privilege in privileges.split(", ")}


def test_the_pages_grants_are_those_of_the_bundle(bundle: Bundle) -> None:
    resources = bundle.resources("prod")
    granted = {
        (_full_name(resource), principals()[grant["principal"]], privilege.replace("_", " "))
        for kind in ("schemas", "volumes")
        for resource in resources[kind].values()
        for grant in resource["grants"]
        for privilege in grant["privileges"]
    }
    catalog = resources["schemas"]["operations"]["catalog_name"]
    on_catalog = {(catalog, name, "USE CATALOG") for name in GIVEN}
    page = {grant for grant in grants_of_the_page() if grant[0].partition(".")[0] != "bronze"}
    assert page == granted | on_catalog


def _full_name(resource: dict[str, Any]) -> str:
    parts = [resource["catalog_name"], resource.get("schema_name"), resource["name"]]
    return ".".join(part for part in parts if part)


def test_the_volume_of_the_messages_is_one_for_all_files(bundle: Bundle) -> None:
    pipes = bundle.resources("prod")["volumes"]["pipes"]
    path = f"/Volumes/{_full_name(pipes).replace('.', '/')}"
    for file in ("deploy/dagster/example.env", "docs/how-to/run-on-databricks.md"):
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert re.findall(r"^DATALOADER_DATABRICKS_VOLUME=(\S+)$", text, re.MULTILINE) == [path]


def test_the_control_database_cannot_be_deleted_with_the_bundle(bundle: Bundle) -> None:
    [instance] = bundle.resources("prod")["database_instances"].values()
    assert instance["lifecycle"] == {"prevent_destroy": True}


def test_the_wheel_lies_where_only_its_deployer_may_write_and_the_loader_may_read(bundle: Bundle) -> None:
    """Who may write there decides which code runs with the loader's rights; /Workspace/Shared is open to everybody."""
    for target in bundle.root["targets"].values():
        path = target.get("workspace", {}).get("root_path", "/Workspace/Users/somebody")
        assert path.startswith("/Workspace/Users/")
    assert bundle.root["permissions"] == [{"level": "CAN_VIEW", "service_principal_name": "${var.loader}"}]


def test_it_holds_no_secret(bundle: Bundle) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.yml"))
    assert not re.search(r"(?i)dapi[0-9a-f]{8}|password|client_secret", text)
