"""A table under whole loads: its source, its control row, its destination, and what its strategy promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from dataloader_core.loading.source_access import SourceAccess
from dataloader_core.loading.table_load import TableLoad
from dataloader_core.settings import Settings
from dataloader_core.testing.conformance.delta_log import DeltaLog
from tests.chaos.world import FILL, SOURCE_TABLE, Subject
from tests.conformance.readers import read_folder
from tests.support.loads import Deployment


class LoadedTable:
    """A table of the source and its control row, with what its strategy promises."""

    def __init__(self, deployment: Deployment, subject: Subject) -> None:
        self.deployment = deployment
        self.subject = subject
        self.name = f"{subject.name}_{uuid4().hex[:8]}"
        deployment.source(SOURCE_TABLE.format(name=self.name))
        self._fill(30)
        self.key = add_row(deployment, self.name, subject, chunk_rows=10)

    @property
    def path(self) -> Path:
        return self.deployment.path(self.name)

    @property
    def log(self) -> DeltaLog:
        return DeltaLog(self.path)

    def change(self) -> None:
        """Rows arrive; others change or go, where the strategy promises to follow."""
        self._fill(7)
        if self.subject.updates:
            self.deployment.source(f"UPDATE {self.name} SET amount = amount + 1 WHERE id % 5 = 0")
        if self.subject.deletes:
            self.deployment.source(f"DELETE FROM {self.name} WHERE id % 11 = 1")

    def load(self, *, full: bool = False, check: bool = True) -> str:
        """One load; unless told otherwise it must succeed, and the table must then hold what is promised."""
        outcome = self.deployment.load(self.key, full=full)
        if check:
            assert outcome.status == "Succeeded", outcome.message
            assert self.difference() == ""
        return outcome.status

    def refused(self, words: str) -> None:
        """The next load fails with these words, and nothing was written, not even a file."""
        before = self._files()
        assert self.load(check=False) == "Failed"
        assert words in self.deployment.row(self.key)["last_status_message"]
        assert self._files() == before

    def forget(self) -> None:
        """Others commit without changing a row, and the log is cleaned up: no commit of the row's is left in it."""
        for _ in range(2):
            self.log.compact()
        self.log.clean_up()

    def begin(self) -> TableLoad:
        """A load that has been planned and waits to read."""
        there = self.deployment
        claim = there.claim(self.key)
        access = SourceAccess(there.control.source("crm"), there.registry, Settings.from_environment({}))
        load = TableLoad(
            there.control.start(claim, claim.holder), there.control, there.registry, there.next_engine(), access,
            row_limit=None, stop=lambda: None, progress=lambda _: None,
        )  # fmt: skip
        load.open()
        return load

    def difference(self) -> str:
        """Empty where the table holds exactly what the strategy promises."""
        with psycopg.connect(self.deployment.source_dsn, options="-c TimeZone=UTC") as source:
            wanted = source.execute(self.subject.promise.format(name=self.name).encode()).fetchall()
        found = [tuple(row.values()) for row in read_folder(self.path).to_pylist()]
        missing, extra = set(wanted) - set(found), set(found) - set(wanted)
        if (len(wanted), missing, extra) == (len(found), set(), set()):
            return ""
        return (
            f"{len(wanted)} promised, {len(found)} found; missing {sorted(missing)[:3]}, too many {sorted(extra)[:3]}"
        )

    def _files(self) -> list[Path]:
        return sorted(self.path.rglob("*"))

    def _fill(self, rows: int) -> None:
        self.deployment.source(FILL.replace("%%", "%").replace("%s", str(rows)).format(name=self.name))


def add_row(
    deployment: Deployment, name: str, subject: Subject, *, chunk_rows: int, id: str = "id", **columns: Any
) -> str:
    """A control row as the subject says, where the column ``id`` may have another name; its key."""
    row = {**subject.row, "max_delete_fraction": 1.0, **columns}
    if "primary_key_cols" in row:
        row["primary_key_cols"] = [id]
    if row.get("incremental_column") == "id":
        row["incremental_column"] = id
    if "strategy_options" in row:
        row["strategy_options"] = {**row["strategy_options"], "chunk_rows": chunk_rows}
    return deployment.add(name, row.pop("load_strategy"), **row)
