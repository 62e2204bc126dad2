"""A deployment whose local engine registers what it writes in a stand-in of a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databricks.workspace import Workspace
from tests.databricks.workspace.unity_catalog import UnityCatalog
from tests.support.deployment import Deployment, new_deployment, templates_of


@pytest.fixture(scope="session")
def templates(postgres_server: Any) -> tuple[str, str]:
    return templates_of(postgres_server)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    folder = tmp_path / "workspace"
    folder.mkdir()
    made = Workspace(folder)
    monkeypatch.setenv("DATABRICKS_HOST", made.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", made.token)
    monkeypatch.setattr("dataloader_databricks.workspace.RETRY_SECONDS", 1)
    yield made
    made.close()


@pytest.fixture
def catalog(workspace: Workspace) -> UnityCatalog:
    return workspace.state(UnityCatalog)


@pytest.fixture
def deployment(workspace: Workspace, postgres_server: Any, templates: tuple[str, str], tmp_path: Path) -> Deployment:
    made = new_deployment(postgres_server, templates, tmp_path)
    made.environment["DATALOADER_UNITY_CATALOG"] = "on"
    made.source_sql("COMMENT ON TABLE orders IS 'what was ordered'")
    made.source_sql("COMMENT ON COLUMN orders.name IS 'as on the invoice'")
    made.apply()
    return made
