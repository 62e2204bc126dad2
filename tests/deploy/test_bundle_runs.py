"""Whole runs of Dagster by the jobs as the bundle deploys them: the real launcher, a stand-in of the workspace."""

from __future__ import annotations

import pytest
from dagster import DagsterRunStatus

from tests.databricks.site import CLUSTER, JOB, Site
from tests.deploy.bundle import read_bundle

pytestmark = [
    pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*PipesMessageReader.expected_writer_count:Warning"),
]


def deploy(site: Site, name: str) -> None:
    """The job, on the stand-in's own cluster where it would make one: what is installed there is this environment."""
    job = read_bundle().resources("prod")["jobs"][name]
    [task] = job["tasks"]
    if task.pop("job_cluster_key", None):
        task["existing_cluster_id"] = CLUSTER
    else:
        site.serverless()
    site.jobs.jobs[JOB] = job
    site.on_job()


@pytest.mark.parametrize("name", ["load", "load_serverless"])
def test_tables_are_loaded_by_the_deployed_job(site: Site, name: str) -> None:
    deploy(site, name)
    keys = [site.deployment.add_table("orders", rows=5), site.deployment.add_table("customers", rows=7)]
    [request] = site.deployment.tick()
    run = site.deployment.execute(request)
    assert run.status is DagsterRunStatus.SUCCESS
    assert [site.deployment.status(key).last_status for key in keys] == ["Succeeded", "Succeeded"]
    assert (site.rows("orders"), site.rows("customers")) == (5, 7)
    assert site.runs.only().task["python_wheel_task"]["entry_point"] == "dataloader-pipe"
