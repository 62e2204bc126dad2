"""One run on Databricks: looked at until it has ended, cancelled if it must."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from dataloader_core.errors import ConfigurationError, DataLoaderError, TransientError
from dataloader_core.redaction import redact_known
from dataloader_core.settings import mask_url
from dataloader_launchers.databricks.cures import FULL, is_full, permanent_cure
from dataloader_launchers.databricks.errors import Subject, explained, may_pass
from dataloader_launchers.databricks.settings import DatabricksSettings

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import Run

_OVER: Final = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
_SAID: Final = 1000
"""Characters of the workspace's own reason: it may repeat what a command printed."""
_ENDS: Final[Mapping[str, str]] = {
    "CANCELED": "was cancelled on Databricks",
    "TIMEDOUT": "was ended by its timeout on Databricks",
    "MAXIMUM_CONCURRENT_RUNS_REACHED": "was skipped, because the job runs as often at a time as it may",
}


class DatabricksRun:
    """A run by its id."""

    def __init__(self, client: WorkspaceClient, run_id: int) -> None:
        self._client = client
        self._host = str(client.config.host)
        self._run: Run | None = None
        self._answered = time.monotonic()
        self._is_gone = False
        self.run_id = run_id

    @property
    def subject(self) -> Subject:
        return Subject(f"run {self.run_id}", "DATABRICKS_HOST", "Can View on the run")

    @property
    def reference(self) -> str:
        """Names the run among all workspaces."""
        return f"{self._host}/jobs/runs/{self.run_id}"

    @property
    def url(self) -> str | None:
        """Where people look at it; known when the run was looked at."""
        return self._run.run_page_url if self._run else None

    @property
    def state(self) -> str:
        state = self._run.state if self._run else None
        return state.life_cycle_state.value if state and state.life_cycle_state else "unknown"

    @property
    def is_over(self) -> bool:
        return self._is_gone or self.state in _OVER

    @property
    def outcome(self) -> str:
        """How it has ended, or how it is, as the workspace calls it."""
        if self._is_gone:
            return "gone"
        state = self._run.state if self._run else None
        return state.result_state.value if state and state.result_state else self.state

    def look(self, patience_seconds: float = 0.0) -> None:
        """Ask how the run is. No answer is no news, for as long as the patience lasts.

        Raises:
            ConfigurationError: the workspace does not let us see it, or has not accepted the login for so long.
            TransientError: the workspace has not answered for so long.
        """
        from databricks.sdk.errors import InvalidParameterValue, NotFound

        try:
            with explained(self._host, self.subject):
                try:
                    self._run = self._client.jobs.get_run(self.run_id)
                    self._answered = time.monotonic()
                except (NotFound, InvalidParameterValue):
                    self._is_gone = True
                except OSError as error:
                    if not may_pass(error) or time.monotonic() - self._answered > patience_seconds:
                        raise
        except DataLoaderError as error:
            ended = "The sensor cancels it when the workspace answers again."
            cure = ended if error.transient else f"{error.cure} {ended}"
            raise type(error)(f"{error.problem} Its run {self.run_id} may go on.", cure=cure) from None

    def cancel(self) -> None:
        """Ask the workspace to cancel it, which takes its time. Asking again is harmless.

        Raises:
            DataLoaderError: the workspace did not take it.
        """
        with explained(self._host, self.subject):
            self._client.jobs.cancel_run(self.run_id)

    def check_end(self, settings: DatabricksSettings) -> None:
        """Raises where the run has ended otherwise than in success: TransientError, or ConfigurationError where
        trying again cannot help."""
        run = self._run
        if run is None or self._is_gone:
            raise TransientError(f"The workspace knows nothing of its run {self.run_id} any more.")
        if self.outcome == "SUCCESS":
            return
        details = run.status.termination_details if run.status else None
        code = details.code.value if details and details.code else ""
        said = mask_url(redact_known((run.state.state_message if run.state else None) or ""))[:_SAID]
        why = f": {said.rstrip('. ')}" if said else ""
        how = _ENDS.get(self.outcome, f"ended in {self.outcome}")
        problem = f"Databricks run {self.run_id} {how}{why}{self._error()}."
        if is_full(code, said):
            raise TransientError(problem, cure=FULL)
        if cure := permanent_cure(code, settings):
            raise ConfigurationError(problem, cure=cure)
        raise TransientError(problem, cure=f"See {self.url or self.reference}.")

    def _error(self) -> str:
        """The first line of what the task itself raised, where there is any."""
        task_runs = [task.run_id for task in (self._run.tasks if self._run else None) or () if task.run_id]
        try:
            with explained(self._host, self.subject):
                error = "".join(self._client.jobs.get_run_output(run_id).error or "" for run_id in task_runs[-1:])
        except DataLoaderError:
            return ""
        lines = mask_url(redact_known(error)).strip().splitlines()
        return f" ({lines[-1][:300].rstrip('. ')})" if lines else ""
