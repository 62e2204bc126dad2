"""Where an embedded PostgreSQL lies: ``.dataloader/`` in a project's folder, found from any folder below."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataloader_core.embedded.cluster import MAX_SOCKET_PATH, PORT, Cluster
from dataloader_core.errors import ConfigurationError

FOLDER: Final = ".dataloader"
MARKER: Final = "embedded"
"""An empty file in the server's folder: one made by somebody else, or for another server, is not taken for it."""
CONTROL: Final = "control"
"""Name of the embedded control database, of the server and of the database in it."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True)
class EmbeddedFolder:
    """The files of one embedded server.

    Attributes:
        root: The project's folder, which holds ``.dataloader/``.
        name: Of the server; the control database is ``control``, a demo's source another one.
    """

    root: Path
    name: str = CONTROL

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"{self.name!r} is no name for an embedded server.", cure="Use a-z, 0-9 and '_', at most 31 characters."
            )

    @property
    def home(self) -> Path:
        return self.root / FOLDER / self.name

    @property
    def exists(self) -> bool:
        # Not Path.is_file, which raises where a folder may not be entered.
        return os.path.isfile(self.home / MARKER)

    @property
    def starting(self) -> Path:
        """Locked by the process that starts a keeper, until that one is ready or gone."""
        return self.home / "starting.lock"

    @property
    def keeping(self) -> Path:
        """Locked by the keeper for as long as it lives."""
        return self.home / "keeper.lock"

    @property
    def using(self) -> Path:
        """Locked, together, by all processes that use the server: the kernel unlocks it for those that die."""
        return self.home / "users.lock"

    @property
    def ready(self) -> Path:
        """Written by the keeper when its server answers: its process number and the token it was started with."""
        return self.home / "ready"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def settings_file(self) -> Path:
        """Settings of PostgreSQL for the time when the data directory is made, as JSON."""
        return self.home / "settings.json"

    def cluster(self) -> Cluster:
        return Cluster(self.home / "data", self.socket_dir(), self.log)

    def socket_dir(self) -> Path:
        """Beside the data, or where that path is too long for a socket, a folder of its own for temporary files.

        Always the same for one data directory, so that addresses stay valid over restarts.
        """
        beside = self.home / "socket"
        if len(os.fsencode(f"{beside}/.s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH:
            return beside
        return self._recorded_socket_dir() or self._short_socket_dir()

    def record_socket_dir(self) -> None:
        """Note where a short folder is, for processes that have another place for temporary files."""
        self._socket_note.write_text(json.dumps([str(self.home), str(self.socket_dir())]), encoding="utf-8")

    @property
    def _socket_note(self) -> Path:
        return self.home / "socket.json"

    def _recorded_socket_dir(self) -> Path | None:
        try:
            home, socket = json.loads(self._socket_note.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        # A copy of the whole folder must not meet the original at its socket.
        return Path(socket) if home == str(self.home) else None

    def _short_socket_dir(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"dataloader-{os.geteuid()}-{digest}"

    def make(self) -> None:
        """Make the folders and the marker; harmless where they exist.

        Raises:
            ConfigurationError: the folder may not be written to, or there is something else of this name.
        """
        top = self.root / FOLDER
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            # Databases and passwords of roles are nobody else's business, nor git's.
            (top / ".gitignore").write_text("*\n", encoding="utf-8")
            (self.home / MARKER).touch()
        except OSError as e:
            raise unwritable(top, e) from e


def unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{path} may not be written to: {error.strerror}.",
        cure="Choose another folder, correct its permissions, or set DATALOADER_CONTROL_URL.",
    )


def find_folder(start: Path | None = None, name: str = CONTROL) -> EmbeddedFolder | None:
    """The embedded server of the nearest folder that has one, from ``start`` (or the current folder) upwards."""
    here = (start or Path.cwd()).resolve()
    for root in (here, *here.parents):
        folder = EmbeddedFolder(root, name)
        if folder.exists:
            return folder
    return None
