"""Checks of sources and plugins: run to the end, shown as a list with the cures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dataloader_core.cli.render import Output
from dataloader_core.errors import DataLoaderError
from dataloader_core.interfaces.source import Check
from dataloader_core.redaction import redact_known

if TYPE_CHECKING:
    from dataloader_core.app import App
    from dataloader_core.table import SourceConfig


def source_checks(app: App, source: SourceConfig) -> list[Check]:
    """From the secrets to the grants; the first step that fails ends it."""
    from dataloader_core.loading.source_access import SourceAccess

    checks = []
    try:
        access = SourceAccess(source, app.registry, app.settings)
        checks.append(Check("secrets", True, f"resolved from {source.db_kv_scope}"))
    except DataLoaderError as error:
        return [Check("secrets", False, error.problem, error.cure)]
    try:
        with access.session(f"dataloader source test {source.db_config_key}") as session:
            checks.append(
                Check("connection", True, f"open; the source's clock says {session.clock():%Y-%m-%d %H:%M:%SZ}")
            )
            checks.extend(session.checks())
    except DataLoaderError as error:
        checks.append(Check("connection", False, redact_known(error.problem), error.cure))
    return checks


def write_checks(out: Output, checks: Sequence[Check]) -> None:
    out.table(("", "check", "detail"), [("ok" if c.ok else "wrong", c.name, c.detail) for c in checks])
    for check in checks:
        if not check.ok and check.cure:
            out.say(f"{check.name}: {check.cure}", style="yellow")
