"""Fixtures of the tests of bad input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.deployment import Deployment, name_of, new_deployment, templates_of


@pytest.fixture(scope="session")
def templates(postgres_server: Any) -> tuple[str, str]:
    return templates_of(postgres_server)


@pytest.fixture
def deployment(postgres_server: Any, templates: tuple[str, str], tmp_path: Path) -> Iterator[Deployment]:
    """Its databases go with the test: hundreds of them would take minutes to remove at the end."""
    made = new_deployment(postgres_server, templates, tmp_path)
    names = [name_of(made.control_url), name_of(made.source_url)]
    yield made
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        for name in names:
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
