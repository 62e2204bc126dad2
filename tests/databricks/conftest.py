"""A workspace for a test, as the environment of a deployment names it, and a deployment that runs its loads there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PostgresServer
from tests.dagster.deployment import Deployment
from tests.databricks.site import Site
from tests.databricks.tasks import run
from tests.databricks.workspace import Workspace

__all__ = ["run"]

# What Dagster's own Pipes session warns of about itself is no error of ours.
_DAGSTERS_OWN = (
    "ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning",
    "ignore:.*PipesMessageReader.expected_writer_count:Warning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            # Several processes, each waited for with patience.
            item.add_marker(pytest.mark.timeout(900))
            for warning in _DAGSTERS_OWN:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A stand-in workspace that ``DATABRICKS_HOST`` and ``DATABRICKS_TOKEN`` name."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    made = Workspace(folder)
    monkeypatch.setenv("DATABRICKS_HOST", made.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", made.token)
    yield made
    made.close()


@pytest.fixture
def deployment(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> Iterator[Deployment]:
    """Source, control database, lake and Dagster instance; loads run in the workspace, on the cluster of ``site``."""
    monkeypatch.setenv("DATALOADER_LAUNCHER", "databricks")
    made = Deployment(postgres_server, tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def site(deployment: Deployment, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(deployment, workspace, monkeypatch)
