"""A table under bad input: what a refused load must leave alone, and what it must say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.delta import read_delta
from tests.support.deployment import Deployment

PASSWORD = "correct horse"
STAMPED: dict[str, object] = {
    "load_strategy": "incremental",
    "primary_key_cols": ["id"],
    "incremental_column": "updated_at",
}
State = tuple[list[str], list[tuple[Any, ...]]]


class Table:
    """One table of the source ``crm``, loaded by the command line."""

    def __init__(self, deployment: Deployment, name: str, **fields: object) -> None:
        self.deployment = deployment
        self.name = name
        self.key = f"crm.public.{name}"
        self.path = deployment.folder / "lake" / "bronze" / "crm" / name
        deployment.apply(source_table_name=name, **fields)

    def rows(self) -> list[dict[str, Any]]:
        return self.deployment.rows(self.name)

    def watermark(self) -> str | None:
        found = self.control("incremental_value")
        return None if found is None else str(found)

    def control(self, column: str) -> Any:
        return self.deployment.sql(f"SELECT {column} FROM control.table_control WHERE control_key = %s", self.key)[0][0]

    def set(self, assignments: str) -> None:
        """Plain SQL on the control row, as a DBA would write it."""
        self.deployment.sql(f"UPDATE control.table_control SET {assignments} WHERE control_key = %s", self.key)

    def state(self) -> State:
        """All that a refused load may not touch: the rows, and what the control row says of them.

        A table that is not there holds no row: a first load makes it before it plans.
        """
        there = (self.path / "_delta_log").exists() and any((self.path / "_delta_log").iterdir())
        rows = sorted(map(repr, read_delta(self.path).to_pylist())) if there else []
        row = self.deployment.sql(
            "SELECT load_strategy, incremental_value, load_full FROM control.table_control WHERE control_key = %s",
            self.key,
        )
        return rows, row

    def load(self, *flags: str) -> dict[str, Any]:
        """A clean load; its outcome."""
        result = self.deployment.run("load", self.key, *flags, "--json")
        assert result.exit_code == 0, result.output
        outcome: dict[str, Any] = json.loads(result.stdout)["outcomes"][0]
        assert outcome["status"] == "Succeeded", outcome
        return outcome

    def change(self, statement: str) -> None:
        """Rows that the server stamps itself, and the moment after which they lie below the cap."""
        self.deployment.source_sql(statement)
        self.deployment.source_sql("SELECT pg_sleep(1.1)")

    def refused(self, *words: str, hidden: tuple[str, ...] = (), changes_nothing: bool = True) -> dict[str, Any]:
        """A load that fails: with exit code 1, these words and a cure, no trace, no secret, and nothing changed."""
        before = self.state() if changes_nothing else None
        result = self.deployment.run("load", self.key, "--json")
        assert result.exit_code == 1, result.output
        outcome: dict[str, Any] = json.loads(result.stdout)["outcomes"][0]
        self.judge(outcome["message"], result.output, words, hidden)
        assert outcome["status"] == "Failed"
        if changes_nothing:
            assert self.state() == before
        return outcome

    def judge(self, message: str, output: str, words: tuple[str, ...], hidden: tuple[str, ...] = ()) -> None:
        """Everything that people may see of a failure."""
        for word in words:
            assert word in message, message
        seen = output + str(self.control("last_status_message"))
        for secret in (PASSWORD, *hidden):
            assert secret not in seen
        assert "Traceback" not in output
        assert not message.startswith("Unexpected")

    # A load in a process of its own, held at a point and let go.

    def held(self, point: str) -> subprocess.Popen[str]:
        """A load that has stopped itself at a fail point."""
        process = self.deployment.start("load", self.key, "--json", DATALOADER_FAILPOINTS=f"{point}=stop")
        wait_for(lambda: _state(process) == "T" or process.poll() is not None, 60)
        assert process.poll() is None, process.communicate()
        return process

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill it, and let a tick of somebody's worker notice; the table is not loaded by that."""
        process.kill()
        process.communicate()
        self.set("next_load_date_time = NULL")
        assert self.deployment.json("run", "--once")["reaped"] == [self.key]

    def let_go(self, process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
        """Exit code, outcome and everything that it wrote."""
        if process.poll() is None and _state(process) == "T":
            os.kill(process.pid, signal.SIGCONT)
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        return process.returncode, json.loads(out)["outcomes"][0], out + err


def _state(process: subprocess.Popen[str]) -> str:
    try:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
