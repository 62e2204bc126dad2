"""The local engine under the shipped suite; its rows are read by delta-rs, which is not the suite's own reader."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.testing.conformance import EngineConformance
from dataloader_engines.local.engine import LocalEngine
from dataloader_engines.local.settings import LocalSettings
from tests.conformance.readers import read_by_delta_rs


class TestLocal(EngineConformance):
    engine_class = LocalEngine

    @classmethod
    def new_engine(cls, folder: Path) -> Engine:
        return LocalEngine(LocalSettings(lake=str(folder), memory_mb=256))

    @classmethod
    def read_table(cls, destination: Destination) -> pa.Table:
        return read_by_delta_rs(destination)
