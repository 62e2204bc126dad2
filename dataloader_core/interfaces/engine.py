"""Engines: carry out plans on Delta tables. They know no source by name and no strategy.

Every commit goes through a :class:`~dataloader_core.commit.Look`: it is refused if anything else
committed since. Which commits may be made is not the engine's decision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel

from dataloader_core.commit import CommitRecord, Look
from dataloader_core.interfaces.source import (
    Check,
    JdbcDriver,
    Progress,
    SourceSnapshot,
    Unrepresentable,
    Way,
    WayOfReading,
)
from dataloader_core.plan import Step
from dataloader_core.table import SourceTable
from dataloader_core.values import Value


@dataclass(frozen=True)
class Prepared:
    """Rows that were read and wait to be committed; nothing of them can be seen yet.

    Attributes:
        rows: Rows read, or told by the source.
        bytes: Bytes of the files written so far.
        highest: The step's watermark as read (only for ``HighestRead``), not yet compared with its floor.
        above: Rows read above the cap (``HighestRead`` with ``upto``).
        unrepresentable: What became NULL under ``on_unrepresentable = null``.
        notes: Schema changes and the like, for people.
        handle: The engine's own.
    """

    rows: int
    bytes: int
    highest: Value | None = None
    above: int = 0
    unrepresentable: Sequence[Unrepresentable] = ()
    notes: tuple[str, ...] = ()
    handle: Any = None


@dataclass(frozen=True)
class Committed:
    """What one commit did. Counts come from the commit itself."""

    table_version: int
    rows_written: int
    rows_deleted: int
    bytes: int
    rows_total: int | None = None
    notes: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Destination(ABC):
    """One Delta table, as one load sees it. Not shared between threads."""

    location: str
    """Where it lies, for people and links."""

    def __enter__(self) -> Destination:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Delete files that were prepared and not committed."""

    @abstractmethod
    def look(self, table_uid: UUID, *, known_version: int | None = None) -> Look:
        """A fresh handle on the table and what it shows.

        ``known_version``: the row's last known commit (``committed_version``); where the newest commit of the
        table is still that one, the log need not be read further.

        Raises:
            DestinationRefusedError: something other than a Delta table lies there.
            DestinationUnavailableError: the storage does not answer.
        """

    @abstractmethod
    def create(self, table: SourceTable, record: CommitRecord) -> None:
        """Create the empty table with its owner property; the creation carries ``record``.

        Raises:
            RivalCommitError: somebody else created it meanwhile.
        """

    @abstractmethod
    def commit_empty(self, look: Look, record: CommitRecord, *, own: bool = False) -> None:
        """A commit that changes no row and carries ``record`` (a fence). ``own``: also sets the owner property.

        Raises:
            RivalCommitError: anything else committed since ``look``.
        """

    def register(self, look: Look) -> Sequence[str]:
        """Make the table known where readers look it up, in a catalog, before the load reads its source.

        Called once a load, with the settled look, and not for a backfill's staging table. Whatever an earlier load
        could not finish is caught up. What goes wrong behind a commit must become a note of that commit.

        Returns:
            Notes for people; none by default, where the place of the table is all that readers need.

        Raises:
            DestinationRefusedError: the catalog does not take it; no row was read or written.
        """
        return ()

    @abstractmethod
    def prepare(
        self,
        step: Step,
        source: SourceTable,
        snapshot: SourceSnapshot | None,
        way: WayOfReading | None,
        look: Look,
        schema_policy: Literal["evolve", "freeze", "fail"],
        progress: Progress,
    ) -> Prepared:
        """Read the step's rows to where they can be committed from. Changes nothing that can be seen.

        Rows of which the snapshot tells enough (``tally``) may be left for :meth:`commit` to read: it stays open until
        then. ``progress`` may be called then too, from any thread.

        Raises:
            UnrepresentableValueError: under ``on_unrepresentable = fail``.
            KeyValuesError: a merge's keys are NULL or doubled in what was read.
            SchemaChangeError: see the table's schema policy.
            And what the source raises.
        """

    @abstractmethod
    def prepare_from(
        self,
        step: Step,
        source: SourceTable,
        staging: Destination,
        aside: Look,
        look: Look,
        schema_policy: Literal["evolve", "freeze", "fail"],
        progress: Progress,
    ) -> Prepared:
        """The rows of a staging table (a backfill that publishes at its end), for a step that reads nothing else.

        ``staging`` is a destination of the same engine and ``aside`` a look at it; its files may be linked or
        copied, not moved: the staging table stays readable until it is dropped.

        ``progress`` may be called here and in :meth:`commit`.
        """

    @abstractmethod
    def commit(self, step: Step, prepared: Prepared, look: Look, record: CommitRecord) -> Committed:
        """Write what was prepared, in one commit that carries ``record``, through ``look``.

        May be called again with a fresh look and the same ``prepared`` after a ``RivalCommitError``.

        Raises:
            RivalCommitError: anything else committed since ``look``; nothing was changed.
            LossRefusedError: see ``step.loss``; nothing was changed.
            LoadCancelledError: ``progress`` raised it, and the commit is not there. Where an engine cannot tell, the
                fence of the next load does.
            And, where rows are read only now, what the source raises; nothing was changed.
        """

    @abstractmethod
    def drop(self, table_uid: UUID) -> None:
        """Delete the table and its files (a backfill's staging table), if it is this row's own."""


class Engine(ABC):
    """One way to carry out plans.

    Example::

        engine = LocalEngine(LocalSettings(lake="/data/lake"))
        with engine.destination("bronze", "crm", "orders") as orders:
            look = orders.look(table_uid)
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    """Ways of reading it can use, best first."""

    def refuses(self, way: Way) -> str | None:
        """Why it does not take one of :attr:`reads` as it is set up, for people; None: it does."""
        return None

    @abstractmethod
    def __init__(self, settings: BaseModel) -> None:
        """``settings`` is the record's settings model, read from ``DATALOADER_<FIELD>`` variables."""

    @abstractmethod
    def destination(self, catalog: str, schema: str, table: str) -> Destination:
        """A destination by its three names. Touches nothing yet."""

    @abstractmethod
    def checks(self) -> Sequence[Check]:
        """What ``doctor`` reports: storage reachable, versions."""

    def driver_checks(self, drivers: Mapping[str, JdbcDriver]) -> Sequence[Check]:
        """What ``doctor`` reports of the JDBC drivers of the sources that are installed, by their names.

        For engines that read by ``jdbc``.
        """
        return ()
