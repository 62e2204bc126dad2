"""The commit protocol's words: what a commit says of itself, what a look at the table finds.

``version`` is ``load_seq * 2**20 + step``; step 0 is a fence. ``dataloader:<table_uid>`` is the application
id under which the versions of one control row's commits are kept in the Delta log. The decisions made from
these records are in :mod:`dataloader_core.loading.recovery`; engines only read and write them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import UUID

from dataloader_core.types import ColumnType

STEPS: Final = 2**20
OWNER_PROPERTY: Final = "dataloader.table_uid"
ENGINE_PROPERTY: Final = "dataloader.engine"
"""Which engine loads the table, where two would not see each other's commits (S3)."""


def app_id(table_uid: UUID) -> str:
    return f"dataloader:{table_uid}"


def version_of(load_seq: int, step: int) -> int:
    assert 0 <= step < STEPS
    return load_seq * STEPS + step


def load_seq_of(version: int) -> int:
    return version // STEPS


def step_of(version: int) -> int:
    return version % STEPS


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What one commit says of itself, stored as JSON in the Delta log's ``userMetadata``.

    Attributes:
        version: See :func:`version_of`.
        watermark: The watermark that is true with this commit, as text; None: none.
        rows: Rows written by the data commit that this record speaks of (a fence repeats them).
        fingerprint: Of the configuration that the load was claimed with.
        load_full: The load carried the one-time order.
        backfill: ``Backfill.to_json()`` as it is true with this commit, or None.
        becomes: The strategy that the row gets with this commit.
        data_version: The version of the newest commit with step > 0 that this record repeats; for such a commit
            its own ``version``; None: no such commit was ever made.
        table_uid: Whose commit it is.
        run_id: The run that made it, for people.
        watermark_sets: The control row's mark of the last value set by hand when the load was claimed; another mark
            means that somebody set a value since, or in another history of the control database.
        load_full_orders: The control row's mark of the last ``load_full`` order, likewise.
    """

    load_id: UUID
    version: int
    table_uid: UUID
    watermark: str | None
    rows: int
    fingerprint: str
    load_full: bool
    backfill: Mapping[str, Any] | None = None
    becomes: str | None = None
    data_version: int | None = None
    run_id: str | None = None
    watermark_sets: int = 0
    load_full_orders: int = 0

    @property
    def is_fence(self) -> bool:
        return step_of(self.version) == 0

    def to_json(self) -> str:
        data = asdict(self) | {"load_id": str(self.load_id), "table_uid": str(self.table_uid)}
        return json.dumps({"dataloader": data}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None) -> CommitRecord | None:
        """None where the text is not one of ours."""
        try:
            data = json.loads(text or "")["dataloader"]
            return cls(**{**data, "load_id": UUID(data["load_id"]), "table_uid": UUID(data["table_uid"])})
        except (ValueError, KeyError, TypeError):
            return None

    def fence_at(self, version: int, load_id: UUID, run_id: str | None) -> CommitRecord:
        """A fence that repeats what this record says is true."""
        return replace(self, version=version, load_id=load_id, run_id=run_id)


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column of the Delta table."""

    name: str
    type: ColumnType
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What one handle sees of the destination. A commit through it is refused if anything changed since.

    Attributes:
        exists: There is a Delta table.
        table_version: Delta's own version, None where there is no table.
        app_version: The version of this row's last commit, as Delta keeps it; None: no commit of this row.
        owner: The table property ``dataloader.table_uid``; None: nobody's.
        has_rows: The table holds at least one row.
        newest: This row's newest commit with step > 0 whose record is still in the log.
        newest_fence: This row's newest fence whose record is still in the log.
        restored: A RESTORE came after this row's newest data commit, or after the fence that was known.
        columns: The table's schema.
        problems: Features that this engine cannot write safely, one sentence each.
        handle: The engine's own; nobody else touches it.
    """

    exists: bool
    table_version: int | None = None
    app_version: int | None = None
    owner: UUID | None = None
    has_rows: bool = False
    newest: CommitRecord | None = None
    newest_fence: CommitRecord | None = None
    restored: bool = False
    columns: tuple[TargetColumn, ...] = ()
    problems: tuple[str, ...] = ()
    handle: Any = None
