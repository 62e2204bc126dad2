"""init, source, discover, apply: from nothing to configured tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Deployment


def test_init_says_what_it_did_and_is_harmless_the_second_time(empty: Deployment) -> None:
    first = empty.ok("init")
    assert "001_tables" in first
    assert "dataloader source add" in first
    assert "nothing to do" in empty.ok("init")
    assert empty.json("init")["applied"] == []


def test_init_shows_no_password(empty: Deployment) -> None:
    name = empty.control_url.rpartition("/")[2].partition("?")[0]
    empty.environment["DATALOADER_CONTROL_URL"] = empty.server.tcp_dsn(name)
    text = empty.ok("init")
    assert "correct" not in text
    assert name in text


def test_commands_before_init_name_the_cure(empty: Deployment) -> None:
    result = empty.run("status")
    assert result.exit_code == 3
    assert "dataloader init" in result.stderr


def test_two_inits_at_once_both_succeed(empty: Deployment) -> None:
    processes = [empty.start("init", "--json") for _ in range(3)]
    answers = [(p.communicate(timeout=60), p.returncode) for p in processes]
    assert [code for _, code in answers] == [0, 0, 0], answers
    applied = [json.loads(out)["applied"] for (out, _), _ in answers]
    assert sum(bool(files) for files in applied) == 1


def test_an_unreachable_control_database_has_its_own_exit_code(empty: Deployment) -> None:
    empty.environment["DATALOADER_CONTROL_URL"] = "postgresql://me:hunter2@127.0.0.1:1/none"
    result = empty.run("status", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["transient"] is True
    assert "hunter2" not in result.output


def test_a_source_is_stored_with_names_of_secrets_only(deployment: Deployment) -> None:
    (source,) = deployment.json("source", "list")["sources"]
    assert source["db_config_value"]["password"] == "DATALOADER_SECRET_CRM"
    assert source["db_config_value"]["port"] == {"value": deployment.server.port}
    assert "correct" not in json.dumps(source)
    assert "password=<DATALOADER_SECRET_CRM>" in deployment.ok("source", "list")


def test_a_password_that_somebody_wrote_into_a_row_is_not_shown(deployment: Deployment) -> None:
    literals = {"sslpassphrase": {"value": "hunter2"}, "host": {"value": "postgresql://me:hunter2@db1/x"}}
    # As one that is older than the rule, or whose looks the rule does not know.
    deployment.sql("ALTER TABLE control.table_control_dbconfig DISABLE TRIGGER a10_source")
    deployment.sql("UPDATE control.table_control_dbconfig SET db_config_value = %s::jsonb", json.dumps(literals))
    shown = deployment.ok("source", "list") + json.dumps(deployment.json("source", "list"))
    shown += deployment.run("source", "test", "crm").output
    assert "hunter2" not in shown
    assert "db1" in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "password=hunter2"], "--secret password=NAME"),
        (["--secret", "password=hunter2"], "not the name of a secret"),
        (["--set", "hunter2"], "NAME=VALUE"),
        (["--set", "hosst=a"], "Did you mean 'host'?"),
        (["--set", "port=hunter2"], "valid integer"),
        (["--set", "host=a", "--set", "host=b"], "given twice"),
        (["--scope", "vaultt"], "Unknown secret backend"),
        (["--option", "parallel=many"], "parallel"),
    ],
)
def test_a_wrong_source_is_refused_and_no_value_is_repeated(
    deployment: Deployment, arguments: list[str], expected: str
) -> None:
    result = deployment.run("source", "add", "other", "--type", "postgresql", *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert "hunter2" not in result.output
    assert len(deployment.json("source", "list")["sources"]) == 1


def test_an_unknown_type_lists_the_known_ones(deployment: Deployment) -> None:
    result = deployment.run("source", "add", "other", "--type", "postgres12")
    assert result.exit_code == 2
    assert "'postgresql'" in result.stderr


def test_a_source_is_not_overwritten_by_accident(deployment: Deployment) -> None:
    result = deployment.run("source", "add", "crm", "--type", "postgresql", "--set", "host=b")
    assert result.exit_code != 0
    deployment.add_source("crm", "--replace", "--max-loads", "3")
    assert deployment.json("source", "list")["sources"][0]["max_concurrent_loads"] == 3


def test_a_source_that_works_passes_its_test(deployment: Deployment) -> None:
    answer = deployment.json("source", "test", "crm")
    assert answer["ok"] is True
    assert [check["name"] for check in answer["checks"]][:2] == ["secrets", "connection"]


def test_a_wrong_password_fails_the_test_without_showing_it(deployment: Deployment) -> None:
    deployment.environment["DATALOADER_SECRET_CRM"] = "hunter2"
    result = deployment.run("source", "test", "crm")
    assert result.exit_code == 1
    assert "connection" in result.stdout
    assert "hunter2" not in result.output


def test_a_missing_secret_fails_the_test_and_is_named(deployment: Deployment) -> None:
    del deployment.environment["DATALOADER_SECRET_CRM"]
    result = deployment.run("source", "test", "crm")
    assert result.exit_code == 1
    assert "DATALOADER_SECRET_CRM" in result.stdout


def test_an_unknown_source_is_named_with_the_known_ones(deployment: Deployment) -> None:
    result = deployment.run("source", "test", "crn")
    assert result.exit_code == 2
    assert "Did you mean 'crm'?" in result.stderr


def test_discover_proposes_every_table_with_a_reason(deployment: Deployment) -> None:
    proposals = {p["entry"]["control_key"]: p for p in deployment.json("discover", "crm")["proposals"]}
    assert set(proposals) == {"crm.public.orders", "crm.public.colours", 'crm.public."Odd Name"'}
    orders = proposals["crm.public.orders"]
    assert orders["entry"]["primary_key_cols"] == ["id"]
    assert orders["reasons"][0]
    assert proposals["crm.public.colours"]["entry"]["load_strategy"] == "full"
    assert proposals['crm.public."Odd Name"']["entry"]["destination_table_name"] == "Odd_Name"


def test_what_discover_writes_apply_takes(deployment: Deployment) -> None:
    file = deployment.folder / "tables.yaml"
    deployment.ok("discover", "crm", "-o", str(file))
    assert "#" in file.read_text()
    assert "3 new, 0 changed, 0 as they were" in deployment.ok("apply", str(file))
    assert "0 new, 0 changed, 3 as they were" in deployment.ok("apply", str(file))
    assert len(deployment.json("status")["tables"]) == 3


def test_discover_does_not_overwrite_a_file_by_accident(deployment: Deployment) -> None:
    file = deployment.folder / "tables.yaml"
    file.write_text("mine")
    assert deployment.run("discover", "crm", "-o", str(file)).exit_code == 2
    assert file.read_text() == "mine"
    deployment.ok("discover", "crm", "-o", str(file), "--force")


def test_discover_names_a_schema_that_is_not_there(deployment: Deployment) -> None:
    result = deployment.run("discover", "crm", "--schema", "publik")
    assert result.exit_code == 2
    assert "Did you mean 'public'?" in result.stderr


def tables(folder: Path, *entries: dict[str, Any]) -> str:
    file = folder / "t.yaml"
    base = {
        "db_config_key": "crm",
        "source_table_schema": "public",
        "destination_table_catalog": "bronze",
        "destination_table_schema": "crm",
        "load_strategy": "full",
    }
    file.write_text(yaml.safe_dump({"tables": [{**base, **entry} for entry in entries]}))
    return str(file)


ORDERS = {"source_table_name": "orders", "destination_table_name": "orders"}
COLOURS = {"source_table_name": "colours", "destination_table_name": "colours"}


def test_a_dry_run_changes_nothing(deployment: Deployment) -> None:
    text = deployment.ok("apply", tables(deployment.folder, ORDERS), "--dry-run")
    assert "+ crm.public.orders" in text
    assert deployment.json("status")["tables"] == []


def test_apply_shows_old_and_new(deployment: Deployment) -> None:
    deployment.ok("apply", tables(deployment.folder, ORDERS))
    text = deployment.ok("apply", tables(deployment.folder, {**ORDERS, "load_cron": "0 5 * * *"}))
    assert "~ crm.public.orders" in text
    assert "load_cron: (empty) -> 0 5 * * *" in text
    (change,) = deployment.json("apply", tables(deployment.folder, {**ORDERS, "is_active": False}))["changes"]
    assert change["fields"] == [{"field": "is_active", "old": True, "new": False}]


def test_one_wrong_entry_keeps_all_out(deployment: Deployment) -> None:
    result = deployment.run("apply", tables(deployment.folder, ORDERS, {**COLOURS, "load_strategy": "ful"}))
    assert result.exit_code == 2
    assert "Did you mean 'full'?" in result.stderr
    assert deployment.json("status")["tables"] == []


def test_what_only_the_database_forbids_keeps_all_out_too(deployment: Deployment) -> None:
    deployment.ok("apply", tables(deployment.folder, ORDERS))
    deployment.sql("UPDATE control.table_control SET incremental_value = '5'")
    changed = tables(deployment.folder, {**ORDERS, "filter": "id > 1"}, COLOURS)
    for option in ([], ["--dry-run"]):
        result = deployment.run("apply", changed, *option)
        assert result.exit_code == 4
        assert "incremental_value" in result.stderr
        assert "--clear-watermark" in result.stderr
        assert len(deployment.json("status")["tables"]) == 1
    text = deployment.ok("apply", changed, "--clear-watermark")
    assert "incremental_value: 5 -> (empty)" in text


def test_check_finds_columns_that_the_source_does_not_have(deployment: Deployment) -> None:
    wrong = {**ORDERS, "load_strategy": "incremental", "primary_key_cols": ["idd"], "incremental_column": "updated_at"}
    result = deployment.run("apply", tables(deployment.folder, wrong), "--check")
    assert result.exit_code == 2
    assert "'idd'" in result.stderr
    gone = {**ORDERS, "source_table_name": "ordders", "destination_table_name": "ordders"}
    assert "ordders" in deployment.run("apply", tables(deployment.folder, gone), "--check").stderr
    assert deployment.json("status")["tables"] == []


def test_two_applies_at_once_end_as_if_one_came_after_the_other(deployment: Deployment) -> None:
    file = tables(deployment.folder, ORDERS, COLOURS)
    processes = [deployment.start("apply", file, "--json") for _ in range(4)]
    answers = [(p.communicate(timeout=90), p.returncode) for p in processes]
    assert [code for _, code in answers] == [0, 0, 0, 0], answers
    created = [sum(c["action"] == "create" for c in json.loads(out)["changes"]) for (out, _), _ in answers]
    assert sorted(created) == [0, 0, 0, 2]
    assert len(deployment.json("status")["tables"]) == 2


def test_apply_is_recorded_as_the_source_of_the_change(deployment: Deployment) -> None:
    deployment.ok("apply", tables(deployment.folder, ORDERS))
    assert deployment.sql("SELECT DISTINCT change_source FROM control.table_control_history") == [("apply",)]
