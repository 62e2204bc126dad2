"""The Spark engine under the suites, in the one session of the run; its rows are read by delta-rs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.testing.conformance import Conformance, EngineConformance
from dataloader_core.testing.conformance.table import folder_of
from dataloader_engines.spark.destination import SparkDestination
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.conformance.loads import RecoveredLoads, TypedLoads
from tests.conformance.readers import read_by_delta_rs
from tests.support.loads import local_engine

pytestmark = [
    pytest.mark.spark,
    pytest.mark.usefixtures("spark"),
    # py4j leaves the sockets of its callbacks to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
CHUNK = "a backfill goes on after its last committed chunk"


class OfSpark(Conformance):
    engine_class = SparkEngine

    @classmethod
    def new_engine(cls, folder: Path) -> Engine:
        return SparkEngine(SparkSettings(lake=str(folder), spark_parts=2))


class TestSpark(OfSpark, EngineConformance):
    spared: ClassVar = {
        "a strategy keeps its promise*": "each type of postgresql arrives exactly*",
        "random steps do what the interpreter does: 1": "random steps do what the interpreter does: 0",
        **{
            f"{case}: {saved}": f"{case}: {shown}"
            for case, saved, shown in (
                ("a window deletes what it says and no row without a day", "outside", "both"),
                ("a window deletes what it says and no row without a day", "missing", "both"),
                ("a commit is made again after an optimize in between", "append", "merge"),
                ("a commit is made again after an optimize in between", "replace", "merge"),
                ("a commit through an old look is refused until it looks again", "append", "merge"),
                ("a commit through an old look is refused until it looks again", "replace", "merge"),
                ("a load that was fenced meanwhile changes nothing", "append", "merge"),
                ("a feature that is only possible is no problem", "version 2", "version 7*"),
            )
        },
    }

    @classmethod
    def read_table(cls, destination: Destination) -> pa.Table:
        """delta-rs does not know every feature that Spark handles; what it cannot read, Spark itself reads."""
        if "typeWidening" not in (DeltaTable(folder_of(destination)).protocol().reader_features or ()):
            return read_by_delta_rs(destination)
        assert isinstance(destination, SparkDestination)
        return destination.session.spark.table(destination.address.sql).toArrow()


class TestSparkTypes(OfSpark, TypedLoads):
    """By JDBC, one strategy of each write: how rows were read makes no other difference to it."""

    spared: ClassVar = {
        f"each type of postgresql arrives exactly: * (jdbc, {saved})": f"each type * (jdbc, {shown})"
        for saved, shown in (
            ("rolling", "incremental"), ("check", "incremental"), ("backfill", "incremental"), ("published", "full"),
        )
    }  # fmt: skip


class TestBothInTurn(OfSpark, RecoveredLoads):
    """Each load finds what the other engine left; Spark alone would show less."""

    label = "local and spark in turn"
    spared: ClassVar = {
        **{
            f"{case} ({saved})": f"{case} ({shown})"
            for case, saved, shown in (
                ("a crash between the two commits neither loses nor doubles", "full", "rolling"),
                ("a crash between the two commits neither loses nor doubles", "check", "incremental"),
                ("a stale load changes nothing", "full", "rolling"),
                ("a stale load changes nothing", "incremental", "rolling"),
                ("an optimize in between is no obstacle", "full", "append_only"),
                ("an optimize in between is no obstacle", "rolling", "append_only"),
                ("an optimize in between is no obstacle", "incremental", "append_only"),
            )
        },
        "a crash between the two commits neither loses nor doubles (backfill)": f"{CHUNK}: 3 (published)",
        "a crash between the two commits neither loses nor doubles (published)": f"{CHUNK}: 3 (published)",
        f"{CHUNK}: 1 (*)": f"{CHUNK}: 3 (published)",
        f"{CHUNK}: 3 (backfill)": f"{CHUNK}: 3 (published)",
    }

    @classmethod
    def new_engines(cls, folder: Path) -> Sequence[Engine]:
        return [local_engine(folder), cls.new_engine(folder)]
