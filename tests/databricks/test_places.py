"""Where runs happen: each place that the settings can name, with the entry as a wheel and as a file."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from dagster import DagsterRunStatus

from tests.conftest import PASSWORD
from tests.dagster.deployment import SECRET, until
from tests.dagster.test_runs import failure
from tests.databricks.site import CLUSTER, ENTRY_FILE, JOB, Site
from tests.databricks.workspace.secrets import Secrets

PLACES: dict[str, Callable[[Site], None]] = {
    "cluster": Site.on_cluster,
    "new cluster": Site.on_new_cluster,
    "serverless": Site.serverless,
    "job with parameters": lambda site: site.by_job(declares_parameters=True),
    "job without parameters": lambda site: site.by_job(declares_parameters=False),
}


@pytest.mark.parametrize("place", PLACES)
def test_tables_are_loaded_in_one_run_wherever_it_happens(site: Site, place: str) -> None:
    PLACES[place](site)
    deployment = site.deployment
    keys = [deployment.add_table("orders", rows=5), deployment.add_table("customers", rows=7)]
    [request] = deployment.tick()
    run = deployment.execute(request)
    assert run.status is DagsterRunStatus.SUCCESS
    assert [deployment.status(key).last_status for key in keys] == ["Succeeded", "Succeeded"]
    assert (site.rows("orders"), site.rows("customers")) == (5, 7)
    assert deployment.materialized("bronze", "test", "customers")["rows"] == 7
    assert len(site.runs.runs) == 1


@pytest.mark.parametrize("entry", ["wheel", "file"])
def test_a_job_that_does_not_pass_its_order_on_fails_on_databricks_too(site: Site, entry: str) -> None:
    """What a wheel task's function returns is nobody's: the run would be green, and no table loaded."""
    site.by_job(declares_parameters=True)
    [task] = site.jobs.jobs[JOB]["tasks"]
    if entry == "file":
        del task["python_wheel_task"]
        task["spark_python_task"] = {"python_file": ENTRY_FILE}
    else:
        del task["python_wheel_task"]["parameters"]
    key = site.deployment.add_table("orders")
    [request] = site.deployment.tick()
    run = site.deployment.execute(request)
    assert site.runs.only().result == "FAILED"
    assert "started by a launcher, inside a Dagster run" in failure(site.deployment, run.run_id)
    assert site.deployment.status(key).last_status == "Failed"


def test_the_entry_can_be_a_file_of_the_workspace(site: Site) -> None:
    site.set(python_file=ENTRY_FILE)
    site.deployment.add_table("orders")
    [request] = site.deployment.tick()
    assert site.deployment.execute(request).status is DagsterRunStatus.SUCCESS
    assert "spark_python_task" in site.runs.only().task


def test_the_control_row_links_to_both_runs(site: Site) -> None:
    key = site.deployment.add_table("orders")
    [request] = site.deployment.tick()
    run = site.deployment.execute(request)
    row = site.deployment.control.rows([key])[key]
    assert row["last_dagster_run"] == f"http://dagster.example/runs/{run.run_id}"
    databricks = site.runs.only()
    url = f"{site.workspace.url}/?o=1#job/{databricks.job_id}/run/{databricks.run_id}"
    assert row["last_databricks_run"] == url
    assert site.deployment.control.open_launches() == []


def test_the_run_on_databricks_says_whose_it_is_and_ends_by_itself_at_last(site: Site) -> None:
    site.deployment.add_table("orders")
    [request] = site.deployment.tick()
    run = site.deployment.execute(request)
    databricks = site.runs.only()
    assert databricks.name == f"dataloader src {run.run_id}"
    assert databricks.timeout_seconds == 12 * 3600 + 600


def test_loads_go_by_the_settings_of_the_deployment_that_asked_for_them(site: Site) -> None:
    """The lake is set for Dagster alone; the cluster does not know it."""
    assert "DATALOADER_LAKE" not in site.clusters.existing[CLUSTER]
    site.deployment.add_table("orders")
    [request] = site.deployment.tick()
    site.deployment.execute(request)
    assert site.rows("orders") == 3


def test_a_new_cluster_may_refer_to_secrets_by_name(site: Site) -> None:
    secrets = site.workspace.state(Secrets)
    secrets.put("sources", "password", site.variables.pop(SECRET))
    site.on_new_cluster()
    site.set(environment=json.dumps({SECRET: "{{secrets/sources/password}}"}))
    site.deployment.add_table("orders")
    [request] = site.deployment.tick()
    assert site.deployment.execute(request).status is DagsterRunStatus.SUCCESS


def test_nothing_of_a_run_stays_in_the_volume_and_no_secret_was_sent(site: Site) -> None:
    site.deployment.add_table("orders")
    [request] = site.deployment.tick()
    site.deployment.execute(request)
    assert list(site.volumes.tree()) == []
    assert PASSWORD not in json.dumps(site.runs.only().task)


def test_a_table_that_runs_alone_has_a_time_limit_of_its_own(site: Site) -> None:
    options = {"then": "append_only"}
    site.deployment.add_table(
        "orders",
        strategy="chunked_backfill",
        incremental_column="id",
        watermark_delay="0",
        primary_key_cols=["id"],
        strategy_options=options,
    )
    [request] = site.deployment.tick()
    site.deployment.execute(request)
    assert site.runs.only().timeout_seconds == 24 * 3600 + 600


def test_twelve_tables_share_a_run_and_one_loader(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_TABLES_PER_TICK", "12")
    keys = [site.deployment.add_table(f"t{n}") for n in range(12)]
    [request] = site.deployment.tick()
    assert site.deployment.execute(request).status is DagsterRunStatus.SUCCESS
    assert len(site.runs.runs) == 1
    assert {status.last_status for status in site.deployment.control.status(keys)} == {"Succeeded"}


@pytest.mark.parametrize("place", PLACES)
def test_who_writes_into_the_volume_sets_nothing_in_the_loads_process(site: Site, place: str) -> None:
    """The order lies in the Volume before the task starts: whoever may write there can change it."""
    PLACES[place](site)
    site.runs.start_seconds = 4
    deployment = site.deployment
    key = deployment.add_table("orders", rows=5)
    [request] = deployment.tick()
    with deployment.running(request) as done:
        [order] = until(lambda: list(site.volumes.root.rglob("context.json")), bool)
        context = json.loads(order.read_text())
        bad = {"DATALOADER_CONTROL_URL": "postgresql://nobody@127.0.0.1:1/none", "DATALOADER_ENGINE": "none"}
        context["extras"]["environment"] = bad
        order.write_text(json.dumps(context))
    assert done[0].status is DagsterRunStatus.SUCCESS
    assert deployment.status(key).last_status == "Succeeded"
