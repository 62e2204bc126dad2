"""The messages of a run, handed on once each; what cannot be read delays them and never ends the run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from dataloader_launchers.databricks.errors import is_transient

if TYPE_CHECKING:
    from dagster import AssetExecutionContext, PipesSession

    from dataloader_launchers.databricks.volume import VolumeMessages

_PAUSE_SECONDS: Final = 1.0


class Inbox:
    """What a run has said. The control database knows every outcome anyway: a message only says it sooner."""

    def __init__(self, context: AssetExecutionContext, reader: VolumeMessages) -> None:
        self._context = context
        self._reader = reader
        self._session: PipesSession | None = None
        self._given = 0
        self._complaint = ""

    def open(self, session: PipesSession) -> None:
        self._session = session

    def fresh(self) -> Iterator[Any]:
        """What was read and not handed on yet. Which run was launched, the launcher alone says: whoever may write into
        the Volume could have the run of somebody else cancelled."""
        messages = self._session.get_custom_messages() if self._session else ()
        while self._given < len(messages):
            self._given += 1
            message = messages[self._given - 1]
            if not (isinstance(message, Mapping) and "launched" in message):
                yield message

    def read(self) -> bool:
        """Read what is there; whether trying again may help where that failed."""
        try:
            self._reader.read()
        except OSError as error:
            self._complain(error)
            return is_transient(error)
        return False

    def read_to_end(self, patience_seconds: float) -> None:
        """The run has ended: what is there is all there will be."""
        ends = time.monotonic() + patience_seconds
        while self.read() and time.monotonic() < ends:
            time.sleep(_PAUSE_SECONDS)

    def _complain(self, error: OSError) -> None:
        complaint = type(error).__name__
        if complaint != self._complaint:
            self._complaint = complaint
            self._context.log.warning(f"Messages of the run cannot be read from its Volume now ({complaint}).")
