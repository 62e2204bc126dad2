"""Whole loads: a real PostgreSQL as source and as control database, the loader, and one engine or two in turn.

Where two engines take turns, every load finds what the other engine left behind.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest

from dataloader_core import failpoints
from dataloader_core.errors import ClaimLostError, RivalCommitError
from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.loading.source_access import SourceAccess
from dataloader_core.loading.table_load import TableLoad
from dataloader_core.plan import Read, Relation
from dataloader_core.settings import Settings
from dataloader_core.testing.conformance import Conformance
from dataloader_core.testing.conformance.delta_log import DeltaLog
from dataloader_core.testing.interpreter import Row
from dataloader_core.testing.texts import rows_of
from tests.chaos.world import FILL, SOURCE_TABLE, STAMP, SUBJECTS, Subject
from tests.conformance.readers import read_by_delta_rs, read_folder
from tests.sources.postgresql.reading import connect
from tests.sources.postgresql.type_cases import CASES, ROWS, create_cases
from tests.support.loads import Deployment

STRATEGIES: Mapping[str, Subject] = {subject.name.removeprefix("t_"): subject for subject in SUBJECTS}
TYPED = """
CREATE TABLE {name} (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL DEFAULT current_date,
    changed timestamptz NOT NULL DEFAULT now(),
    LIKE cases
);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION stamp();
"""
TYPED_ROWS = "INSERT INTO {name} (id, {columns}) SELECT * FROM cases WHERE id % 2 = {rest} ORDER BY id"
Found = Mapping[str, tuple[Sequence[Row], Sequence[Row]]]


class LoadConformance(Conformance):
    """What whole loads need. Two engines of one lake take turns."""

    @classmethod
    def new_engines(cls, folder: Path) -> Sequence[Engine]:
        """Engines that load the tables of this lake, each in its turn."""
        return [cls.new_engine(folder)]

    @classmethod
    def read_table(cls, destination: Destination) -> pa.Table:
        return read_by_delta_rs(destination)

    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
        lake = tmp_path_factory.mktemp("lake")
        deployment = Deployment(postgres_server, lake, cls.new_engines(lake))
        deployment.source(STAMP)
        yield deployment
        deployment.control.close()


class TypedLoads(LoadConformance):
    """Every type of the source through every strategy, and strategies through both databases."""

    area: ClassVar[str] = "Types of PostgreSQL through strategies"

    @pytest.fixture(scope="class")
    @classmethod
    def typed(cls, deployment: Deployment) -> Found:
        """By strategy: the rows of the source as its reader gives them, and those of the table after two loads."""
        create_cases(deployment.source_dsn)
        return {name: _typed_rows(deployment, name, subject) for name, subject in STRATEGIES.items()}

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize("kind", CASES)
    def test_each_type_of_postgresql_arrives_exactly(self, typed: Found, kind: str, strategy: str) -> None:
        wanted, found = typed[strategy]
        column = f"c{list(CASES).index(kind)}"
        assert _pairs(found, column) == _pairs(wanted, column)
        assert len(found) >= ROWS


class RecoveredLoads(LoadConformance):
    """Crashes, stale loads, rivals, RESTOREs and tables of nobody: whatever happened, a clean load puts it right."""

    area: ClassVar[str] = "Recovery"

    @pytest.fixture
    def table(self, deployment: Deployment, strategy: str) -> Iterator[LoadedTable]:
        """A table of the strategy's own, loaded once; no fail point is armed afterwards."""
        table = LoadedTable(deployment, STRATEGIES[strategy])
        table.load()
        yield table
        failpoints.arm({})

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_crash_between_the_two_commits_neither_loses_nor_doubles(self, table: LoadedTable) -> None:
        """The destination has committed, the control database was not told; then the source goes on."""
        table.change()
        failpoints.arm({failpoints.POINTS_VARIABLE: "load.after_commit=raise"})
        assert table.load(check=False) == "Failed"
        failpoints.arm({})
        table.change()
        table.load()

    @pytest.mark.parametrize("strategy", ["full", "incremental", "append_only", "rolling"])
    def test_a_stale_load_changes_nothing(self, table: LoadedTable) -> None:
        """It has read when a monitor ends it; another load comes and goes; then it wants to commit."""
        table.change()
        stale = table.begin()
        ready = stale.read()
        assert ready is not None
        table.deployment.control.cancel(table.key, message="stuck")
        table.change()
        table.load()
        before = table.log.versions
        with pytest.raises((ClaimLostError, RivalCommitError)):
            stale.commit(ready)
        stale.close()
        assert table.log.versions == before
        assert table.difference() == ""

    @pytest.mark.parametrize("strategy", ["full", "incremental", "append_only", "rolling"])
    def test_an_optimize_in_between_is_no_obstacle(self, table: LoadedTable) -> None:
        table.change()
        load = table.begin()
        ready = load.read()
        assert ready is not None
        table.log.compact()
        load.commit(ready)
        assert load.read() is None
        load.hand_over()
        load.close()
        assert table.difference() == ""

    @pytest.mark.parametrize("strategy", ["incremental"])
    def test_a_restored_table_is_refused_until_a_reload_is_ordered(self, table: LoadedTable) -> None:
        before = table.log.versions[-1]
        table.change()
        table.load()
        table.log.restore(before)
        assert table.load(check=False) == "Failed"
        assert "RESTOREd" in table.deployment.row(table.key)["last_status_message"]
        table.load(full=True)

    @pytest.mark.parametrize("strategy", ["full"])
    def test_rows_of_nobody_are_refused_until_a_reload_is_ordered(self, table: LoadedTable) -> None:
        other = LoadedTable(table.deployment, table.subject)
        shutil.copytree(table.path, other.path)
        state = other.log.state()
        metadata = {**state.metadata, "configuration": {}}
        other.log.commit("UNSET TBLPROPERTIES", [{"metaData": metadata}])
        assert other.load(check=False) == "Failed"
        assert "belongs to no control row" in other.deployment.row(other.key)["last_status_message"]
        other.load(full=True)

    @pytest.mark.parametrize("strategy", ["backfill", "published"])
    @pytest.mark.parametrize("chunk", [1, 3])
    def test_a_backfill_goes_on_after_its_last_committed_chunk(
        self, deployment: Deployment, strategy: str, chunk: int
    ) -> None:
        table = LoadedTable(deployment, STRATEGIES[strategy])
        failpoints.arm({failpoints.POINTS_VARIABLE: f"load.after_commit=raise:{chunk}"})
        assert table.load(check=False) == "Failed"
        failpoints.arm({})
        table.load()
        table.change()
        table.load()


