"""Fixtures of the tests of bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import Deployment, new_deployment, templates_of


@pytest.fixture(scope="session")
def templates(postgres_server: Any) -> tuple[str, str]:
    return templates_of(postgres_server)


@pytest.fixture
def deployment(postgres_server: Any, templates: tuple[str, str], tmp_path: Path) -> Deployment:
    return new_deployment(postgres_server, templates, tmp_path)
