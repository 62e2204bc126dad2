"""A Delta table that Unity Catalog shows: registered before its first rows are read, kept in step behind each commit.

The order is argued for in docs/adr/0008-unity-catalog-registration.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from dataloader_core import failpoints
from dataloader_core.commit import CommitRecord, Look
from dataloader_core.errors import DataLoaderError
from dataloader_core.interfaces.engine import Committed, Prepared
from dataloader_core.plan import Replace, Step
from dataloader_core.schema import compare_schemas
from dataloader_engines.local.catalog import UnityCatalog
from dataloader_engines.local.catalog_entry import Described, Entry
from dataloader_engines.local.destination import LocalDestination
from dataloader_engines.local.look import Handle
from dataloader_engines.local.settings import LocalSettings
from dataloader_engines.local.storage import Storage
from dataloader_engines.local.writing import Staged


class RegisteredDestination(LocalDestination):
    """What the load does not register (a backfill's staging table) stays unknown to the catalog."""

    def __init__(
        self, storage: Storage, settings: LocalSettings, catalog: UnityCatalog, names: tuple[str, str, str]
    ) -> None:
        super().__init__(storage, settings)
        self._catalog = catalog
        self._names = names
        self._entry: Entry | None = None
        self._asked = self._registered = False

    def look(self, table_uid: UUID, *, known_version: int | None = None) -> Look:
        """As of any table; the first look also refuses a name that is another table's in the catalog."""
        if not self._asked:
            self._entry = self._catalog.find(self._names, self.location)
            self._asked = True
        return super().look(table_uid, known_version=known_version)

    def register(self, look: Look) -> Sequence[str]:
        handle: Handle = look.handle
        described = Described(look.columns, handle.table.metadata().description)
        failpoints.hit("engine.before_register")
        notes: Sequence[str] = ()
        if self._entry is None:
            self._entry = self._catalog.create(self._names, self.location, described)
        else:
            notes = self._follow(self._entry, described)
        failpoints.hit("engine.after_register")
        self._registered = True
        return notes

    def commit(self, step: Step, prepared: Prepared, look: Look, record: CommitRecord) -> Committed:
        committed = super().commit(step, prepared, look, record)
        if self._entry is None or not self._registered:
            return committed
        staged: Staged = prepared.handle
        change = compare_schemas(staged.source, look.columns, staged.policy, replace=isinstance(step.write, Replace))
        described = Described(change.columns, staged.comment[:4000] if staged.comment else None)
        return replace(committed, notes=(*committed.notes, *self._follow(self._entry, described)))

    def _follow(self, entry: Entry, described: Described) -> Sequence[str]:
        """What could not be brought in step is a note: the rows are where the entry says, and the next load tries."""
        if entry.shows(described):
            return ()
        try:
            self._entry = self._catalog.follow(self._names, entry, described)
        except DataLoaderError as error:
            return (f"Unity Catalog does not show this table's columns and comments yet. {error}",)
        return ()
