"""Locks on files that the kernel releases when their holder dies, however it died."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

SHARED: Final = fcntl.LOCK_SH
EXCLUSIVE: Final = fcntl.LOCK_EX


class FileLock:
    """An ``flock`` on a file, held until :meth:`release` or the end of the process.

    A forked child shares it: it ends with the last of them. Programs that are started do not inherit it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self, mode: int) -> None:
        """Wait for the lock."""
        fcntl.flock(self._descriptor, mode)

    def try_acquire(self, mode: int) -> bool:
        """Take the lock if it is free."""
        try:
            fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_of(self, path: Path) -> bool:
        """Whether the lock is still on the file of this path, which may have been removed and made anew."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), path.stat())
        except FileNotFoundError:
            return False

    def sign(self, text: str) -> None:
        """Write who holds the lock into its file."""
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def unlock(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def release(self) -> None:
        """Give the lock back and close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether some process holds the file's lock exclusively."""
    with FileLock(path) as probe:
        return not probe.try_acquire(SHARED)
