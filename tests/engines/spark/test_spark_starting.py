"""The JVM that the engine starts leaves nothing in the working folder, and shows no credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import run_script


@pytest.fixture(scope="module")
def started(java: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    found, _ = run_script(Path(__file__).with_name("starting_spark.py"), str(tmp_path_factory.mktemp("started")))
    return found


def test_a_jvm_that_the_engine_starts_leaves_nothing_in_the_working_folder(started: Any) -> None:
    assert started["left"] == []


def test_no_command_line_shows_a_storage_key_that_the_session_knows(started: Any) -> None:
    assert started["known"]
    assert started["told"] == 0
