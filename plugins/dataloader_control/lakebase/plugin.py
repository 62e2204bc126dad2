"""The control login ``lakebase``, as a plugin."""

from __future__ import annotations

from collections.abc import Iterable

from dataloader_core.interfaces.control_login import ControlLogin
from dataloader_core.plugins import ControlLoginRecord, hookimpl


@hookimpl
def dataloader_control_logins() -> Iterable[ControlLoginRecord]:
    yield ControlLoginRecord(
        "lakebase", "Databricks Lakebase (lakebase://INSTANCE/DATABASE)", load=_load, extra="databricks"
    )


def _load() -> type[ControlLogin]:
    import databricks.sdk  # noqa: F401  # says what is missing

    from dataloader_control.lakebase.login import Lakebase

    return Lakebase
