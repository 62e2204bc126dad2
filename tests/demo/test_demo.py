"""`make demo` from end to end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_shows_all_six_strategies_and_every_table_is_as_promised() -> None:
    # Not below pytest's own folder, which the account that PostgreSQL runs as under root may not enter.
    with tempfile.TemporaryDirectory(prefix="dl-demo-") as folder:
        Path(folder).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-m", "examples.demo", "--folder", f"{folder}/demo"],
            capture_output=True, text=True, env=_environment(), check=False, cwd=Path(__file__).parents[2],
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r" OK\s", done.stdout)) == 6, done.stdout
    assert "DIFFERENT" not in done.stdout


def test_the_demo_empties_no_folder_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, "-m", "examples.demo", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode != 0
    assert "not a demo's folder" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DATALOADER_")} | {
        "COLUMNS": "160"
    }
