"""A workspace for a test, as the environment of a deployment names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databricks.workspace import Workspace


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
