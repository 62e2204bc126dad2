"""The entry of a load's process: what a launcher starts, on this machine or on a cluster.

Reads its order from the Pipes context, loads the tables, and reports each outcome as it ends. It ends well, with a
status per table; SystemExit and any other exception mean that the process itself failed. Does not import Dagster.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from dataloader_core.app import App
from dataloader_core.control.records import Claim, LoadProgress, Outcome
from dataloader_core.interfaces.launcher import ENVIRONMENT_ARGUMENT, may_travel
from dataloader_core.settings import variable
from dataloader_dagster.messages import to_message

if TYPE_CHECKING:
    from dagster_pipes import PipesContext, PipesMessageWriter, PipesParamsLoader

    from dataloader_core.loading.loader import DataLoader

PARENT_PIPE: Final = "DATALOADER_PARENT_PIPE"
"""Set by a launcher whose process holds the other end of standard input: the seconds of grace after that has ended."""
OF_LOADS: Final = frozenset(variable(field) for field in ("engine", "lake", "pool_size", "row_limit"))
"""What a load goes by and is no secret: a run elsewhere follows the deployment that asked for it."""
PROGRESS_SECONDS: Final = 10.0
CHUNK_SECONDS: Final = 5.0
"""How often messages are written, where they are written as files."""


class Reporter:
    """The way back to Dagster, shared by the loader's threads: one message at a time, progress now and then."""

    def __init__(self, pipes: PipesContext) -> None:
        self._pipes = pipes
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def outcome(self, outcome: Outcome) -> None:
        with self._lock:
            self._pipes.report_custom_message(to_message(outcome))

    def progress(self, control_key: str, progress: LoadProgress) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._last.get(control_key, 0.0) < PROGRESS_SECONDS:
                return
            self._last[control_key] = now
            self._pipes.log.info(
                f"{control_key}: {progress.step}: {progress.rows:,} rows, {progress.bytes / 1e6:,.1f} MB"
            )

    def warning(self, text: str) -> None:
        with self._lock:
            self._pipes.log.warning(text)


class Cancellation:
    """Asked for from outside, maybe before there is a loader to cancel."""

    def __init__(self) -> None:
        self._requested = False
        self._loader: DataLoader | None = None

    def request(self, *_: object) -> None:
        self._requested = True
        if self._loader is not None:
            self._loader.cancel()

    def bind(self, loader: DataLoader) -> None:
        self._loader = loader
        if self._requested:
            loader.cancel()


def main() -> None:
    """Raises whatever made the process itself fail, SystemExit among it: a wheel task ignores what is returned."""
    from dagster_pipes import (
        PipesCliArgsParamsLoader,
        PipesEnvVarParamsLoader,
        open_dagster_pipes,
    )

    loaders: tuple[type[PipesParamsLoader], ...] = (PipesEnvVarParamsLoader, PipesCliArgsParamsLoader)
    parameters = next((p for p in (loader() for loader in loaders) if p.is_dagster_pipes_process()), None)
    if parameters is None:
        sys.stderr.write("This is started by a launcher, inside a Dagster run. By hand: dataloader load TABLE\n")
        sys.exit(2)
    cancellation = Cancellation()
    # Databricks may run this in a thread that is not the main one, where signals cannot be caught.
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, cancellation.request)
        signal.signal(signal.SIGINT, cancellation.request)
    _watch_parent(os.environ, cancellation.request)
    with open_dagster_pipes(params_loader=parameters, message_writer=_writer(parameters)) as pipes:
        take_on(os.environ, _given_settings(sys.argv[1:]))
        app = App.from_environment()
        try:
            load(app, pipes.extras, Reporter(pipes), cancellation)
        finally:
            app.close()


def take_on(environment: MutableMapping[str, str], given: Mapping[str, str]) -> None:
    """Settings that came with the order to start. What the cluster or the job's definition has set stands, but for
    those of loads, in which this process follows the deployment that asked for it."""
    for name, value in given.items():
        if may_travel(name) and (name in OF_LOADS or name not in environment):
            environment[name] = value


def _given_settings(arguments: Sequence[str]) -> Mapping[str, str]:
    from dagster_pipes import decode_param

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(ENVIRONMENT_ARGUMENT, dest="environment", default="")
    encoded = parser.parse_known_args(arguments)[0].environment
    # A job's parameter that was not given is empty.
    given: Mapping[str, str] = decode_param(encoded) if encoded else {}
    return given


def _writer(parameters: PipesParamsLoader) -> PipesMessageWriter[Any]:
    """Where the way back is a folder, it is one of a Volume: messages are files there."""
    from dagster_pipes import PipesDefaultMessageWriter, PipesUnityCatalogVolumesMessageWriter

    if os.path.isdir(parameters.load_messages_params().get("path", "")):
        return PipesUnityCatalogVolumesMessageWriter(interval=CHUNK_SECONDS)
    return PipesDefaultMessageWriter()


def load(app: App, order: Mapping[str, Any], reporter: Reporter, cancellation: Cancellation) -> Sequence[Outcome]:
    """Load what still holds its claim; the control database was told of each outcome before Dagster is."""
    from dataloader_core.loading.loader import DataLoader

    claims = _claims(app, order, reporter)
    if not claims:
        return ()
    # The run's own source, whichever rows were pointed elsewhere while it waited: those fail alone.
    loader = DataLoader(
        app.control.source(order["db_config_key"]),
        app.control,
        app.registry,
        app.settings,
        app.engine,
        pool=app.settings.pool_size,
        on_outcome=reporter.outcome,
        on_progress=reporter.progress,
    )
    cancellation.bind(loader)
    return loader.process_tables(claims)


def _claims(app: App, order: Mapping[str, Any], reporter: Reporter) -> Sequence[Claim]:
    claims = app.control.claims([UUID(load) for load in order["loads"]])
    standing = {str(claim.load_id) for claim in claims}
    for load_id in order["loads"]:
        if load_id not in standing:
            reporter.warning(f"Load {load_id} does not hold its claim any more; it is left out.")
    return claims


def _watch_parent(environment: Mapping[str, str], lost: Callable[[], None]) -> None:
    """Cancel when the process that started this one is gone: nobody would hear of the outcomes.

    Standard input is then a pipe that ends with it. Loads that do not stop in time are cut off; they are fenced.
    """
    if PARENT_PIPE not in environment:
        return
    grace_seconds = float(environment[PARENT_PIPE])

    def watch() -> None:
        while os.read(0, 1024):
            pass
        logging.getLogger(__name__).warning("The process that started this one is gone: its loads are cancelled.")
        lost()
        time.sleep(grace_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


if __name__ == "__main__":
    # No sys.exit after it: some Databricks runtimes take any SystemExit for a failure, that of 0 as well.
    main()
