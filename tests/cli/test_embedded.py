"""Without any PostgreSQL of one's own: `init` makes one, and every folder below uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dataloader_core.embedded import stop


def dataloader(folder: Path, *arguments: str) -> Any:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DATALOADER_")}
    done = subprocess.run(
        [sys.executable, "-m", "dataloader_core.cli.main", *arguments, "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_init_makes_a_database_that_folders_below_share(tmp_path: Path) -> None:
    below = tmp_path / "project" / "below"
    below.mkdir(parents=True)
    tmp_path.chmod(0o755)
    try:
        made = dataloader(below.parent, "init")
        assert made["created"] is True
        assert made["control_database"].startswith("embedded")
        again = dataloader(below, "init")
        assert (again["created"], again["applied"]) == (False, [])
        assert again["control_database"] == made["control_database"]
        assert not (below / ".dataloader").exists()
        assert dataloader(below, "status") == {"tables": []}
    finally:
        stop(below.parent)
