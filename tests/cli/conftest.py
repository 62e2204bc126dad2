"""Fixtures of the command line's tests: a deployment, and one that nobody has initialised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import Deployment, new_deployment, templates_of

__all__ = ["Deployment"]


@pytest.fixture(scope="session")
def templates(postgres_server: Any) -> tuple[str, str]:
    return templates_of(postgres_server)


@pytest.fixture
def empty(postgres_server: Any, templates: tuple[str, str], tmp_path: Path) -> Deployment:
    """Nothing was initialised yet."""
    source = postgres_server.new_database("cli_source", f"TEMPLATE {templates[1]}")
    return Deployment(postgres_server.new_database("cli_control"), source, postgres_server, tmp_path)


@pytest.fixture
def deployment(postgres_server: Any, templates: tuple[str, str], tmp_path: Path) -> Deployment:
    return new_deployment(postgres_server, templates, tmp_path)
