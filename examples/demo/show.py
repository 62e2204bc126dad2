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


class Demo:
    """A whole deployment in one folder: source, control database, lake, Dagster."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.console = Console(highlight=False)
        self.folder = folder
        self.lake = folder / "lake"
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
        table = Table(title="\nAll six strategies", title_style="bold", title_justify="left")
        for column in ("table", "strategy"):
            table.add_column(column)
        for column in (
            "1st rows",
            "s",
            "2nd rows",
            "s",
            "3rd rows",
            "s",
            "rows expected",
            "rows in Delta",
            "checksums",
        ):
            table.add_column(column, justify="right")
        table.add_column("verdict")
        for key, found in comparisons.items():
            loads = sorted(app.control.history(key), key=lambda entry: entry.id)
            verdict = "[green]OK[/]" if found.equal else "[red]DIFFERENT[/]"
            sums = (
                f"{found.delta_checksum:08x}"
                if found.equal
                else f"{found.source_checksum:08x} {found.delta_checksum:08x}"
            )
            table.add_row(
                key.removeprefix("nyc."),
                self._strategies[key],
                *(cell for load in loads[:3] for cell in _cells(load)),
                *[""] * (6 - 2 * len(loads[:3])),
                f"{found.source_rows:,}",
                f"{found.delta_rows:,}",
                sums,
                verdict,
            )
        self.console.print(table)
        equal = all(found.equal for found in comparisons.values())
        self.console.print(
            "Expected: what the strategy promises. planes keeps 5 deleted rows, an increment cannot see them go; "
            "weather keeps 3 rows\nas first read, appended rows are not read again; departures holds the last 7 days. "
            "flights became [bold]incremental[/] after its backfill.\nThe third loads caught the rows whose "
            "transaction was open during the second ones."
        )
        said = "[bold green]Everything is as promised[/]" if equal else "[bold red]Something differs[/]"
        self.console.print(f"\n{said}, after {time.monotonic() - self._began:.0f} s. The lake: {self.lake}")
        return equal


def _cells(load: HistoryEntry) -> tuple[str, str]:
    if load.load_status != "Succeeded":
        return (f"[red]{load.load_status}[/]", "")
    return (f"{load.rows_processed or 0:,}", f"{load.total_duration or 0:.1f}")


def stop_servers(folder: Path) -> None:
    """Stop this folder's embedded servers, also those of a demo that was killed."""
    for root, name in ((folder, CONTROL), (folder / "source", SERVER)):
        if (root / ".dataloader" / name).exists():
            stop(root, name=name)
