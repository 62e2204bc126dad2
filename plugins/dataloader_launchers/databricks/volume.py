"""Orders and messages of a run by a Unity Catalog Volume, as dagster-databricks' Pipes lay them there.

Theirs read in a thread of their own, take every error for "nothing there yet" and stop ten seconds after the end,
whatever is still unread; and an error while they tidy up replaces the one that ended the run. So here reading is asked
for, tells what is not there from what could not be read, and goes on to the end. Imported by a launch only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from dagster_databricks.pipes import PipesUnityCatalogVolumesContextInjector, PipesUnityCatalogVolumesMessageReader
from databricks.sdk.errors import NotFound  # noqa: TID253  # imported when a run is launched
from databricks.sdk.service.files import DirectoryEntry, FilesAPI  # noqa: TID253  # likewise

if TYPE_CHECKING:
    from dagster import PipesMessageHandler
    from dagster_pipes import PipesParams
    from databricks.sdk import WorkspaceClient

log = logging.getLogger(__name__)

CHUNK_BYTES: Final = 64 * 1024 * 1024
"""Some hundred thousand messages: a chunk beyond it was not written by a load."""


class TidyFiles(FilesAPI):
    """The Files API, where removing what is no longer needed never fails: it must not hide how a run ended."""

    def __init__(self, client: WorkspaceClient) -> None:
        super().__init__(client.api_client)  # type: ignore[no-untyped-call]  # the SDK's

    def delete(self, file_path: str) -> None:
        self._quietly(super().delete, file_path)

    def delete_directory(self, directory_path: str) -> None:
        self._quietly(super().delete_directory, directory_path)

    def list_directory_contents(self, directory_path: str, **options: Any) -> Iterator[DirectoryEntry]:
        try:
            yield from super().list_directory_contents(directory_path, **options)
        except OSError as error:
            log.warning("%s is left behind: %s", directory_path, type(error).__name__)

    def _quietly(self, remove: Any, path: str) -> None:
        try:
            remove(path)
        except OSError as error:
            log.warning("%s is left behind: %s", path, type(error).__name__)


class VolumeContext(PipesUnityCatalogVolumesContextInjector):
    """Writes a run's order into the Volume."""

    def __init__(self, client: WorkspaceClient, path: str) -> None:
        super().__init__(client=client, volume_path=path)
        self.files_client = TidyFiles(client)


class VolumeMessages(PipesUnityCatalogVolumesMessageReader):
    """Reads a run's messages from the Volume, whenever :meth:`read` is called."""

    def __init__(self, client: WorkspaceClient, path: str) -> None:
        # What the task prints stays with the run: it is no message, and nobody has looked it through for secrets.
        super().__init__(client=client, volume_path=path, include_stdio_in_messages=False)
        self.files_client = TidyFiles(client)
        self._next = 1
        self._handler: PipesMessageHandler | None = None
        self._params: PipesParams = {}

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[PipesParams]:
        with self.get_params() as params:
            self._handler, self._params = handler, params
            yield params

    def read(self) -> None:
        """Pass on every message that is there by now.

        Raises:
            OSError: the Volume could not be read; what was read is not lost, and the next call goes on from there.
        """
        while (chunk := self._chunk()) is not None:
            for message in chunk:
                self._hand_on(message)
            self._next += 1

    def _hand_on(self, message: Any) -> None:
        """What lies in the folder is anybody's who may write there: it never ends the run that reads it."""
        assert self._handler is not None, "inside of a session"
        try:
            self._handler.handle_message(message)
        except Exception as error:  # noqa: BLE001  # whatever Dagster makes of what is no message of its Pipes
            log.warning("What is no message in %s.json is left out (%s).", self._next, type(error).__name__)

    def _chunk(self) -> list[Any] | None:
        """The next file of messages; None where there is none yet, or it is not whole yet."""
        path = self._path(self._next)
        try:
            found = self._messages(path)
            if found is None and self._is_there(self._path(self._next + 1)):
                # A writer begins the next file when one is whole: since a moment ago at the latest.
                found = self._messages(path)
                if found is None:
                    log.warning("%s is cut off and left out.", path)
                    return []
        except NotFound:
            return None
        return found

    def _messages(self, path: str) -> list[Any] | None:
        """What a file holds; None where it is not whole.

        Raises:
            NotFound: there is none.
        """
        answer = self.files_client.download(path)
        assert answer.contents is not None, "a download has contents"
        with answer.contents as contents:
            text = contents.read(CHUNK_BYTES + 1)
        if len(text) > CHUNK_BYTES:
            log.warning("%s is larger than %s bytes and left out.", path, CHUNK_BYTES)
            return []
        try:
            return [json.loads(line) for line in text.decode().split("\n")]
        except ValueError:
            return None
        except RecursionError:
            log.warning("%s is nested too deeply and left out.", path)
            return []

    def _path(self, number: int) -> str:
        return f"{self._params['path']}/{number}.json"

    def _is_there(self, path: str) -> bool:
        try:
            self.files_client.get_metadata(path)
        except NotFound:
            return False
        return True
