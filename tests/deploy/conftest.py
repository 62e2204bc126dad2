"""The wheel that a deployment ships, its containers' processes, and a stand-in of the workspace where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.databricks.conftest import deployment, site, workspace
from tests.deploy.stack import Stack, storage_url
from tests.support.environments import build_wheel
from tests.support.spark import java

__all__ = ["deployment", "java", "site", "workspace"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def stack(postgres_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed")
    made = Stack(tmp_path / "home", storage_url(postgres_server))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", made.environment["DAGSTER_POSTGRES_URL"])
    return made
