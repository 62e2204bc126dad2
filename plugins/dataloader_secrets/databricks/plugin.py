"""Databricks secret scopes: ``databricks:SCOPE``, or the scope's bare name."""

from __future__ import annotations

from collections.abc import Iterable

from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.plugins import SecretBackendRecord, hookimpl
from dataloader_databricks.workspace import is_configured


@hookimpl
def dataloader_secret_backends() -> Iterable[SecretBackendRecord]:
    yield SecretBackendRecord(
        "databricks",
        "Databricks secret scopes (scope: databricks:NAME, or NAME)",
        load=_load,
        extra="databricks",
        # Databricks itself tells no scopes apart by case.
        canonical=str.lower,
        bare_scopes=_missing_here,
    )


def _missing_here() -> str | None:
    """Whether a bare name may be a secret scope in this process."""
    if is_configured():
        return None
    return (
        "A bare name is a Databricks secret scope where DataLoader runs on Databricks, or where DATABRICKS_HOST or a "
        "profile names a workspace."
    )


def _load() -> type[SecretBackend]:
    import databricks.sdk  # noqa: F401  # says what is missing

    from dataloader_secrets.databricks.scope import DatabricksScope

    return DatabricksScope
