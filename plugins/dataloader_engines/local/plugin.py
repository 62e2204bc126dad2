"""The hook that offers the local engine. Imports no driver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dataloader_core.plugins import EngineRecord, hookimpl
from dataloader_engines.local.settings import LocalSettings

if TYPE_CHECKING:
    from dataloader_engines.local.engine import LocalEngine


@hookimpl
def dataloader_engines() -> Iterable[EngineRecord]:
    yield EngineRecord(
        "local",
        "DuckDB and delta-rs on this machine, no JVM",
        load=_load,
        settings=LocalSettings,
        extra="local",
    )


def _load() -> type[LocalEngine]:
    from dataloader_engines.local.engine import LocalEngine

    return LocalEngine
