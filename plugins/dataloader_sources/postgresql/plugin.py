"""The hook that offers the PostgreSQL source. Imports no driver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dataloader_core.plugins import SourceRecord, hookimpl

if TYPE_CHECKING:
    from dataloader_sources.postgresql.dialect import Postgres


@hookimpl
def dataloader_sources() -> Iterable[SourceRecord]:
    yield SourceRecord(
        "postgresql",
        "PostgreSQL 12 and newer, and what speaks its protocol",
        load=_load,
        aliases=("postgres",),
        extra="postgresql",
    )


def _load() -> type[Postgres]:
    from dataloader_sources.postgresql.dialect import Postgres

    return Postgres
