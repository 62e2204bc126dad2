"""The wheel that a deployment ships, and a stand-in of the workspace with a deployment that runs there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databricks.conftest import deployment, site, workspace
from tests.support.environments import build_wheel
from tests.support.spark import java

__all__ = ["deployment", "java", "site", "workspace"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))
