"""What the demo does, in order, and what it says meanwhile."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from dataloader_core.app import App
from dataloader_core.control.records import HistoryEntry
from dataloader_core.embedded import stop
from dataloader_core.embedded.folder import CONTROL
from examples.demo.command_line import dataloader
from examples.demo.compare import EXPECTED, Comparison, compare
from examples.demo.orchestra import make_instance, tick_and_load
from examples.demo.source import SERVER, Source, start_source

FOLDER = Path(__file__).resolve().parents[2] / ".demo"
TABLES = Path(__file__).with_name("tables.yaml")
PASSWORD = "DATALOADER_SECRET_NYC_PASSWORD"  # noqa: S105  # the name of a secret, not a secret
MARKER = "made-by-the-demo"
SETTLE_SECONDS = 2.0
ROUNDS = 3
NOTES = """\
Promised is what the strategy keeps: planes still has 5 rows that were deleted,
an increment cannot see them go; weather has 3 rows as they were first read;
departures holds the last 7 days; flights became incremental by itself.
The third loads caught the rows whose transaction was open during the second."""


class Demo:
    """A whole deployment in one folder: source, control database, lake, Dagster."""

    def __init__(self, folder: Path = FOLDER, engine: str = "local") -> None:
        self.console = Console(highlight=False)
        self.folder = folder
        self.lake = folder / "lake"
        self.engine = engine
        self._began = time.monotonic()
        self._strategies: Mapping[str, str] = {}
        self._app: App | None = None
        self._source: Source | None = None

    def show(self) -> bool:
        """All stages; whether every table holds what its strategy promises."""
        self._clean()
        with self._stage("A source: PostgreSQL with the flights of New York in 2013"):
            source = self._source = start_source(self.folder / "source")
        self._environment()
        with self._stage("The control database, a source, six tables: as anybody would configure them"):
            self._configure(source)
        app = self._app = App.from_environment()
        instance = make_instance(self.folder / "dagster_home")
        self._strategies = {t.control_key: t.load_strategy for t in app.control.status()}
        # A row stamped a moment ago waits for the next load: the cap keeps a second's distance.
        time.sleep(SETTLE_SECONDS)
        with instance:
            with self._stage("First loads: the sensor claims what is due, Dagster runs it"):
                good = tick_and_load(instance, app, self.console)
            with self._stage("A day at the source: inserts, updates, deletes"):
                source.run("changes.sql")
                time.sleep(SETTLE_SECONDS)
            with (
                source.late_transaction(),
                self._stage("Second loads, while a transaction with older stamps is still open"),
            ):
                self._all_due()
                good &= tick_and_load(instance, app, self.console)
            with self._stage("That transaction has committed: third loads"):
                time.sleep(SETTLE_SECONDS)
                self._all_due()
                good &= tick_and_load(instance, app, self.console)
        with self._stage("Source and Delta compared, value for value"):
            comparisons = {key: compare(source.url, self.lake, key) for key in EXPECTED}
        return self._report(app, comparisons) and good

    def keep_running(self, port: int) -> None:
        """The same deployment under `dagster dev`, until Ctrl-C."""
        from examples.demo.dev import serve

        assert self._source is not None, "show() comes first"
        serve(self.folder, port, self.console, self._source)

    def close(self) -> None:
        if self._app is not None:
            self._app.close()
        stop_servers(self.folder)

    def _clean(self) -> None:
        if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / MARKER).exists():
            raise SystemExit(f"{self.folder} is not empty and not a demo's folder: it is left alone.")
        stop_servers(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        (self.folder / MARKER).touch()

    def _environment(self) -> None:
        """What a deployment would set, for this process and all that it starts."""
        for name in [n for n in os.environ if n.startswith("DATALOADER_")]:
            del os.environ[name]
        os.environ |= {
            "DATALOADER_ENGINE": self.engine,
            "DATALOADER_LAKE": str(self.lake),
            "DAGSTER_HOME": str(self.folder / "dagster_home"),
            PASSWORD: secrets.token_urlsafe(12),
        }
        # From here on, `.dataloader/` of this folder is found as it would be found by a person in it.
        os.chdir(self.folder)

    def _configure(self, source: Source) -> None:
        dataloader(self.console, "init")
        fields = [f"--set={name}={value}" for name, value in source.fields.items()]
        dataloader(
            self.console,
            *("source", "add", "nyc", "--type", "postgresql", *fields),
            *("--secret", f"password={PASSWORD}", "--scope", "env"),
        )
        dataloader(self.console, "apply", str(TABLES))

    def _all_due(self) -> None:
        """What an editor would do who does not want to wait for the cron."""
        assert self._app is not None
        with psycopg.connect(self._app.settings.resolve_control_url()) as connection:
            connection.execute("UPDATE control.table_control SET next_load_date_time = now()")

    @contextmanager
    def _stage(self, title: str) -> Iterator[None]:
        self.console.print(f"\n[bold cyan]{title}[/]")
        began = time.monotonic()
        yield
        self.console.print(f"  [dim]{time.monotonic() - began:.1f} s[/]")

    def _report(self, app: App, comparisons: Mapping[str, Comparison]) -> bool:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("table\nstrategy", no_wrap=True)
        for column in ("1st load\nrows, s", "2nd\n", "3rd\n", "promised\nrows, sum", "in Delta\nrows, sum"):
            table.add_column(column, justify="right")
        table.add_column("verdict\n")
        for key, found in comparisons.items():
            loads = sorted(app.control.history(key), key=lambda entry: entry.id)[:ROUNDS]
            table.add_row(
                f"[bold]{key.removeprefix('nyc.')}[/]\n{self._strategies[key]}",
                *(_cell(load) for load in loads),
                *[""] * (ROUNDS - len(loads)),
                f"{found.source_rows:,}\n{found.source_checksum:08x}",
                f"{found.delta_rows:,}\n{found.delta_checksum:08x}",
                "[green]OK[/]" if found.equal else "[red]DIFFERENT[/]",
            )
        self.console.print(table)
        self.console.print(NOTES)
        equal = all(found.equal for found in comparisons.values())
        said = "[bold green]Everything is as promised[/]" if equal else "[bold red]Something differs[/]"
        self.console.print(
            f"\n{said}, after {time.monotonic() - self._began:.0f} s. The lake: {self.lake}", soft_wrap=True
        )
        return equal


def _cell(load: HistoryEntry) -> str:
    if load.load_status != "Succeeded":
        return f"[red]{load.load_status}[/]"
    return f"{load.rows_processed or 0:,}\n{load.total_duration or 0:.1f} s"


def stop_servers(folder: Path) -> None:
    """Stop this folder's embedded servers, also those of a demo that was killed.

    Raises:
        SystemExit: somebody else uses them.
    """
    for root, name in ((folder, CONTROL), (folder / "source", SERVER)):
        if (root / ".dataloader" / name).exists() and not stop(root, name=name):
            raise SystemExit(f"The servers in {folder} are in use: another demo is running.")