class LoadedTable:
    """A table of the source and its control row, with what its strategy promises."""

    def __init__(self, deployment: Deployment, subject: Subject) -> None:
        self.deployment = deployment
        self.subject = subject
        self.name = f"{subject.name}_{uuid4().hex[:8]}"
        deployment.source(SOURCE_TABLE.format(name=self.name))
        self._fill(30)
        self.key = _add(deployment, self.name, subject, chunk_rows=10)

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

    def _fill(self, rows: int) -> None:
        self.deployment.source(FILL.replace("%%", "%").replace("%s", str(rows)).format(name=self.name))


def _typed_rows(deployment: Deployment, strategy: str, subject: Subject) -> tuple[Sequence[Row], Sequence[Row]]:
    """Half of the values with the first load, the other half and changed rows with the second."""
    name = f"typed_{strategy}"
    columns = ", ".join(f"c{number}" for number in range(len(CASES)))
    deployment.source(TYPED.format(name=name))
    deployment.source(TYPED_ROWS.format(name=name, columns=columns, rest=0))
    key = _add(deployment, name, subject, chunk_rows=3, id="key")
    _succeed(deployment, key)
    deployment.source(TYPED_ROWS.format(name=name, columns=columns, rest=1))
    if subject.updates:
        deployment.source(f"UPDATE {name} SET id = id + 100 WHERE id < 3")
    _succeed(deployment, key)
    with connect(deployment.source_dsn) as session, session.snapshot() as snapshot:
        table = session.describe(Relation("public", name))
        wanted = snapshot.read_arrow(Read(table.relation, table.columns)).read_all()
    types = {c.target: c.type for c in table.columns}
    return rows_of(wanted, types), rows_of(read_folder(deployment.path(name)), types)


def _add(deployment: Deployment, name: str, subject: Subject, *, chunk_rows: int, id: str = "id") -> str:
    """A control row as the subject says, where the column ``id`` may have another name; its key."""
    row = {**subject.row, "max_delete_fraction": 1.0}
    if "primary_key_cols" in row:
        row["primary_key_cols"] = [id]
    if row.get("incremental_column") == "id":
        row["incremental_column"] = id
    if "strategy_options" in row:
        row["strategy_options"] = {**row["strategy_options"], "chunk_rows": chunk_rows}
    return deployment.add(name, row.pop("load_strategy"), **row)


def _succeed(deployment: Deployment, key: str) -> None:
    outcome = deployment.load(key)
    assert outcome.status == "Succeeded", outcome.message


def _pairs(found: Sequence[Row], column: str) -> list[tuple[str, str]]:
    return sorted((repr(row["id"]), repr(row[column])) for row in found)
