"""Programs that use an embedded server, and what tests ask about its processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from dataloader_core.embedded import (
    EmbeddedFolder,
    lower,
)

USER = """
import sys, time
from dataloader_core.embedded import embedded_url
import psycopg
from pathlib import Path
url = embedded_url(Path(sys.argv[1]))
with psycopg.connect(url) as c:
    print(c.execute("SELECT pg_postmaster_start_time()::text").fetchone()[0], flush=True)
time.sleep(float(sys.argv[2]))
"""


def user(folder: Path, seconds: float = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        assert process.stderr is not None
        pytest.fail(process.stderr.read())
    return line


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def keeper_pid(folder: Path) -> int:
    """0 where none is ready."""
    ready = EmbeddedFolder(folder.resolve()).ready
    return int(ready.read_text().split()[0]) if ready.exists() else 0


def postmaster_pid(folder: Path) -> int:
    return int((EmbeddedFolder(folder.resolve()).home / "data/postmaster.pid").read_text().split()[0])


def kill(pid: int) -> None:
    assert pid > 1, "0 would be all of this test's own processes"
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url):
            return True
    except psycopg.OperationalError:
        return False


@contextmanager
def given_to_another(lock: Path, data: Path, uid: int, gid: int) -> Iterator[None]:
    """As after a container's restart: the file's process number is that of something else, which lives on."""
    who = (str(uid), str(gid), str(os.getpid()), "0")
    other = subprocess.Popen([sys.executable, "-P", lower.__file__, *who, "/bin/sleep", "60"])
    until(lambda: b"sleep" in Path(f"/proc/{other.pid}/cmdline").read_bytes()[:12])
    try:
        lock.write_text(f"{other.pid}\n{data}\n1700000000\n5432\n\n\n0 0\nready\n")
        shutil.chown(lock, uid)
        yield
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def unprivileged(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run as `nobody`, who may read everything (this Python may lie below /root) and write nothing of root's."""
    who = ("65534", "65534", str(os.getpid()), "1")
    return subprocess.run(
        [sys.executable, "-P", lower.__file__, *who, sys.executable, "-c", code, str(folder)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
