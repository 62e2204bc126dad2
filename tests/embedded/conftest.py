"""A folder whose embedded server ends with its test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader_core.embedded import (
    stop,
)


@pytest.fixture
def project() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dl-emb-"))
    yield folder
    stop(folder)
    shutil.rmtree(folder, ignore_errors=True)
