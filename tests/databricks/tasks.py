"""A task with a body of its own, launched inside a real Dagster run."""

# No postponed annotations: Dagster reads those of the asset below.

import textwrap
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetExecutionContext, MaterializeResult, asset, materialize

from dataloader_core.interfaces.launcher import RunOrder
from dataloader_launchers.databricks.launcher import DatabricksLauncher
from dataloader_launchers.databricks.settings import DatabricksSettings
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.clusters import Clusters
from tests.databricks.workspace.files import Volumes
from tests.databricks.workspace.runs import Runs

ORDER = RunOrder("crm", ["a", "b"], {"DATALOADER_LAKE": "/lake"}, 60)
VOLUME = "/Volumes/main/dataloader/runs"
FILE = "/Workspace/child.py"
PRELUDE = """
    import os, signal, sys, time
    from dagster_pipes import PipesCliArgsParamsLoader, PipesUnityCatalogVolumesMessageWriter, open_dagster_pipes
    parameters, writer = PipesCliArgsParamsLoader(), PipesUnityCatalogVolumesMessageWriter(interval=0)
    with open_dagster_pipes(params_loader=parameters, message_writer=writer) as pipes:
        say = pipes.report_custom_message
"""
Messages = Generator[Any, None, None]
Run = Callable[..., list[Any]]


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path) -> Run:
    """Launch a task with this body inside a real Dagster run; what it said, besides that it was launched."""
    workspace.state(Volumes).create(VOLUME)
    workspace.state(Clusters).existing["c1"] = {}
    script = tmp_path / "child.py"
    workspace.state(Runs).files[FILE] = script

    def execute(
        body: str, use: Callable[[Messages], list[Any]] = list, order: RunOrder = ORDER, **settings: Any
    ) -> list[Any]:
        script.write_text(textwrap.dedent(PRELUDE) + textwrap.indent(textwrap.dedent(body), "    "))
        if not settings.keys() & {"databricks_serverless", "databricks_job_id"}:
            settings = {"databricks_cluster_id": "c1"} | settings
        defaults: dict[str, Any] = {
            "databricks_volume": VOLUME,
            "databricks_python_file": FILE,
            "databricks_poll_seconds": 0.2,
            "databricks_cancel_seconds": 120.0,
            "databricks_patience_seconds": 3.0,
        }
        chosen = DatabricksSettings.model_validate(defaults | settings)
        got: list[Any] = []

        @asset
        def loads(context: AssetExecutionContext):  # type: ignore[no-untyped-def]  # Dagster reads the annotations
            with closing(DatabricksLauncher(chosen).launch(context, order)) as messages:
                for message in use(messages):
                    got.append(message)
            return MaterializeResult()

        try:
            materialize([loads])
        finally:
            said = [one for one in got if not (isinstance(one, dict) and "launched" in one)]
            got[:] = said
        return got

    return execute
