"""What programs call: the address of an embedded PostgreSQL that runs for as long as they do."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from dataloader_core.embedded.cluster import programs
from dataloader_core.embedded.folder import CONTROL, EmbeddedFolder, find_folder, unwritable
from dataloader_core.embedded.locks import EXCLUSIVE, SHARED, FileLock, is_held
from dataloader_core.errors import ConfigurationError, ControlUnavailableError

READY_SECONDS: Final = 90.0
ATTEMPTS: Final = 3
_INHERITED: Final = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


class _User:
    """This process's use of one server: a lock, and a thread that replaces a keeper that dies."""

    def __init__(self, folder: EmbeddedFolder) -> None:
        self.folder = folder
        self._closed = False
        self._lock = FileLock(folder.using)
        # Waits while a keeper is stopping: it holds this lock until it is gone.
        self._lock.acquire(SHARED)
        try:
            self.ensure()
        except BaseException:
            self._lock.release()
            raise
        threading.Thread(target=self._watch, name="dataloader-embedded", daemon=True).start()

    def ensure(self) -> None:
        """See that a keeper lives and its server answers."""
        with FileLock(self.folder.starting) as starting:
            starting.acquire(EXCLUSIVE)
            # One that lives without being ready lost its starter on the way: it will be, or it will give up.
            deadline = time.monotonic() + READY_SECONDS
            while is_held(self.folder.keeping):
                if self.folder.ready.exists():
                    return
                _not_beyond(deadline)
            for _attempt in range(ATTEMPTS):
                if _start_keeper(self.folder):
                    return
            raise ControlUnavailableError(f"The embedded PostgreSQL did not start: killed {ATTEMPTS} times on the way.")

    @property
    def is_current(self) -> bool:
        return self._lock.is_of(self.folder.using)

    def close(self) -> None:
        self._closed = True
        self._lock.release()

    def _watch(self) -> None:
        # A keeper has no other way to end while we hold the users' lock than to be killed.
        keeping = FileLock(self.folder.keeping)
        while True:
            keeping.acquire(SHARED)
            keeping.unlock()
            if self._closed or sys.is_finalizing():
                keeping.release()
                return
            try:
                self.ensure()
            except (ConfigurationError, ControlUnavailableError, OSError):
                # Whoever asks for the database next is told; here there is nobody to tell.
                time.sleep(5)


_users: dict[EmbeddedFolder, _User] = {}
_guard = threading.Lock()


