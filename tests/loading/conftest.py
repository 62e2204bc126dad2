"""A deployment for tests of the loader: control database, source and lake of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.loads import Deployment


@pytest.fixture
def deployment(postgres_server: Any, tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(postgres_server, tmp_path)
    yield deployment
    deployment.control.close()
