"""Fixtures of the local engine's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from local_table import Table


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def orders(lake: Path) -> Iterator[Table]:
    table = Table(lake, {"id": "int", "name": "string", "amount": "decimal(12,2)"})
    table.create()
    yield table
    table.destination.close()
