"""Dagster's deployment files, held against a real instance on a real PostgreSQL and against each other."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.config_schema import process_workspace_config
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from pydantic import BaseModel

from dataloader_core.plugins.manager import default_registry
from dataloader_core.settings import PREFIX, Settings, variable
from dataloader_dagster.requests import SOURCE_TAG, TABLE_LOAD_JOB
from dataloader_dagster.settings import DagsterSettings
from tests.deploy.bundle import REPOSITORY
from tests.support.deployment import name_of

FOLDER: Final = REPOSITORY / "deploy" / "dagster"
CONTAINERFILE: Final = (FOLDER / "Containerfile").read_text(encoding="utf-8")


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


@pytest.fixture
def instance(postgres_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """An instance made from the file as it is, its storage on the tests' server."""
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed")
    database = name_of(postgres_server.new_database("dagster"))
    url = postgres_server.tcp_dsn(database).replace("postgresql://", "postgresql+psycopg2://")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    shutil.copy(FOLDER / "dagster.yaml", tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def test_an_instance_starts_with_these_settings_and_keeps_runs(instance: DagsterInstance) -> None:
    assert type(instance.run_storage).__name__ == "PostgresRunStorage"
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    assert instance.run_monitoring_enabled
    assert not instance.telemetry_enabled
    assert list(instance.get_runs()) == []
    assert instance.get_run_records(limit=1) == []


def test_the_runs_of_one_source_are_limited_each_for_itself(instance: DagsterInstance) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    [limit] = queue.tag_concurrency_limits
    assert limit["key"] == SOURCE_TAG
    assert limit["value"] == {"applyLimitPerUniqueValue": True}
    assert 0 < limit["limit"] < queue.max_concurrent_runs


def test_a_source_at_its_limit_does_not_hold_up_another(instance: DagsterInstance) -> None:
    limit = read("dagster.yaml")["concurrency"]["runs"]["tag_concurrency_limits"][0]["limit"]
    for _ in range(limit):
        create_run_for_test(instance, tags={SOURCE_TAG: "crm"}, status=DagsterRunStatus.STARTED)
    waiting, other = (queued(instance, source) for source in ("crm", "erp"))
    config = instance.get_concurrency_config()
    chosen = QueuedRunCoordinatorDaemon(interval_seconds=1)._get_runs_to_dequeue(instance, config, None)
    assert [run.run_id for run in chosen] == [other.run_id]
    assert waiting.run_id != other.run_id


def queued(instance: DagsterInstance, source: str) -> DagsterRun:
    place = GrpcServerCodeLocationOrigin(host="code", port=4000, location_name="dataloader")
    job = RemoteRepositoryOrigin(place, "__repository__").get_job_origin(TABLE_LOAD_JOB)
    run: DagsterRun = create_run_for_test(
        instance, tags={SOURCE_TAG: source}, status=DagsterRunStatus.QUEUED, remote_job_origin=job
    )
    return run


def test_monitoring_ends_no_run_that_has_time_left(instance: DagsterInstance) -> None:
    settings = instance.get_settings("run_monitoring")
    assert settings["max_runtime_seconds"] > DagsterSettings().alone_time_limit


def test_the_url_of_the_storage_names_its_driver() -> None:
    assert read("dagster.yaml")["storage"]["postgres"]["postgres_url"] == {"env": "DAGSTER_POSTGRES_URL"}
    assert re.search(r"^DAGSTER_POSTGRES_URL=postgresql\+psycopg2://", example(), re.MULTILINE)


def example() -> str:
    return (FOLDER / "example.env").read_text(encoding="utf-8")


def test_every_setting_of_the_example_is_one_that_is_read() -> None:
    registry = default_registry()
    models: list[type[BaseModel]] = [
        Settings,
        DagsterSettings,
        *(o.record.settings for o in registry.listing() if o.record.settings),
    ]
    known = {variable(field) for model in models for field in model.model_fields}
    names = set(re.findall(r"^(\w+)=", example(), re.MULTILINE))
    assert {name for name in names if name.startswith(PREFIX)} <= known
    assert not {name for name in names if not name.startswith((PREFIX, "DATABRICKS_", "DAGSTER_"))}


def test_the_code_location_is_where_the_daemon_looks_for_it() -> None:
    [location] = read("workspace.yaml")["load_from"]
    process_workspace_config(read("workspace.yaml"))
    host, port = location["grpc_server"]["host"], location["grpc_server"]["port"]
    assert host in read("compose.yaml")["services"]
    assert f'"--port", "{port}"' in CONTAINERFILE
    assert '"-m", "dataloader_dagster.definitions"' in CONTAINERFILE


def test_only_the_code_location_gets_secrets_beside_the_storages_own() -> None:
    services = read("compose.yaml")["services"]
    assert services.pop("code")["env_file"] == [".env"]
    for service in services.values():
        assert "env_file" not in service
        assert set(service["environment"]) == {"DAGSTER_POSTGRES_URL"}
        assert "DAGSTER_POSTGRES_URL=" in example()


def test_the_containers_start_commands_that_their_packages_bring() -> None:
    scripts = {e.name for p in ("dagster", "dagster-webserver") for e in distribution(p).entry_points}
    services = read("compose.yaml")["services"]
    commands = [service["command"][0] for service in services.values() if "command" in service]
    assert set(commands) == {"dagster-daemon", "dagster-webserver"}
    assert set(commands) <= scripts
    assert 'CMD ["dagster",' in CONTAINERFILE


def test_the_image_is_made_of_files_and_extras_that_exist() -> None:
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE):
        assert all((REPOSITORY / source).exists() for source in line.split())
    for named in re.findall(r"/src/(\S+?\.(?:txt|lock))", CONTAINERFILE):
        assert (REPOSITORY / named).is_file()
    [extras] = re.findall(r"/src\[([^\]]+)\]", CONTAINERFILE)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_the_image_is_made_of_the_wheels_sources_and_nothing_else_of_a_checkout() -> None:
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
        for source in line.split()
    }
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert {s for s in copied if (REPOSITORY / s).is_dir()} == set(build["targets"]["wheel"]["only-include"])


def test_the_image_has_its_bytecode() -> None:
    assert "compileall -q -j 0 /opt/dataloader/lib" in CONTAINERFILE
    assert "PYTHONDONTWRITEBYTECODE=1" in CONTAINERFILE
    assert "USER dataloader" in CONTAINERFILE


def test_compose_builds_that_image() -> None:
    build = read("compose.yaml")["x-dataloader"]["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).resolve() == (FOLDER / "Containerfile").resolve()