def init_embedded(folder: Path, name: str = CONTROL, settings: Mapping[str, str] | None = None) -> str:
    """Make an embedded PostgreSQL in ``folder/.dataloader/``, or use the one that is there; gives its URI.

    Args:
        folder: An existing folder.
        name: Of the server and of the database that is made in it.
        settings: Of ``postgresql.conf``; they count only when the server is made.

    Raises:
        ConfigurationError: the folder does not exist or may not be written to.
        MissingDriverError: the extra ``embedded`` is not installed.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder.", cure="Create it first.")
    # First: a folder that promises a database which cannot be made helps nobody.
    programs()
    embedded = EmbeddedFolder(folder.resolve(), name)
    embedded.make()
    if settings and not embedded.settings_file.exists():
        embedded.settings_file.write_text(json.dumps(dict(settings)), encoding="utf-8")
    return _use(embedded)


def embedded_url(start: Path | None = None, *, create: bool = False) -> str:
    """The URI of the embedded control database of this folder or the nearest one above.

    The server is started if need be, and stays for as long as this process lives.

    Args:
        start: Where the search begins; None: the current folder.
        create: Make one in ``start`` where there is none (``DATALOADER_CONTROL_URL=embedded``).

    Raises:
        ConfigurationError: there is none and ``create`` is not set; or its folder may not be written to.
        MissingDriverError: the extra ``embedded`` is not installed.
        ControlUnavailableError: it does not start.
    """
    found = find_folder(start)
    if found is not None:
        return _use(found)
    here = (start or Path.cwd()).resolve()
    if create:
        return init_embedded(here)
    raise ConfigurationError(
        f"No control database: DATALOADER_CONTROL_URL is not set, and neither {here} nor a folder above it "
        "has a .dataloader/ folder.",
        cure="Run `dataloader init` in your project's folder for an embedded database, or set "
        "DATALOADER_CONTROL_URL=postgresql://... to use your own.",
    )


def stop(folder: Path, name: str = CONTROL) -> bool:
    """End this process's use of the server, and the server itself if nobody else uses it.

    Returns:
        Whether the server is gone; False: others use it, it goes after the last of them.
    """
    embedded = EmbeddedFolder(folder.resolve(), name)
    with _guard:
        user = _users.pop(embedded, None)
    if user:
        user.close()
    if not embedded.home.is_dir():
        return True
    with FileLock(embedded.starting) as starting, FileLock(embedded.using) as users:
        starting.acquire(EXCLUSIVE)
        if not users.try_acquire(EXCLUSIVE):
            return False
        while is_held(embedded.keeping):
            # The lock is held, so the process number in its file is its holder's, once it is written.
            if signed := embedded.keeping.read_text(encoding="utf-8"):
                with suppress(ProcessLookupError):
                    os.kill(int(signed), signal.SIGTERM)
            time.sleep(0.05)
    return True


def _use(folder: EmbeddedFolder) -> str:
    with _guard:
        try:
            user = _users.get(folder)
            if user and not user.is_current:
                # The folder was removed, and perhaps made anew.
                _users.pop(folder).close()
                user = None
            if user is None:
                user = _users[folder] = _User(folder)
            else:
                user.ensure()
        except PermissionError as e:
            raise unwritable(folder.home, e) from e
    url = folder.cluster().url(folder.name)
    _wait_for_answer(url)
    return url


def _wait_for_answer(url: str) -> None:
    """Wait while a server that was killed is started again and recovers: its keeper lives, so it is on its way.

    Any answer other than "not yet" is left to whoever connects.
    """
    target = make_conninfo(url, connect_timeout=5).encode()
    deadline = time.monotonic() + READY_SECONDS
    while PGconn.ping(target) in (Ping.REJECT, Ping.NO_RESPONSE):
        _not_beyond(deadline)


def _start_keeper(folder: EmbeddedFolder) -> bool:
    """Start a keeper and wait until its server answers.

    Returns:
        False: the keeper was killed on the way.

    Raises:
        ControlUnavailableError: it gave up, or took too long.
    """
    # Here, where somebody hears that it is not installed.
    programs()
    token = uuid.uuid4().hex
    command = [sys.executable, "-P", "-m", "dataloader_core.embedded.keeper", str(folder.root), folder.name, token]
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise ControlUnavailableError(f"The embedded PostgreSQL did not start: {done.stderr.decode(errors='replace')}")
    keeper, seen = int(done.stdout), False
    deadline = time.monotonic() + READY_SECONDS
    while (note := _note(folder)) is None or note[1] != token:
        # The lock as well: a killed process whose parent does not care keeps its number.
        held = is_held(folder.keeping)
        gone = (seen and not held) or not _lives(keeper)
        seen = seen or held
        if fault := _fault(folder, token):
            raise ControlUnavailableError(f"The embedded PostgreSQL did not start: {fault}")
        if gone:
            return False
        _not_beyond(deadline)
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _not_beyond(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise ControlUnavailableError(f"The embedded PostgreSQL did not start within {READY_SECONDS:.0f} s.")
    time.sleep(0.02)


def _note(folder: EmbeddedFolder) -> list[str] | None:
    try:
        note = folder.ready.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return None
    return note if len(note) == 2 else None


def _fault(folder: EmbeddedFolder, token: str) -> str | None:
    """What the keeper of this token said before it gave up."""
    try:
        lines = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
    except FileNotFoundError:
        return None
    said = f"keeper {token}: "
    return next((line.removeprefix(said) for line in lines if line.startswith(said)), None)


@atexit.register
def _forget() -> None:
    for user in _users.values():
        user.close()
