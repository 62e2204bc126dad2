"""Runs: from submitted to terminated, with a process in between, and the ends that a test asks for."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.databricks.workspace.clusters import Clusters
from tests.databricks.workspace.files import Volumes
from tests.databricks.workspace.process import TaskProcess, command
from tests.databricks.workspace.routing import ApiError

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace


@dataclass
class Run:
    """One run with its only task. ``over``: how it was ended from outside, before its process ended by itself."""

    run_id: int
    job_id: int
    name: str
    task: Mapping[str, Any]
    timeout_seconds: float | None
    life_cycle: str = "PENDING"
    result: str | None = None
    message: str = ""
    code: str | None = None
    process: TaskProcess | None = None
    error: str = ""
    over: tuple[str, str, str, str] | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        return self.life_cycle in ("TERMINATED", "INTERNAL_ERROR", "SKIPPED")


class Runs:
    """All runs of a workspace.

    Attributes:
        start_seconds: How long a run is PENDING before its process starts.
        grace_seconds: What a process gets between being asked to end and being killed.
        end_seconds: How long a run is TERMINATING after its process has ended.
        files: Files of the workspace, such as the entry of a task, by path.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._ids = itertools.count(1001)
        self._tokens: dict[str, int] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.runs: dict[int, Run] = {}
        self.files: dict[str, Path] = {}
        self.start_seconds = 0.0
        self.grace_seconds = 3.0
        self.end_seconds = 0.0
        workspace.at_close(self.end_all)

    def create(
        self,
        task: Mapping[str, Any],
        *,
        name: str,
        job_id: int | None = None,
        timeout_seconds: float | None = None,
        token: str | None = None,
    ) -> Run:
        """Start a run, or give the one that this token has started before."""
        with self._lock:
            if token is not None and token in self._tokens:
                return self.runs[self._tokens[token]]
            run_id = next(self._ids)
            made = Run(run_id, job_id or next(self._ids), name, task, timeout_seconds or None)
            self.runs[run_id] = made
            if token is not None:
                self._tokens[token] = run_id
        thread = threading.Thread(target=self._carry_out, args=(made,), name=f"run-{run_id}")
        self._threads.append(thread)
        thread.start()
        return made

    def get(self, run_id: int) -> Run:
        if run_id not in self.runs:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Run {run_id} does not exist.")
        return self.runs[run_id]

    def only(self) -> Run:
        [run] = self.runs.values()
        return run

    def cancel(self, run: Run) -> None:
        self._end(run, ("TERMINATED", "CANCELED", "USER_CANCELED", "Run cancelled."))

    def time_out(self, run: Run) -> None:
        self._end(run, ("TERMINATED", "TIMEDOUT", "CANCELED", "Run exceeded its timeout."))

    def lose_cluster(self, run: Run) -> None:
        message = "Cluster was terminated. Reason: SPOT_INSTANCE_TERMINATION (CLOUD_FAILURE)."
        self._end(run, ("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", message))

    def fail(self, run: Run, code: str, message: str) -> None:
        """End it before its task did anything, with one of the codes of ``termination_details``."""
        self._end(run, ("INTERNAL_ERROR", "FAILED", code, message))

    def end_all(self) -> None:
        self.grace_seconds = 0.0
        for run in self.runs.values():
            self.cancel(run)
        for thread in self._threads:
            thread.join(20)

    def _end(self, run: Run, over: tuple[str, str, str, str]) -> None:
        if not run.is_over and run.over is None:
            run.over = over
            run.stop.set()

    def _carry_out(self, run: Run) -> None:
        if not run.stop.wait(self.start_seconds):
            try:
                self._run_process(run)
            except (ApiError, FileNotFoundError) as error:
                run.error = str(error)
                self._finish(run, "INTERNAL_ERROR", "FAILED", "INVALID_RUN_CONFIGURATION", str(error))
                return
        if run.over is not None:
            self._finish(run, *run.over)

    def _run_process(self, run: Run) -> None:
        argv = command(run.task, self._workspace.state(Volumes).root, self.files)
        environment = self._workspace.state(Clusters).environment(run.task)
        run.process = TaskProcess(argv, environment, self._workspace.folder / f"run-{run.run_id}.log")
        run.life_cycle = "RUNNING"
        ends = time.monotonic() + run.timeout_seconds if run.timeout_seconds else None
        while (code := run.process.wait(0.05)) is None:
            if ends is not None and time.monotonic() > ends:
                self.time_out(run)
            if run.stop.is_set():
                # A cluster that is lost says nothing to its processes.
                run.life_cycle = "TERMINATING"
                run.process.end(self.grace_seconds if run.over and run.over[2] != "CLUSTER_ERROR" else 0.0)
                return
        if code == 0:
            self._finish(run, "TERMINATED", "SUCCESS", "SUCCESS", "")
            return
        run.error = run.process.last_line() or f"The process exited with code {code}"
        message = f"Workload failed, see run output for details (exit code {code})."
        self._finish(run, "TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", message)

    def _finish(self, run: Run, life_cycle: str, result: str, code: str, message: str) -> None:
        if self.end_seconds:
            run.life_cycle = "TERMINATING"
            begun = time.monotonic()
            # A test may have seen enough of it before.
            while time.monotonic() < begun + self.end_seconds:
                time.sleep(0.05)
        run.result, run.code, run.message = result, code, message
        run.life_cycle = life_cycle
