"""What the entry of a load's process takes over of what it was started with."""

from __future__ import annotations

import pytest

from dataloader_core.settings import Settings
from dataloader_dagster.dataloader_pipe import OF_LOADS, take_on
from dataloader_dagster.launching import settings_of_loads

CONTROL = "DATALOADER_CONTROL_URL"


def taken(own: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    environment = dict(own)
    take_on(environment, given)
    return environment


def test_what_the_process_lacks_is_taken_over() -> None:
    assert taken({}, {CONTROL: "lakebase://a/b"}) == {CONTROL: "lakebase://a/b"}


@pytest.mark.parametrize("name", [CONTROL, "DATALOADER_SECRET_SCOPES", "DATALOADER_SECRET_PATTERNS"])
def test_what_the_cluster_or_the_job_has_set_stands(name: str) -> None:
    assert taken({name: "own"}, {name: "given"}) == {name: "own"}


def test_what_a_load_goes_by_is_the_deployments_that_asked_for_it() -> None:
    own = dict.fromkeys(OF_LOADS, "own")
    assert taken(own, dict.fromkeys(OF_LOADS, "given")) == dict.fromkeys(OF_LOADS, "given")
    settings = Settings(engine="spark", lake="/lake", pool_size=3, row_limit=7)
    assert set(settings_of_loads(settings)) == OF_LOADS


@pytest.mark.parametrize("name", ["PYTHONPATH", "PATH", "LD_PRELOAD", "AWS_CONFIG_FILE", "DATABRICKS_HOST"])
def test_what_is_no_setting_of_dataloader_is_left_out(name: str) -> None:
    assert taken({}, {name: "/tmp"}) == {}
