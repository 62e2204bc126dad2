"""The wheel that a deployment ships, and an environment that has what a cluster has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databricks.workspace import Workspace
from tests.support.environments import build_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    folder = tmp_path / "workspace"
    folder.mkdir()
    made = Workspace(folder)
    monkeypatch.setenv("DATABRICKS_HOST", made.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", made.token)
    yield made
    made.close()
