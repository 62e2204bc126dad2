"""The containers' processes, started by their own commands and files: a due table is loaded without anybody's help."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.bundle import REPOSITORY
from tests.support.deployment import Deployment, name_of, new_deployment, templates_of

FOLDER: Final = REPOSITORY / "deploy" / "dagster"
SECONDS: Final = 120


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """``DAGSTER_HOME`` with the files as they are, but that the code location is on a free port of this machine."""
    made = tmp_path / "home"
    made.mkdir()
    shutil.copy(FOLDER / "dagster.yaml", made)
    place = yaml.safe_load((FOLDER / "workspace.yaml").read_text(encoding="utf-8"))
    place["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": free_port()}
    (made / "workspace.yaml").write_text(yaml.safe_dump(place), encoding="utf-8")
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def commands(port: int) -> list[list[str]]:
    """The code location's and the daemon's."""
    text = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    [code] = re.findall(r"^CMD \[(.+)\]$", text, re.MULTILINE)
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    parts = [
        part.replace("4000", str(port)).replace("0.0.0.0", "127.0.0.1") for part in shlex.split(code.replace(",", " "))
    ]
    return [parts, services["daemon"]["command"]]


@contextmanager
def started(command: list[str], home: Path, environment: dict[str, str]) -> Iterator[None]:
    program = Path(sys.executable).with_name(command[0])
    with open(home / f"{command[0]}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [str(program), *command[1:]], cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.mark.slow
def test_a_due_table_is_loaded(postgres_server: Any, home: Path, tmp_path: Path) -> None:
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed")
    deployment = new_deployment(postgres_server, templates_of(postgres_server), tmp_path)
    deployment.apply()
    storage = postgres_server.tcp_dsn(name_of(postgres_server.new_database("dagster")))
    of_dagster = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_URL": storage.replace("postgresql://", "postgresql+psycopg2://"),
    }
    place = yaml.safe_load((home / "workspace.yaml").read_text(encoding="utf-8"))["load_from"][0]["grpc_server"]
    with ExitStack() as running:
        code, daemon = commands(place["port"])
        running.enter_context(started(code, home, of_dagster | deployment.environment))
        # As in the containers: neither the control database nor a secret of a source is known to it.
        running.enter_context(started(daemon, home, of_dagster))
        assert loaded(deployment), "".join(log.read_text(encoding="utf-8")[-2000:] for log in home.glob("*.log"))
    assert len(deployment.rows("orders")) == 100


def loaded(deployment: Deployment) -> bool:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        [(status,)] = deployment.sql("SELECT last_status FROM control.table_control")
        if status in ("Succeeded", "Failed"):
            return bool(status == "Succeeded")
        time.sleep(0.5)
    return False
