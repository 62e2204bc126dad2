"""The keeper: a small process that owns an embedded PostgreSQL and ends it when nobody uses it any more.

    python -P -m dataloader_core.embedded.keeper <project folder> <server's name> <token>

Users hold a shared lock on a file. Nobody else than the kernel can say reliably that a killed process is gone, so
the lock is the whole truth: no list of processes, no heartbeat. The keeper may be killed as well: its PostgreSQL
then stops by itself (see ``lower``), and the users, who wait for the keeper's lock, start another one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

import psycopg

from dataloader_core.embedded.cluster import Cluster
from dataloader_core.embedded.databases import create_database
from dataloader_core.embedded.folder import EmbeddedFolder
from dataloader_core.embedded.locks import EXCLUSIVE, FileLock
from dataloader_core.errors import DataLoaderError

LINGER_SECONDS: Final = 20.0
"""How long the server outlives its last user: long enough for the next command of a person at work."""
LOOK_SECONDS: Final = 0.5
MAX_LOG_BYTES: Final = 10_000_000


class Keeper:
    """Runs until nobody has used the server for ``LINGER_SECONDS``, or SIGTERM."""

    def __init__(self, folder: EmbeddedFolder, token: str) -> None:
        self._folder = folder
        self._token = token
        self._stopping = False
        self._lock = FileLock(folder.keeping)
        self._cluster: Cluster = folder.cluster()
        self._cluster.settings = _settings(folder)

    def run(self) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._ask_to_stop)
        # Waits: others hold it shared for the moment in which they look whether there is a keeper.
        self._lock.acquire(EXCLUSIVE)
        self._lock.sign(str(os.getpid()))
        users = FileLock(self._folder.using)
        self._folder.ready.unlink(missing_ok=True)
        self._folder.record_socket_dir()
        self._cluster.create()
        self._start()
        try:
            self._watch(users)
        finally:
            if self._is_orphaned:
                # Another keeper may already serve from a new folder; a server that ends in good order would
                # remove that one's socket.
                self._cluster.kill()
            else:
                self._folder.ready.unlink(missing_ok=True)
                self._cluster.stop()

    @property
    def _is_orphaned(self) -> bool:
        """Whether somebody removed the folder."""
        return not self._lock.is_of(self._folder.keeping)

    def _start(self) -> None:
        self._cluster.start()
        create_database(self._cluster.url("postgres"), self._folder.name)
        note = self._folder.ready.with_suffix(".new")
        note.write_text(f"{os.getpid()} {self._token}\n", encoding="utf-8")
        note.rename(self._folder.ready)

    def _watch(self, users: FileLock) -> None:
        """Return when the server shall stop; the users' lock is then held, so that a new user waits for the end."""
        idle_since: float | None = None
        while not self._stopping:
            time.sleep(LOOK_SECONDS)
            if self._is_orphaned:
                return
            if self._cluster.process is None or self._cluster.process.poll() is not None:
                # Killed by somebody or by want of memory; its users get a new one at the same address.
                self._start()
            if not users.try_acquire(EXCLUSIVE):
                idle_since = None
                continue
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since >= LINGER_SECONDS:
                return
            users.unlock()

    def _ask_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _settings(folder: EmbeddedFolder) -> dict[str, str]:
    try:
        text = folder.settings_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return {str(key): str(value) for key, value in json.loads(text).items()}


def _detach(log: Path) -> None:
    """Leave the caller's process group, terminal and pipes; become nobody's child, whose number the caller reads."""
    if keeper := os.fork():
        os.write(1, str(keeper).encode())
        os._exit(0)
    os.setsid()
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.rename(log.with_suffix(".old"))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir("/")


def main(argv: list[str]) -> int:
    root, name, token = argv
    folder = EmbeddedFolder(Path(root), name)
    _detach(folder.log)
    try:
        Keeper(folder, token).run()
    except (DataLoaderError, psycopg.Error, OSError) as e:
        sys.stderr.write(f"keeper {token}: {' / '.join(str(e).splitlines())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
