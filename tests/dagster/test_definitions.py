"""What importing the definitions needs (nothing) and what they say of themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest
from dagster import AssetKey, DefaultSensorStatus, SensorDefinition

from dataloader_dagster.definitions import build_definitions, defs
from dataloader_dagster.requests import TABLE_LOAD_JOB

IMPORT_WITHOUT_NETWORK = """
import socket

def refuse(*args, **kwargs):
    raise AssertionError("somebody wants the network")

socket.socket.connect = refuse
socket.create_connection = refuse
from dataloader_dagster.definitions import defs
defs.resolve_job_def("dataloader_table_load_job")
import sys
drivers = {"duckdb", "deltalake", "pyarrow", "adbc_driver_postgresql"} & set(sys.modules)
assert not drivers, drivers
"""

SENSORS = {sensor.name: sensor for sensor in defs.sensors or [] if isinstance(sensor, SensorDefinition)}


def test_importing_needs_no_setting_no_secret_and_no_network() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_WITHOUT_NETWORK], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["master_sensor", "failed_runs_reconcile", "cancelled_runs_reconcile"])
def test_sensors_run_by_default(name: str) -> None:
    assert SENSORS[name].default_status is DefaultSensorStatus.RUNNING


def test_the_master_sensor_ticks_every_minute_and_starts_the_table_load() -> None:
    sensor = SENSORS["master_sensor"]
    assert sensor.minimum_interval_seconds == 60
    assert sensor.job_name == TABLE_LOAD_JOB


def test_a_run_uses_no_further_process_for_its_step() -> None:
    assert defs.resolve_job_def(TABLE_LOAD_JOB).executor_def.name == "in_process"


def test_every_set_of_definitions_is_whole() -> None:
    assert build_definitions().resolve_asset_graph().has(AssetKey("dataloader_table_load"))


def test_the_location_says_which_plugins_it_was_assembled_with() -> None:
    assert "subprocess" in str(defs.metadata["launcher"])
    assert "chunked_backfill" in str(defs.metadata["strategy"])
    assert "left out" in defs.metadata
