"""The wheel, a cluster's packages and what the bundle installs beside them: no Dagster, no local engine."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster_pipes import encode_param

from dataloader_core.app import App
from dataloader_core.claiming import claim_due
from dataloader_core.control.processes import this_process
from tests.deploy.bundle import read_bundle
from tests.support.deployment import Deployment, new_deployment, templates_of
from tests.support.environments import Environment, closure, new_environment

RUNTIME = ("pyspark", "delta-spark", "pyarrow", "pandas", "numpy", "databricks-sdk")
"""What a Databricks runtime brings of what could be needed."""
TABLE = "crm.public.orders"


def beside_the_wheel(job: dict[str, Any]) -> list[str]:
    """Distributions that a job of the bundle installs beside the wheel."""
    named = [one["pypi"]["package"] for task in job["tasks"] for one in task.get("libraries", ()) if "pypi" in one]
    for environment in job.get("environments", ()):
        named += [one for one in environment["spec"]["dependencies"] if not one.endswith(".whl")]
    return [re.split(r"[<>=\[]", package)[0] for package in named]


def jars(job: dict[str, Any]) -> str:
    libraries = (one for task in job["tasks"] for one in task.get("libraries", ()))
    return ",".join(one["maven"]["coordinates"] for one in libraries if "maven" in one)


@dataclass(frozen=True)
class Cluster:
    """What a job of the bundle runs on: the runtime's packages, and what the job asks for."""

    environment: Environment
    jars: str


@pytest.fixture(scope="session", params=["load", "load_serverless"])
def cluster(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    job = read_bundle().resources("prod")["jobs"][request.param]
    names = (*RUNTIME, *beside_the_wheel(job))
    packages = closure("dataloader-core").union(names, *(closure(name) for name in names))
    folder = tmp_path_factory.mktemp(request.param)
    return Cluster(new_environment(folder, wheel, sorted(packages)), jars(job))


@pytest.fixture(scope="module")
def templates(postgres_server: Any) -> tuple[str, str]:
    return templates_of(postgres_server)


@pytest.fixture
def deployment(postgres_server: Any, templates: tuple[str, str], tmp_path: Path) -> Deployment:
    """A table of a source that only a network leads to, as on a cluster."""
    made = new_deployment(postgres_server, templates, tmp_path)
    made.apply()
    return made


def variables(deployment: Deployment, cluster: Cluster) -> dict[str, str]:
    """What the cluster's process has: the deployment's settings, and Spark's own of this machine."""
    of_the_machine = {n: os.environ[n] for n in ("HOME", "JAVA_HOME") if n in os.environ}
    spark = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(cluster.environment.folder / "bin" / "python")}
    conf = "spark.driver.memory=1g,spark.sql.shuffle.partitions=4,spark.databricks.delta.snapshotPartitions=1"
    # A load of seconds never earns back what optimizing compilers cost.
    conf += ",spark.driver.extraJavaOptions=-Duser.timezone=UTC -XX:TieredStopAtLevel=1"
    engine = {"DATALOADER_ENGINE": "spark", "DATALOADER_SPARK_MASTER": "local[2]", "DATALOADER_SPARK_CONF": conf}
    packages = {"DATALOADER_SPARK_PACKAGES": cluster.jars}
    return of_the_machine | spark | engine | packages | deployment.environment


def test_it_has_no_part_of_the_orchestrator_or_the_local_engine(cluster: Cluster) -> None:
    unwanted = ["dagster", "deltalake", "duckdb", "azure.identity"]
    found = cluster.environment.python(
        "import json, sys\nfrom importlib.util import find_spec\n"
        "def there(name):\n"
        "    try: return find_spec(name) is not None\n"
        "    except ModuleNotFoundError: return False\n"
        f"print(json.dumps([n for n in {unwanted} if there(n)]))"
    )
    assert json.loads(found) == []


def test_everything_that_a_load_starts_with_can_be_imported(cluster: Cluster) -> None:
    code = (
        "import dataloader_dagster.dataloader_pipe, dataloader_dagster.messages\n"
        "from dataloader_core.plugins.manager import default_registry\n"
        "registry = default_registry()\n"
        "assert not registry.problems, registry.problems\n"
        "print(registry.engine('spark').__name__, registry.source('postgresql').__name__)"
    )
    assert cluster.environment.python(code).startswith("SparkEngine ")


def test_the_entry_says_what_it_is_where_nobody_gave_it_an_order(cluster: Cluster) -> None:
    done = cluster.environment.run("dataloader-pipe")
    assert done.returncode == 2
    assert "started by a launcher" in done.stderr


@pytest.mark.usefixtures("java")
@pytest.mark.timeout(600)
def test_an_order_of_the_orchestrator_is_carried_out_there(
    deployment: Deployment, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    app = App.from_environment()
    try:
        [batch] = claim_due(app, this_process("dagster")).batches
    finally:
        app.close()
    messages = tmp_path / "messages"
    context: dict[str, Any] = {"extras": {"db_config_key": "crm", "loads": [str(claim.load_id) for claim in batch]}}
    empty = ("asset_keys", "code_version_by_asset_key", "provenance_by_asset_key", "partition_key",
             "partition_key_range", "partition_time_window", "job_name")  # fmt: skip
    context |= dict.fromkeys(empty) | {"run_id": "run", "retry_number": 0}
    done = cluster.environment.run(
        "dataloader-pipe",
        "--dagster-pipes-context", encode_param({"data": context}),
        "--dagster-pipes-messages", encode_param({"path": str(messages)}),
        cwd=tmp_path,
        **variables(deployment, cluster),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sent = [json.loads(line) for line in messages.read_text(encoding="utf-8").splitlines()]
    [told] = [one["params"]["payload"]["outcome"] for one in sent if one["method"] == "report_custom_message"]
    assert (told["control_key"], told["status"], told["message"]) == (TABLE, "Succeeded", "")
    assert deployment.sql("SELECT last_status FROM control.table_control") == [("Succeeded",)]
    assert len(deployment.rows("orders")) == 100
