"""A run in a process of its own on this machine, by Dagster Pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from dataloader_core.errors import TransientError
from dataloader_core.interfaces.launcher import Launcher, RunOrder
from dataloader_launchers.subprocess.plugin import SubprocessSettings

if TYPE_CHECKING:
    from dagster import AssetExecutionContext

_POLL_SECONDS = 0.1


class SubprocessLauncher(Launcher):
    """Starts ``dataloader_pipe`` with this interpreter and hands on its messages as they come.

    Dagster's own subprocess client shows messages only after the process has ended, and waits for an interrupted
    process without ever killing it; hence the session is driven here.
    """

    name: ClassVar[str] = "subprocess"
    command: ClassVar[tuple[str, ...]] = (sys.executable, "-m", "dataloader_dagster.dataloader_pipe")

    def __init__(self, settings: BaseModel | None = None) -> None:
        super().__init__(settings)
        chosen = settings if isinstance(settings, SubprocessSettings) else SubprocessSettings()
        self.grace_seconds = chosen.subprocess_grace_seconds

    def launch(self, context: AssetExecutionContext, order: RunOrder) -> Generator[Mapping[str, Any], None, None]:
        from dagster import DagsterExecutionInterruptedError as Interrupted
        from dagster import PipesTempFileContextInjector, PipesTempFileMessageReader, open_pipes_session

        interrupted: BaseException | None = None
        seen = 0
        try:
            with (
                open_pipes_session(
                    context=context,
                    context_injector=PipesTempFileContextInjector(),
                    message_reader=PipesTempFileMessageReader(),
                    extras=order.to_extras(),
                ) as session,
                _running({**os.environ, **order.environment, **session.get_bootstrap_env_vars()}, self) as process,
            ):
                context.log.info(f"Process {process.pid} loads {len(order.loads)} tables of {order.db_config_key}.")
                deadline = time.monotonic() + order.time_limit_seconds
                while process.poll() is None:
                    fresh = session.get_custom_messages()[seen:]
                    seen += len(fresh)
                    yield from fresh
                    if time.monotonic() > deadline:
                        break
                    time.sleep(_POLL_SECONDS)
                late = process.poll() is None
        except Interrupted as error:
            interrupted = error
        # The session reads on to the end of the messages before it closes: only now nothing can be missing.
        yield from session.get_custom_messages()[seen:]
        if interrupted is not None:
            raise interrupted
        if late:
            raise TransientError(f"The process was stopped after its time limit of {order.time_limit_seconds} s.")
        _check_end(process.returncode)


def _check_end(returncode: int) -> None:
    if returncode == 0:
        return
    how = f"was ended by {_signal_name(-returncode)}" if returncode < 0 else f"ended with exit code {returncode}"
    raise TransientError(f"The process that loads the tables {how}.", cure="The run's stderr says more.")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def _running(environment: Mapping[str, str], launcher: SubprocessLauncher) -> Iterator[subprocess.Popen[bytes]]:
    """The process for as long as the context lasts; nothing of it outlives the context.

    Its standard input is a pipe that nobody writes to: the process sees it end when this process dies, however
    that happened, and cancels its loads. It leads a session of its own, so that Ctrl-C in a terminal reaches it
    once (through the run that is cancelled) and its own children can be killed with it.
    """
    process = subprocess.Popen(
        launcher.command,
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={**environment, "DATALOADER_PARENT_PIPE": str(launcher.grace_seconds)},
    )
    try:
        yield process
    finally:
        _stop(process, launcher.grace_seconds)


def _stop(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    try:
        if process.poll() is None:
            process.terminate()
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Also where the wait itself is interrupted: a second signal means now.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()
