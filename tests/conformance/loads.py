"""Whole loads: a real PostgreSQL as source and as control database, the loader, and one engine or two in turn.

Where two engines take turns, every load finds what the other engine left behind.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from psycopg.conninfo import conninfo_to_dict

from dataloader_core import failpoints
from dataloader_core.commit import ENGINE_PROPERTY
from dataloader_core.errors import ClaimLostError, RivalCommitError
from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.plan import Read, Relation
from dataloader_core.table import SourceConfig
from dataloader_core.testing.conformance import Conformance
from dataloader_core.testing.interpreter import Row
from dataloader_core.testing.texts import rows_of
from tests.chaos.world import STAMP, SUBJECTS, Subject
from tests.conformance.loaded import LoadedTable, add_row
from tests.conformance.readers import read_by_delta_rs, read_folder
from tests.conftest import PASSWORD
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
Found = Callable[[str, str], tuple[Sequence[Row], Sequence[Row]]]
WAYS = ("parquet", "arrow", "jdbc")
PASSWORD_VARIABLE = "DATALOADER_SECRET_CRM"


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
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(PASSWORD_VARIABLE, PASSWORD)
            reach_by_tcp(deployment)
            yield deployment
        deployment.control.close()


class TypedLoads(LoadConformance):
    """Every type of the source through every way of reading and every strategy."""

    area: ClassVar[str] = "Types of PostgreSQL through strategies"

    @pytest.fixture(scope="class")
    @classmethod
    def typed(cls, deployment: Deployment) -> Found:
        """By strategy and way: the source's rows as its reader gives them, and the table's after two loads.

        One table has all types, and is loaded once for all cases that look at one of its columns.
        """
        create_cases(deployment.source_dsn)
        return functools.cache(lambda strategy, way: _typed_rows(deployment, strategy, way))

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize("kind", CASES)
    def test_each_type_of_postgresql_arrives_exactly(self, typed: Found, kind: str, strategy: str, way: str) -> None:
        wanted, found = typed(strategy, way)
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
        table.refused("RESTOREd")
        table.load(full=True)

    @pytest.mark.parametrize("strategy", ["full"])
    def test_rows_of_nobody_are_refused_until_a_reload_is_ordered(self, table: LoadedTable) -> None:
        other = LoadedTable(table.deployment, table.subject)
        shutil.copytree(table.path, other.path)
        state = other.log.state()
        metadata = {**state.metadata, "configuration": {}}
        other.log.commit("UNSET TBLPROPERTIES", [{"metaData": metadata}])
        other.refused("belongs to no control row")
        other.load(full=True)

    @pytest.mark.parametrize("strategy", ["append_only"])
    def test_a_log_that_was_cleaned_up_is_no_obstacle(self, table: LoadedTable) -> None:
        """By each engine in turn: only the transactions still tell what was loaded."""
        for _ in table.deployment.engines:
            table.forget()
            table.change()
            table.load()

    @pytest.mark.parametrize("strategy", ["append_only"])
    def test_what_a_cleaned_up_log_no_longer_tells_is_not_loaded_twice(self, table: LoadedTable) -> None:
        """The destination has committed, the control database was not told, and the commit is gone from the log."""
        table.change()
        failpoints.arm({failpoints.POINTS_VARIABLE: "load.after_commit=raise"})
        assert table.load(check=False) == "Failed"
        failpoints.arm({})
        table.forget()
        for _ in table.deployment.engines:
            table.refused("the log that said what it did is gone")
        assert table.difference() == ""
        table.load(full=True)

    @pytest.mark.parametrize("strategy", ["append_only"])
    def test_a_table_is_loaded_by_the_engine_that_its_mark_names_and_by_no_other(self, table: LoadedTable) -> None:
        """On S3 every table has the mark; it counts wherever it is."""
        names = [engine.name for engine in table.deployment.engines]
        for owner in (*names, "theirs"):
            table.log.set_properties(**{ENGINE_PROPERTY: owner})
            for _ in names:
                table.change()
                loading = table.deployment.engines[0].name
                if loading == owner:
                    table.load()
                else:
                    table.refused(f"loaded by the {owner} engine")

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


def reach_by_tcp(deployment: Deployment) -> None:
    """The source, as a network leads to it: JDBC reaches no unix socket."""
    given = conninfo_to_dict(deployment.server.tcp_dsn(str(conninfo_to_dict(deployment.source_dsn)["dbname"])))
    names = {"host": "host", "port": "port", "user": "user", "database": "dbname"}
    fields = {field: {"value": str(given[name])} for field, name in names.items()}
    deployment.control.put_source(
        SourceConfig("crm", "postgresql", {**fields, "password": PASSWORD_VARIABLE}, "env"), replace=True
    )


def _typed_rows(deployment: Deployment, strategy: str, way: str) -> tuple[Sequence[Row], Sequence[Row]]:
    """Half of the values with the first load, the other half and changed rows with the second."""
    subject, name = STRATEGIES[strategy], f"typed_{strategy}_{way}"
    columns = ", ".join(f"c{number}" for number in range(len(CASES)))
    deployment.source(TYPED.format(name=name))
    deployment.source(TYPED_ROWS.format(name=name, columns=columns, rest=0))
    key = add_row(deployment, name, subject, chunk_rows=3, id="key", way_of_reading=way)
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


def _succeed(deployment: Deployment, key: str) -> None:
    outcome = deployment.load(key)
    assert outcome.status == "Succeeded", outcome.message


def _pairs(found: Sequence[Row], column: str) -> list[tuple[str, str]]:
    return sorted((repr(row["id"]), repr(row[column])) for row in found)
