"""The containers' processes, started by their own commands and files."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy.bundle import REPOSITORY
from tests.support.deployment import name_of

FOLDER: Final = REPOSITORY / "deploy" / "dagster"


class Stack:
    """The code location and the daemon on this machine: ``DAGSTER_HOME`` with the files as they are, but that the code
    location is on a free port.

    Args:
        storage: The URL of Dagster's own storage.
    """

    def __init__(self, home: Path, storage: str) -> None:
        self.home = home
        self.port = _free_port()
        home.mkdir()
        shutil.copy(FOLDER / "dagster.yaml", home)
        place = yaml.safe_load((FOLDER / "workspace.yaml").read_text(encoding="utf-8"))
        place["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": self.port}
        (home / "workspace.yaml").write_text(yaml.safe_dump(place), encoding="utf-8")
        self.environment = {**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_POSTGRES_URL": storage}

    def set(self, section: str, **values: Any) -> None:
        """Change settings of the instance."""
        path = self.home / "dagster.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings[section] |= values
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")

    @contextmanager
    def code(self, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        text = (FOLDER / "Containerfile").read_text(encoding="utf-8")
        [command] = re.findall(r"^CMD \[(.+)\]$", text, re.MULTILINE)
        parts = shlex.split(command.replace(",", " "))
        here = [part.replace("4000", str(self.port)).replace("0.0.0.0", "127.0.0.1") for part in parts]
        with self._started(here, self.environment | dict(environment)) as process:
            yield process

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[bytes]]:
        """As in its container: neither the control database nor a secret of a source is known to it."""
        services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
        with self._started(services["daemon"]["command"], self.environment) as process:
            yield process

    def run(self, *command: str) -> str:
        """A command in the daemon's container; what it says."""
        program = Path(sys.executable).with_name(command[0])
        done = subprocess.run(
            [str(program), *command[1:]], cwd=self.home, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def logs(self) -> str:
        return "".join(log.read_text(encoding="utf-8")[-2000:] for log in self.home.glob("*.log"))

    @contextmanager
    def _started(self, command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        program = Path(sys.executable).with_name(command[0])
        with open(self.home / f"{command[0]}.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [str(program), *command[1:]],
                cwd=self.home,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(60)
                die(process)


def die(process: subprocess.Popen[bytes]) -> None:
    """As its container does: with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def storage_url(server: Any) -> str:
    """A database for Dagster's own storage."""
    url: str = server.tcp_dsn(name_of(server.new_database("dagster")))
    return url.replace("postgresql://", "postgresql+psycopg2://")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
