"""The local engine under the suites; its rows are read by delta-rs, which is not the suite's own reader."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.testing.conformance import Conformance, EngineConformance
from dataloader_engines.local.engine import LocalEngine
from tests.conformance.loads import RecoveredLoads, TypedLoads
from tests.conformance.readers import read_by_delta_rs
from tests.support.loads import local_engine


class OfLocal(Conformance):
    engine_class = LocalEngine

    @classmethod
    def new_engine(cls, folder: Path) -> Engine:
        return local_engine(folder)


class TestLocal(OfLocal, EngineConformance):
    @classmethod
    def read_table(cls, destination: Destination) -> pa.Table:
        return read_by_delta_rs(destination)


class TestLocalTypes(OfLocal, TypedLoads):
    pass


class TestLocalRecovery(OfLocal, RecoveredLoads):
    pass
