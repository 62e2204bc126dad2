"""Tables of the local engine as Unity Catalog shows them: the real SDK against a stand-in of the workspace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from catalog_world import FULL, PATH, TABLE, says_when_it_fails

from tests.databricks.workspace import Workspace
from tests.databricks.workspace.unity_catalog import UnityCatalog
from tests.support.deployment import Deployment


def column(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in entry["columns"] if c["name"] == name)


def patches(workspace: Workspace) -> list[str]:
    return [request for request in workspace.requests if request.startswith("PATCH")]


def test_a_table_is_registered_with_its_place_its_columns_and_its_comments(
    deployment: Deployment, catalog: UnityCatalog
) -> None:
    deployment.ok("load", TABLE)
    entry = catalog.tables[FULL]
    assert entry["storage_location"] == (deployment.folder / "lake" / "bronze" / "crm" / "orders").as_uri()
    assert (entry["table_type"], entry["data_source_format"]) == ("EXTERNAL", "DELTA")
    assert entry["comment"] == "what was ordered"
    assert [(c["name"], c["type_text"], c["type_name"]) for c in entry["columns"]] == [
        ("id", "bigint", "LONG"), ("name", "string", "STRING"), ("updated_at", "timestamp", "TIMESTAMP"),
    ]  # fmt: skip
    assert column(entry, "name")["comment"] == "as on the invoice"
    assert json.loads(column(entry, "id")["type_json"])["type"] == "long"


def test_the_next_load_asks_once_and_changes_nothing(deployment: Deployment, workspace: Workspace) -> None:
    deployment.ok("load", TABLE)
    workspace.requests.clear()
    deployment.ok("load", TABLE)
    assert workspace.requests == [f"GET /api/2.1/unity-catalog/{PATH}"]


def test_new_columns_and_comments_are_shown_and_what_people_set_stays(
    deployment: Deployment, catalog: UnityCatalog
) -> None:
    deployment.ok("load", TABLE)
    entry = catalog.tables[FULL]
    entry |= {"owner": "stewards", "properties": {"quality": "bronze"}}
    column(entry, "id")["comment"] = "written by a steward"
    deployment.source_sql("ALTER TABLE orders ADD amount numeric(12,2)")
    deployment.source_sql("COMMENT ON COLUMN orders.amount IS 'in euros'")
    deployment.source_sql("COMMENT ON COLUMN orders.name IS 'as on the order'")
    deployment.source_sql("COMMENT ON TABLE orders IS 'orders, all of them'")
    deployment.ok("load", TABLE)
    assert column(entry, "amount")["type_text"] == "decimal(12,2)"
    assert (column(entry, "amount")["type_precision"], column(entry, "amount")["type_scale"]) == (12, 2)
    assert column(entry, "amount")["comment"] == "in euros"
    assert column(entry, "name")["comment"] == "as on the order"
    assert column(entry, "id")["comment"] == "written by a steward"
    assert entry["comment"] == "orders, all of them"
    assert (entry["owner"], entry["properties"]) == ("stewards", {"quality": "bronze"})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"table_type": "MANAGED"}, "is MANAGED there"),
        ({"table_type": "VIEW", "data_source_format": None}, "is VIEW there"),
        ({"data_source_format": "CSV"}, "has the format CSV there"),
        ({"storage_location": "s3://elsewhere/orders"}, "lies at s3://elsewhere/orders there"),
    ],
    ids=["managed", "view", "csv", "elsewhere"],
)
def test_a_name_that_is_another_tables_is_refused_before_anything_is_written(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog, fields: dict[str, Any], said: str
) -> None:
    before = dict(catalog.put(FULL, **fields))
    assert said in says_when_it_fails(deployment, workspace)
    assert not (deployment.folder / "lake").exists()
    assert catalog.tables == {FULL: before}
    assert said in " ".join(deployment.run("plan", TABLE).output.split())


def test_a_plan_registers_nothing(deployment: Deployment, catalog: UnityCatalog) -> None:
    deployment.ok("plan", TABLE)
    assert catalog.tables == {}


def test_a_table_that_was_loaded_before_is_registered_by_its_next_load(
    deployment: Deployment, catalog: UnityCatalog
) -> None:
    deployment.environment["DATALOADER_UNITY_CATALOG"] = "off"
    deployment.ok("load", TABLE)
    assert catalog.tables == {}
    deployment.environment["DATALOADER_UNITY_CATALOG"] = "on"
    deployment.apply(load_strategy="check_and_load", incremental_column="updated_at", primary_key_cols=["id"])
    deployment.ok("load", TABLE)
    assert FULL in catalog.tables


@pytest.mark.parametrize("point", ["engine.before_register", "engine.after_register", "engine.after_commit"])
def test_a_load_that_dies_around_the_registration_is_caught_up_by_the_next(
    deployment: Deployment, catalog: UnityCatalog, point: str
) -> None:
    died = deployment.start("load", TABLE, DATALOADER_FAILPOINTS=f"{point}=kill")
    died.communicate(timeout=60)
    assert died.returncode == -9
    assert (FULL in catalog.tables) == (point != "engine.before_register")
    deployment.ok("cancel", TABLE)
    deployment.ok("load", TABLE)
    assert len(deployment.rows("orders")) == 100
    assert len(catalog.tables[FULL]["columns"]) == 3


def test_what_cannot_be_shown_after_the_commit_is_said_and_caught_up(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog
) -> None:
    deployment.ok("load", TABLE)
    deployment.source_sql("ALTER TABLE orders ADD amount numeric(12,2)")
    workspace.faults.add("PATCH", PATH, 503, retry_after=0)
    [outcome] = deployment.json("load", TABLE)["outcomes"]
    assert outcome["status"] == "Succeeded"
    assert "does not show this table's columns and comments yet" in outcome["message"]
    assert len(deployment.rows("orders")[0]) == 4
    workspace.faults.clear()
    deployment.ok("load", TABLE)
    assert column(catalog.tables[FULL], "amount")["type_text"] == "decimal(12,2)"


def test_a_change_that_the_catalog_takes_and_does_not_show_is_said(
    deployment: Deployment, catalog: UnityCatalog
) -> None:
    deployment.ok("load", TABLE)
    deployment.source_sql("ALTER TABLE orders ADD amount numeric(12,2)")
    catalog.deaf = True
    [outcome] = deployment.json("load", TABLE)["outcomes"]
    assert outcome["status"] == "Succeeded"
    assert f"REPAIR TABLE {FULL} SYNC METADATA" in outcome["message"]


def test_a_catalog_that_spells_names_in_lower_case_is_in_step(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog
) -> None:
    deployment.source_sql('ALTER TABLE orders ADD "Amount" numeric(12,2)')
    deployment.ok("load", TABLE)
    column(catalog.tables[FULL], "Amount")["name"] = "amount"
    [outcome] = deployment.json("load", TABLE)["outcomes"]
    assert (outcome["status"], outcome["message"]) == ("Succeeded", "")
    assert patches(workspace) == []


def test_columns_under_a_mask_are_never_rewritten(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog
) -> None:
    deployment.ok("load", TABLE)
    column(catalog.tables[FULL], "name")["mask"] = {"function_name": "bronze.crm.hide"}
    deployment.source_sql("ALTER TABLE orders ADD amount numeric(12,2)")
    [outcome] = deployment.json("load", TABLE)["outcomes"]
    assert "masks in Unity Catalog (on name)" in outcome["message"]
    assert patches(workspace) == []


def test_a_registration_whose_answer_was_lost_is_made_once(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = workspace.faults.add("POST", "unity-catalog/tables", 503, times=1, retry_after=0, after=True)
    monkeypatch.setattr("dataloader_databricks.workspace.RETRY_SECONDS", 20)
    deployment.ok("load", TABLE)
    assert lost.hits == 1
    assert list(catalog.tables) == [FULL]


def test_the_staging_table_of_a_backfill_is_not_registered(
    deployment: Deployment, workspace: Workspace, catalog: UnityCatalog
) -> None:
    options = {"then": "incremental", "publish": "at_end", "chunk_rows": 40}
    deployment.apply(
        load_strategy="chunked_backfill", strategy_options=options, incremental_column="updated_at",
        primary_key_cols=["id"],
    )  # fmt: skip
    deployment.ok("load", TABLE)
    assert len(deployment.rows("orders")) == 100
    assert list(catalog.tables) == [FULL]
    assert [r for r in workspace.requests if r.startswith("POST")] == ["POST /api/2.1/unity-catalog/tables"]
