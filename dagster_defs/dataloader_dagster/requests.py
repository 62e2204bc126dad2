"""From a batch of claims to a request for a run, and back. Pure: nothing is asked of anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dagster import DagsterRun, RunRequest

from dataloader_core.control.records import Claim

TABLE_LOAD: Final = "dataloader_table_load"
TABLE_LOAD_JOB: Final = "dataloader_table_load_job"
SOURCE_TAG: Final = "dataloader/source"
"""For ``tag_concurrency_limits`` with ``applyLimitPerUniqueValue``."""


def run_request(batch: Sequence[Claim]) -> RunRequest:
    """References only: watermarks, configuration and secrets are read by the load itself."""
    return RunRequest(
        run_key=run_key(batch),
        job_name=TABLE_LOAD_JOB,
        run_config=run_config(batch),
        tags={SOURCE_TAG: batch[0].source.db_config_key, "dataloader/tables": str(len(batch))},
    )


def run_key(batch: Sequence[Claim]) -> str:
    """Dagster never starts a second run of one key, so it names the attempt: each claim has a load id of its own."""
    first = batch[0]
    return f"{first.control_key}#{first.load_seq}+{len(batch) - 1}:{first.load_id}"


def run_config(batch: Sequence[Claim]) -> dict[str, Any]:
    config = {"db_config_key": batch[0].source.db_config_key, "loads": [str(claim.load_id) for claim in batch]}
    return {"ops": {TABLE_LOAD: {"config": config}}}


def loads_of(run: DagsterRun) -> Sequence[str]:
    """The load ids that a run was asked to carry; none where it is not one of ours."""
    config: Any = run.run_config
    for name in ("ops", TABLE_LOAD, "config", "loads"):
        config = config.get(name) if isinstance(config, Mapping) else None
    return [str(load) for load in config] if isinstance(config, Sequence) and not isinstance(config, str) else []
