"""DESIGN's commit protocol as a model: claims, crashes, stale writers, recoveries and people, in any order.

The control database and the Delta table are real, the steps of a load are the product's own; only the source
lives in this process. Whatever happened, after clean loads the table holds the source's rows, each once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import psycopg
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.processes import this_process
from dataloader_core.control.records import Claim
from dataloader_core.errors import (
    ClaimLostError,
    DataLoaderError,
    DestinationRefusedError,
    RivalCommitError,
    RowChangedError,
)
from dataloader_core.loading.recovery import WatermarkDisputedError
from dataloader_core.loading.steps import ReadStep
from dataloader_core.loading.table_load import TableLoad
from dataloader_core.plugins.manager import default_registry
from dataloader_core.settings import read_settings
from dataloader_core.table import SourceConfig
from tests.support.memory_source import MemoryAccess, MemoryTable, Row

KEY = "memory.public.t"
EXAMPLES = int(os.environ.get("DATALOADER_MODEL_EXAMPLES", "25"))


@dataclass
class InFlight:
    """A load somewhere between its claim and its end; nobody says that it still holds the claim."""

    load: TableLoad
    stage: str = "started"
    ready: ReadStep | None = None
    seen: list[str] = field(default_factory=list)


class ProtocolMachine(RuleBasedStateMachine):
    strategy: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    dsn: ClassVar[str]
    root: ClassVar[Path]
    runs: ClassVar[int] = 0

    @initialize(rows=st.integers(1, 6))
    def configure(self, rows: int) -> None:
        type(self).runs += 1
        self.registry = default_registry()
        self.control = ControlDatabase(self.dsn, pool_size=2)
        record = self.registry.engine_record("local")
        lake = self.root / f"{self.strategy}-{self.runs}"
        lake.mkdir()
        assert record.settings is not None
        self.engine = self.registry.engine("local")(read_settings(record.settings, {"DATALOADER_LAKE": str(lake)}))
        self.table_path = lake / "bronze" / "memory" / "t"
        self.source = MemoryTable()
        self.source.insert(rows)
        self.flights: list[InFlight] = []
        self.yesterday: dict[str, Any] | None = None
        self._fresh_row()

    def _fresh_row(self) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("TRUNCATE control.table_control, control.historical_metadata CASCADE")
        row = {
            "control_key": KEY,
            "db_config_key": "memory",
            "source_table_schema": "public",
            "source_table_name": "t",
            "destination_table_catalog": "bronze",
            "destination_table_schema": "memory",
            "destination_table_name": "t",
            "load_strategy": self.strategy,
            "primary_key_cols": ["id"],
            "incremental_column": "v",
            "max_delete_fraction": 1.0,
            "strategy_options": self.options,
        }
        self.control.apply_rows([row], {})

    def teardown(self) -> None:
        if not hasattr(self, "control"):
            return
        try:
            self._after_clean_loads()
        finally:
            self.control.close()

    # the source

    @rule(how_many=st.integers(1, 4))
    def rows_arrive(self, how_many: int) -> None:
        self.source.insert(how_many)

    @precondition(lambda self: self.strategy != "append_only")
    @rule(every=st.integers(2, 5))
    def rows_change(self, every: int) -> None:
        self.source.update(every)

    # loads

    @precondition(lambda self: self._row()["last_status"] not in ("Queued", "In Progress"))
    @rule()
    def claim(self) -> None:
        self.flights.append(InFlight(self._start()))

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        """Any load takes its next step, also one whose claim is long gone."""
        flight = data.draw(st.sampled_from(self.flights))
        try:
            self._advance(flight)
        except (ClaimLostError, RivalCommitError):
            self._forget(flight)
        except WatermarkDisputedError as refused:
            assert self.strategy == "append_only" or self._was_append_only()
            self._fail(flight, refused)
        except (DestinationRefusedError, RowChangedError) as refused:
            self._fail(flight, refused)

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """The process is gone; nothing is said to anybody."""
        self.flights.remove(data.draw(st.sampled_from(self.flights)))

    @precondition(lambda self: self._row()["last_status"] in ("Queued", "In Progress"))
    @rule()
    def monitor_fails_it(self) -> None:
        """The claim is ended from outside; its load goes on without knowing."""
        self.control.cancel(KEY, message="stuck")

    @precondition(lambda self: self._row()["last_status"] == "Failed")
    @rule()
    def reset(self) -> None:
        self.control.reset(KEY)

    # people and other writers

    @rule()
    def full_is_ordered(self) -> None:
        self.control.order_full(KEY)

    @rule()
    def watermark_is_cleared(self) -> None:
        self._update("incremental_value = NULL")

    @precondition(lambda self: self._row()["incremental_value"] is not None)
    @rule()
    def watermark_is_set_to_what_it_was(self) -> None:
        self._update("incremental_value = incremental_value")

    @rule(value=st.sampled_from(("NULL", "incremental_value")))
    def settings_are_changed(self, value: str) -> None:
        """Another fingerprint under the same rows; what becomes of the watermark is said in the same statement."""
        self._update(f"filter = CASE WHEN filter IS NULL THEN 'id > 0' END, incremental_value = {value}")

    @precondition(lambda self: self.table_path.exists())
    @rule()
    def somebody_compacts(self) -> None:
        DeltaTable(self.table_path).optimize.compact()

    @precondition(lambda self: self._row()["last_status"] not in ("Queued", "In Progress"))
    @rule()
    def backup_is_taken(self) -> None:
        self.yesterday = dict(self._row())

    @precondition(lambda self: self.yesterday is not None)
    @rule()
    def control_database_is_restored(self) -> None:
        assert self.yesterday is not None
        columns = [c for c in self.yesterday if c != "config_id"]
        statement = sql.SQL("UPDATE control.table_control SET {}").format(
            sql.SQL(", ").join(sql.SQL("{} = %({})s").format(sql.Identifier(c), sql.SQL(c)) for c in columns)
        )
        with psycopg.connect(self.dsn) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(statement, {c: _adapt(v) for c, v in self.yesterday.items()})

    @invariant()
    def no_row_is_there_twice(self) -> None:
        if hasattr(self, "table_path") and (self.table_path / "_delta_log").exists():
            ids = [row[0] for row in self._rows()]
            assert len(ids) == len(set(ids)), f"doubled: {sorted(ids)}"

    # how it is done

    def _start(self) -> TableLoad:
        claim = self.control.claim_by_hand(KEY, this_process(kind="hand"))
        assert claim is not None
        return self._table_load(self.control.start(claim, this_process(kind="hand")))

    def _table_load(self, claim: Claim) -> TableLoad:
        return TableLoad(
            claim,
            self.control,
            self.registry,
            self.engine,
            MemoryAccess(self.source),  # type: ignore[arg-type]  # stands for SourceAccess
            row_limit=None,
            stop=lambda: None,
            progress=lambda _: None,
        )

    def _advance(self, flight: InFlight) -> None:
        if flight.stage == "started":
            flight.load.open()
            flight.stage = "planned"
        elif flight.stage == "planned":
            flight.ready = flight.load.read()
            flight.stage = "read" if flight.ready else "committed"
        elif flight.stage == "read":
            assert flight.ready is not None
            flight.load.commit(flight.ready)
            flight.stage = "planned"
        else:
            flight.load.hand_over()
            flight.load.close()
            self.flights.remove(flight)

    def _fail(self, flight: InFlight, error: DataLoaderError) -> None:
        with suppress(ClaimLostError):
            self.control.fail(flight.load.context.claim, str(error))
        self._forget(flight)

    def _forget(self, flight: InFlight) -> None:
        flight.load.close()
        self.flights.remove(flight)

    def _after_clean_loads(self) -> None:
        for flight in list(self.flights):
            self._forget(flight)
        if self._row()["last_status"] in ("Queued", "In Progress"):
            self.control.cancel(KEY, message="its process is gone")
        for _ in range(3):
            try:
                load = self._start()
                self._load_to_the_end(load)
            except WatermarkDisputedError as refused:
                self.control.fail(load.context.claim, str(refused))
                self._update("incremental_value = NULL")
            except DestinationRefusedError as refused:
                self.control.fail(load.context.claim, str(refused))
                self.control.order_full(KEY)
        assert self._row()["last_status"] == "Succeeded", self._row()["last_status_message"]
        assert sorted(self._rows()) == sorted(self.source.rows.values())

    @staticmethod
    def _load_to_the_end(load: TableLoad) -> None:
        try:
            load.open()
            while (ready := load.read()) is not None:
                load.commit(ready)
            load.hand_over()
        finally:
            load.close()

    def _rows(self) -> list[Row]:
        files = DeltaTable(self.table_path).file_uris()
        if not files:
            return []
        return duckdb.sql(f"SELECT id, v, note FROM read_parquet({files!r}, union_by_name=true)").fetchall()

    def _row(self) -> dict[str, Any]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            row = connection.execute("SELECT * FROM control.table_control").fetchone()
        assert row is not None
        return row

    def _was_append_only(self) -> bool:
        return bool(self._row()["load_strategy"] == "append_only")

    def _update(self, assignment: str) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(f"UPDATE control.table_control SET {assignment}")


def _adapt(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("full", {}),
        ("incremental", {}),
        ("append_only", {}),
        ("check_and_load", {}),
        ("chunked_backfill", {"chunk_rows": 2}),
        ("chunked_backfill", {"chunk_rows": 2, "publish": "at_end"}),
        ("chunked_backfill", {"chunk_rows": 2, "then": "append_only"}),
    ],
    ids=lambda value: str(value),
)
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_order_of_events_loses_or_doubles_a_row(
    strategy: str, options: dict[str, Any], postgres_server: Any, tmp_path: Path
) -> None:
    dsn = postgres_server.new_database("model")
    control = ControlDatabase(dsn)
    control.migrate()
    registry = default_registry()
    control.register_strategies(registry)
    control.put_source(SourceConfig("memory", "postgresql", {}, "env"))
    control.close()
    machine = type(
        "Machine", (ProtocolMachine,), {"strategy": strategy, "options": options, "dsn": dsn, "root": tmp_path}
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
