"""The launcher ``subprocess``, as a plugin."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from dataloader_core.interfaces.launcher import Launcher
from dataloader_core.plugins import LauncherRecord, hookimpl


class SubprocessSettings(BaseModel):
    """``DATALOADER_SUBPROCESS_GRACE_SECONDS``: how long a cancelled process may take to end its loads."""

    model_config = ConfigDict(frozen=True)

    subprocess_grace_seconds: float = Field(default=20.0, ge=0)


@hookimpl
def dataloader_launchers() -> Iterable[LauncherRecord]:
    yield LauncherRecord(
        "subprocess",
        "A process of its own on the machine of the Dagster run",
        load=_load,
        settings=SubprocessSettings,
        extra="dagster",
    )


def _load() -> type[Launcher]:
    from dataloader_launchers.subprocess.launcher import SubprocessLauncher

    return SubprocessLauncher
