"""What this package offers. Imported whenever plugins are listed, so it imports nothing that is slow."""

from __future__ import annotations

from collections.abc import Iterable

from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.interfaces.strategy import LoadStrategy
from dataloader_core.plugins import SecretBackendRecord, StrategyRecord, hookimpl


def _strategy() -> type[LoadStrategy]:
    from dataloader_snapshot_append.strategy import SnapshotAppend

    return SnapshotAppend


def _secrets() -> type[SecretBackend]:
    from dataloader_snapshot_append.secrets import IniSecrets

    return IniSecrets


@hookimpl
def dataloader_strategies() -> Iterable[StrategyRecord]:
    yield StrategyRecord("snapshot_append", "Everything, stamped with the load's time, appended", load=_strategy)


@hookimpl
def dataloader_secret_backends() -> Iterable[SecretBackendRecord]:
    yield SecretBackendRecord("ini", "A section of an INI file: ini:/etc/dataloader/secrets.ini", load=_secrets)
