"""The plugin contract: hooks, records, and the manager that finds and selects them."""

from dataloader_core.plugins.hookspecs import hookimpl
from dataloader_core.plugins.records import (
    API_VERSION,
    ControlLoginRecord,
    EngineRecord,
    LauncherRecord,
    PluginRecord,
    SecretBackendRecord,
    SourceRecord,
    StrategyRecord,
)

__all__ = [
    "API_VERSION",
    "ControlLoginRecord",
    "EngineRecord",
    "LauncherRecord",
    "PluginRecord",
    "SecretBackendRecord",
    "SourceRecord",
    "StrategyRecord",
    "hookimpl",
]
