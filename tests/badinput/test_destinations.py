"""Bad input at the destination: what is there is not what the control row remembers, or cannot be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.badinput.table import STAMPED, Table
from tests.support.deployment import Deployment

NEW = "INSERT INTO orders VALUES (101, 'new')"


@pytest.fixture
def orders(deployment: Deployment) -> Table:
    """Loaded twice: 100 rows, then one more."""
    table = Table(deployment, "orders", **STAMPED)
    table.load()
    table.change("INSERT INTO orders VALUES (100500, 'second load')")
    table.load()
    return table


def test_a_folder_that_is_no_delta_table_is_left_as_it_is(deployment: Deployment) -> None:
    orders = Table(deployment, "orders", load_strategy="full")
    orders.path.mkdir(parents=True)
    (orders.path / "notes.txt").write_text("mine")
    orders.refused(str(orders.path), "no Delta log", changes_nothing=False)
    orders.set("load_full = true")
    orders.refused("no Delta log", changes_nothing=False)
    assert [p.name for p in orders.path.iterdir()] == ["notes.txt"]
    shutil.rmtree(orders.path)
    orders.load()
    assert len(orders.rows()) == 100


def test_a_table_with_rows_of_nobody_is_refused_with_both_cures(deployment: Deployment) -> None:
    orders = Table(deployment, "orders", load_strategy="full")
    write_deltalake(orders.path, pa.table({"id": [7]}))
    orders.refused("bronze.crm.orders", "load_full", "adopt")
    orders.set("load_full = true")
    orders.load()
    assert len(orders.rows()) == 100


def test_a_table_with_another_schema_is_refused_by_column(orders: Table) -> None:
    orders.deployment.source_sql("ALTER TABLE orders ALTER name TYPE int USING length(name)")
    orders.refused("name: string in the table, int at the source", "load_full")
    orders.set("load_full = true")
    orders.load()
    assert {type(row["name"]) for row in orders.rows()} == {int}


def test_a_table_that_was_deleted_is_refused_and_not_begun_in_the_middle(orders: Table) -> None:
    shutil.rmtree(orders.path)
    orders.change(NEW)
    orders.refused("bronze.crm.orders", "watermark", "load_full")
    assert not orders.path.exists()
    orders.set("load_full = true")
    orders.load()
    assert len(orders.rows()) == 102


def test_a_table_that_was_dropped_and_made_again_is_refused(orders: Table) -> None:
    shutil.rmtree(orders.path)
    write_deltalake(orders.path, pa.table({"id": [7], "name": ["by hand"]}))
    orders.change(NEW)
    orders.refused("bronze.crm.orders", "load_full")
    orders.set("load_full = true")
    orders.load()
    assert len(orders.rows()) == 102


def test_a_table_of_this_row_that_was_made_again_empty_is_refused(orders: Table) -> None:
    uid = orders.control("table_uid")
    shutil.rmtree(orders.path)
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    made = DeltaTable.create(orders.path, schema, mode="error")
    made.alter.set_table_properties({"dataloader.table_uid": str(uid)}, raise_if_not_exists=False)
    orders.change(NEW)
    orders.refused("bronze.crm.orders", "load_full")
    orders.set("load_full = true")
    orders.load()
    assert len(orders.rows()) == 102


def test_a_table_that_was_restored_to_an_older_version_is_refused(orders: Table) -> None:
    table = DeltaTable(orders.path)
    table.restore(table.version() - 1)
    assert len(orders.rows()) == 100
    orders.change(NEW)
    orders.refused("bronze.crm.orders", "RESTORE", "load_full")
    orders.set("load_full = true")
    orders.load()
    assert len(orders.rows()) == 102


def test_a_table_of_another_control_row_is_refused_naming_it(orders: Table) -> None:
    deployment = orders.deployment
    uid = str(orders.control("table_uid"))
    deployment.sql("DELETE FROM control.table_control WHERE control_key = %s", orders.key)
    colours = Table(deployment, "colours", load_strategy="full", destination_table_name="orders")
    colours.path = orders.path
    colours.refused("bronze.crm.orders", uid, "adopt")
    deployment.sql("DELETE FROM control.table_control")
    again = Table(deployment, "orders", **STAMPED)
    deployment.ok("adopt", again.key)
    again.change(NEW)
    again.load()
    assert len(again.rows()) == 102


def test_two_rows_cannot_have_one_destination(orders: Table) -> None:
    entry = {
        "control_key": "second", "db_config_key": "crm", "source_table_schema": "public",
        "source_table_name": "colours",
        "destination_table_catalog": "Bronze", "destination_table_schema": "CRM", "destination_table_name": "Orders",
        "load_strategy": "full",
    }  # fmt: skip
    file = orders.deployment.folder / "second.yaml"
    file.write_text(json.dumps({"tables": [entry]}))
    before = orders.state()
    result = orders.deployment.run("apply", str(file))
    assert result.exit_code == 2
    assert orders.key in result.output
    assert orders.state() == before


@pytest.mark.parametrize("broken", ["_delta_log/00000000000000000000.json", "part"])
def test_files_that_somebody_took_away_are_named_and_nothing_is_written(orders: Table, broken: str) -> None:
    if broken == "part":
        victims = [Path(uri.removeprefix("file://")) for uri in DeltaTable(orders.path).file_uris()]
        kept = [(victim, victim.read_bytes()) for victim in victims]
    else:
        kept = [(orders.path / broken, (orders.path / broken).read_bytes())]
    orders.change("UPDATE orders SET updated_at = now(), name = 'changed'")
    log = sorted(p.name for p in (orders.path / "_delta_log").iterdir())
    for victim, _ in kept:
        victim.unlink()
    orders.refused("bronze/crm/orders", changes_nothing=False)
    for victim, content in kept:
        victim.write_bytes(content)
    assert [n for n in sorted(p.name for p in (orders.path / "_delta_log").iterdir()) if n not in log] == []
    orders.load()
    assert {row["name"] for row in orders.rows()} == {"changed"}


@pytest.fixture
def small_disk(deployment: Deployment) -> Iterator[Path]:
    """A lake on a file system of 2 MB."""
    lake = deployment.folder / "lake"
    lake.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(lake)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield lake
    subprocess.run(["umount", "-l", str(lake)], check=True)


@pytest.mark.parametrize("way", ["parquet", "arrow"])
def test_a_full_disk_is_a_passing_fault_and_loses_nothing(deployment: Deployment, small_disk: Path, way: str) -> None:
    orders = Table(deployment, "orders", **STAMPED, way_of_reading=way)
    orders.load()
    orders.change("INSERT INTO orders SELECT n, md5(n::text) || md5((-n)::text) FROM generate_series(1001, 100000) n")
    outcome = orders.refused("space")
    assert outcome["transient"]
    assert sum(p.stat().st_size for p in small_disk.rglob("*.parquet")) < 100_000, "what was begun is deleted"
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    orders.load()
    assert len(orders.rows()) == 99_100


def test_a_lake_that_turned_read_only_is_named(deployment: Deployment, small_disk: Path) -> None:
    orders = Table(deployment, "orders", **STAMPED)
    orders.load()
    orders.change(NEW)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    orders.refused("bronze/crm/orders", "permission")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    orders.load()
    assert len(orders.rows()) == 101


def test_a_folder_without_write_permission_is_named(deployment: Deployment) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; see the read-only lake")
    orders = Table(deployment, "orders", load_strategy="full")
    lake = deployment.folder / "lake"
    lake.mkdir(mode=0o500)
    orders.refused("permission")
    lake.chmod(0o700)
    orders.load()
    assert len(orders.rows()) == 100
