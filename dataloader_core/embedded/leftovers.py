"""What a server that was killed may leave behind: itself without a keeper, its processes, its pid file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

STOP_SECONDS: Final = 20.0


def stop_left_over(data: Path) -> None:
    """Stop the server of this data directory whose keeper is gone. PostgreSQL itself clears stale pid files."""
    lines = lines_of(data / "postmaster.pid")
    if len(lines) < 2 or not lines[0].isdecimal() or not _serves(int(lines[0]), data):
        return
    pid = int(lines[0])
    for how, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not _serves(pid, data):
                return
            time.sleep(0.05)


def _serves(pid: int, data: Path) -> bool:
    """Whether the process is a server of this data directory: process numbers are used again."""
    if sys.platform == "linux":
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            return False
    else:
        asked = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
        command = asked.stdout
    return "postgres" in command and str(data) in command


def clear_stale_pid_file(pid_file: Path, data: Path) -> bool:
    """Remove a pid file whose process number now belongs to something else, as happens after a container's restart.

    PostgreSQL then refuses to start, for it cannot tell. The file also guards the data against processes that
    outlive a killed server; while any of these is left, the file stays.

    Args:
        pid_file: That of the data directory, or the lock of the socket, which may be another server's: its second
            line is the data directory it belongs to.
        data: The data directory.

    Returns:
        Whether another attempt to start makes sense.
    """
    if not pid_file.exists():
        return True
    lines = lines_of(pid_file)
    if sys.platform != "linux" or not lines or not lines[0].strip().isdecimal() or _serves(int(lines[0]), data):
        return False
    if pid_file.parent != data and lines[1:2] != [str(data)]:
        return False
    if not _works_in(data):
        pid_file.unlink(missing_ok=True)
    return True


def _works_in(data: Path) -> bool:
    """Whether any process has the data directory as its current folder, as all of PostgreSQL's have."""
    place = str(data.resolve())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == place:
                return True
        except OSError:
            # Gone, or another user's: ours are our own user's.
            continue
    return False


def lines_of(path: Path) -> list[str]:
    """The lines of a file, none where there is no file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
