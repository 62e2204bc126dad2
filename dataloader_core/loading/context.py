"""What the parts of one load share while it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from dataloader_core.commit import Look
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.records import Claim, LoadProgress
from dataloader_core.errors import ClaimLostError, DestinationRefusedError
from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.interfaces.strategy import LoadStrategy
from dataloader_core.loading.recovery import staging_name
from dataloader_core.plan import Backfill
from dataloader_core.plugins.manager import Registry

LOOKS = 20
"""How often a load looks again after somebody else's commits before it gives up."""


@dataclass
class LoadContext:
    """One load's claim and everything it is carried out with. Used by one thread.

    Attributes:
        claim: Replaced whenever the control database answers with a newer state of it.
        stop: Raises when the load has to end (cancelled, claim lost); asked often.
        progress: Told where the load is.
        base: By location, the application version that this load's next commit there must find.
        scope: Closes destinations and sessions when the load ends.
    """

    claim: Claim
    control: ControlDatabase
    registry: Registry
    engine: Engine
    stop: Callable[[], None]
    progress: Callable[[LoadProgress], None]
    scope: ExitStack
    base: dict[str, int | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _wrote: bool = False

    def destination(self, name: str) -> Destination:
        """A table of the claim's own catalog and schema."""
        table = self.claim.table
        return self.scope.enter_context(
            self.engine.destination(table.destination_table_catalog, table.destination_table_schema, name)
        )

    def staging_of(self, backfill: Backfill) -> Destination:
        return self.destination(staging_name(self.claim.table, backfill))

    def strategy(self) -> type[LoadStrategy]:
        return self.registry.strategy(self.claim.table.load_strategy)

    def look(self, where: Destination) -> Look:
        """A fresh look. The log need not be read beyond the commit that the control row knows."""
        return where.look(self.claim.table.table_uid, known_version=self.claim.committed_version)

    def look_at_base(self, where: Destination) -> Look:
        """A fresh look that must show the application version this load goes on from.

        Raises:
            ClaimLostError: a newer load has fenced the table.
        """
        look = self.look(where)
        self.must_be_base(where, look)
        return look

    def must_be_base(self, where: Destination, look: Look) -> None:
        if look.app_version != self.base.get(where.location):
            raise ClaimLostError(
                f"{where.location} shows version {look.app_version} of {self.claim.control_key}, not "
                f"{self.base.get(where.location)}: a newer load has it, and this one ends."
            )

    def about_to_write(self) -> None:
        """From the first write on, the claim stays open until its load has succeeded."""
        if not self._wrote:
            self.control.writing(self.claim)
            self._wrote = True

    def refuse_problems(self, look: Look) -> None:
        if look.problems:
            raise DestinationRefusedError(
                f"{self.claim.table.destination} cannot be written safely by the {self.engine.name} engine: "
                + " ".join(look.problems),
                cure="Remove the feature or property, or load the table with an engine that handles it.",
            )

    def note(self, *notes: str) -> None:
        self.notes.extend(n for n in notes if n not in self.notes)
