"""Processes that lose their Spark, whose next load finds another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import run_script

pytestmark = pytest.mark.usefixtures("java")


@pytest.mark.parametrize("how", ["killed", "memory"])
def test_a_java_that_dies_is_named_and_the_process_loads_on(how: str, tmp_path: Path) -> None:
    found, _ = run_script(Path(__file__).with_name("dying_spark.py"), how, str(tmp_path))
    assert found["told"].startswith("DestinationUnavailableError: Spark ")
    assert "memory" in found["told"]
    assert found["next"] == 1


@pytest.mark.parametrize("how", ["leaving", "stopped", "replaced"])
def test_a_spark_that_still_answers_but_is_of_no_use_is_not_taken(how: str, tmp_path: Path) -> None:
    found, _ = run_script(Path(__file__).with_name("dying_spark.py"), how, str(tmp_path))
    assert found == {"told": "nothing", "next": 1}
