"""Runs as processes of the code location, as Dagster's default has them, and an answer to whether they are there.

The server of a code location says itself that a run's process has died. Of the runs of a server that died, nobody
says anything: they stay started until their longest time is over, keep others waiting, and what they launched goes on.
"""

from __future__ import annotations

import time
from typing import Final

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

CALL_SECONDS: Final = 20
SILENT_SECONDS: Final = 600.0
"""For how long a server may be out of reach, as while it is started anew, before it is taken for gone with its runs."""


class CodeLocationRunLauncher(DefaultRunLauncher):
    """For ``run_launcher`` in ``dagster.yaml``, with ``run_monitoring`` enabled, which asks it.

    A run is looked for by the address that it was started at: one server for each address, as Dagster's own
    termination of runs has it.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._silent_since: dict[str, float] = {}

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """What is not RUNNING is failed by Dagster, unless the run has ended meanwhile."""
        try:
            held = self._is_held(run.run_id)
        except DagsterUserCodeUnreachableError:
            since = self._silent_since.setdefault(run.run_id, time.monotonic())
            if time.monotonic() - since < SILENT_SECONDS:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            return CheckRunHealthResult(WorkerStatus.FAILED, "The server of its code location cannot be reached.")
        self._silent_since.pop(run.run_id, None)
        if held:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "The server of its code location was started anew since.")

    def _is_held(self, run_id: str) -> bool:
        """Whether the server that started the run has its process."""
        client = self._get_grpc_client_for_termination(run_id)  # type: ignore[no-untyped-call]  # Dagster's
        if client is None:
            # It has ended, or says nothing of where it is.
            return True
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=CALL_SECONDS)
        return deserialize_value(answer, CanCancelExecutionResult).can_cancel
