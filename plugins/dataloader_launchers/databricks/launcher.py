"""A run on Databricks, by the workspace's Jobs API, with Dagster Pipes over a Volume."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from pydantic import BaseModel

from dataloader_core.errors import ConfigurationError, DataLoaderError, TransientError
from dataloader_core.interfaces.launcher import Launcher, RunOrder
from dataloader_core.settings import read_settings, variable
from dataloader_databricks.workspace import new_config
from dataloader_launchers.databricks import orders
from dataloader_launchers.databricks.errors import Subject, explained, is_transient
from dataloader_launchers.databricks.inbox import Inbox
from dataloader_launchers.databricks.run import DatabricksRun
from dataloader_launchers.databricks.settings import DatabricksSettings

if TYPE_CHECKING:
    from dagster import AssetExecutionContext, PipesSession
    from databricks.sdk import WorkspaceClient

T = TypeVar("T")

WORKSPACE_MARGIN_SECONDS: Final = 600
"""So much later than this process the workspace itself ends a run: an orphan's last end, if nobody finds it."""
CALL_SECONDS: Final = 60
RETRY_SECONDS: Final = 60
LAST_READ_SECONDS: Final = 30.0
"""What cannot be read then is known to the control database, and whoever cancelled must not wait for it."""
ORPHAN_CALL_SECONDS: Final = 10
ORPHAN_RETRY_SECONDS: Final = 5
"""A sensor's tick waits for it, and there is another tick."""
_PAUSES: Final = (0.5, 10.0)


class DatabricksLauncher(Launcher):
    """Starts ``dataloader_pipe`` on Databricks and hands on its messages as they come.

    The clients of dagster-databricks end in success when they are interrupted, and give their messages only at the
    end; hence the session is driven here, with their layout of the Volume and the workspace's own SDK.
    """

    name: ClassVar[str] = "databricks"

    def __init__(self, settings: BaseModel | None = None) -> None:
        super().__init__(settings)
        self._settings = settings if isinstance(settings, DatabricksSettings) else read_settings(DatabricksSettings)

    def launch(self, context: AssetExecutionContext, order: RunOrder) -> Generator[Mapping[str, Any], None, None]:
        from dagster import DagsterExecutionInterruptedError as Interrupted

        from dataloader_launchers.databricks.volume import VolumeMessages

        client = new_client(RETRY_SECONDS)
        reader = VolumeMessages(client, self._settings.databricks_volume)
        inbox = Inbox(context, reader)
        run: DatabricksRun | None = None
        ended_by: BaseException | None = None
        late = False
        try:
            with ExitStack() as stack:
                session = self._open_session(stack, client, context, order, reader)
                inbox.open(session)
                request = self._request(context, order, session)
                try:
                    run = self._start(client, request)
                    late = yield from self._follow(run, context, order, inbox)
                except Interrupted:
                    run = run or self._find(client, request, context)
                    raise
                finally:
                    if run is not None:
                        self._end(run, context)
                        inbox.read_to_end(min(LAST_READ_SECONDS, self._settings.databricks_patience_seconds))
        except (Interrupted, DataLoaderError) as error:
            ended_by = error
        yield from inbox.fresh()
        if run is not None and not run.is_over:
            # Whoever was interrupted before it could say so: the sensor ends it.
            yield _launched(run)
        if ended_by is not None:
            raise ended_by
        assert run is not None, "it was started"
        if late and run.outcome != "SUCCESS":
            raise _too_late(run, order)
        run.check_end(self._settings)

    def end(self, reference: str) -> bool:
        client = new_client(ORPHAN_RETRY_SECONDS, ORPHAN_CALL_SECONDS)
        host, _, run_id = reference.rpartition("/jobs/runs/")
        if host != client.config.host:
            raise ConfigurationError(
                f"{reference} is a run of another workspace than DATABRICKS_HOST names.",
                cure="Cancel it there, if it still runs.",
            )
        run = DatabricksRun(client, int(run_id))
        run.look()
        if not run.is_over:
            run.cancel()
        return run.is_over

    def _open_session(
        self,
        stack: ExitStack,
        client: WorkspaceClient,
        context: AssetExecutionContext,
        order: RunOrder,
        reader: Any,
    ) -> PipesSession:
        from dagster import open_pipes_session

        from dataloader_launchers.databricks.volume import VolumeContext

        volume = self._settings.databricks_volume
        grant = "READ VOLUME and WRITE VOLUME on it, USE CATALOG and USE SCHEMA above it"
        with explained(str(client.config.host), Subject(f"the folder {volume}", variable("databricks_volume"), grant)):
            return insist(
                lambda: stack.enter_context(
                    open_pipes_session(
                        context=context,
                        context_injector=VolumeContext(client, volume),
                        message_reader=reader,
                        extras=order.to_extras(),
                    )
                )
            )

    def _environment(self, order: RunOrder) -> Mapping[str, str]:
        return {**order.environment, **self._settings.databricks_environment}

    def _request(self, context: AssetExecutionContext, order: RunOrder, session: PipesSession) -> orders.RunRequest:
        return orders.RunRequest(
            name=f"dataloader {order.db_config_key} {context.run.run_id}",
            token=uuid.uuid4().hex,
            parameters=session.get_bootstrap_cli_arguments(),
            environment=self._environment(order),
            timeout_seconds=order.time_limit_seconds + WORKSPACE_MARGIN_SECONDS,
        )

    def _start(
        self, client: WorkspaceClient, request: orders.RunRequest, seconds: float | None = None
    ) -> DatabricksRun:
        with explained(str(client.config.host), orders.subject_of(self._settings)):
            return DatabricksRun(client, insist(lambda: orders.start(client, self._settings, request), seconds))

    def _find(
        self, client: WorkspaceClient, request: orders.RunRequest, context: AssetExecutionContext
    ) -> DatabricksRun | None:
        """The run of a request whose answer was cut off: its token gives the run that is there, or one that is
        cancelled before it does anything. There is no other way to ask for a token."""
        try:
            return self._start(client, request, self._settings.databricks_cancel_seconds)
        except DataLoaderError as error:
            context.log.warning(f"Whether the workspace took the run {request.name!r} is not known: {error}")
            return None

    def _follow(
        self, run: DatabricksRun, context: AssetExecutionContext, order: RunOrder, inbox: Inbox
    ) -> Generator[Mapping[str, Any], None, bool]:
        """Until the run has ended (False) or must not go on (True)."""
        # Before anything else: whoever hears of it can find the run if this process dies now.
        yield _launched(run)
        ends = time.monotonic() + order.time_limit_seconds
        state = ""
        while True:
            run.look(self._settings.databricks_patience_seconds)
            if run.url is not None and not state:
                yield _launched(run)
            if run.state != state:
                state = run.state
                context.log.info(f"Databricks run {run.run_id} is {state}: {run.url or run.reference}")
            inbox.read()
            yield from inbox.fresh()
            if run.is_over:
                return False
            if time.monotonic() > ends:
                return True
            time.sleep(self._settings.databricks_poll_seconds)

    def _end(self, run: DatabricksRun, context: AssetExecutionContext) -> None:
        """Cancel the run and wait for its end, where it has not ended. Fails in silence: its reason is another."""
        if run.is_over:
            return
        seconds = self._settings.databricks_cancel_seconds
        context.log.info(f"Databricks run {run.run_id} is asked to end.")
        try:
            run.cancel()
            ends = time.monotonic() + seconds
            run.look(seconds)
            while not run.is_over and time.monotonic() < ends:
                time.sleep(min(1.0, self._settings.databricks_poll_seconds))
                run.look(seconds)
        except DataLoaderError as error:
            context.log.warning(f"Databricks run {run.run_id} could not be cancelled: {error} The sensor tries again.")
        else:
            say = context.log.info if run.is_over else context.log.warning
            say(f"Databricks run {run.run_id} {_how_it_is(run)}.")


def _how_it_is(run: DatabricksRun) -> str:
    """A request to cancel is no end of a run, and may come too late for it."""
    if run.is_over:
        return f"has ended: {run.outcome}"
    return f"was asked to end and is still {run.state}; the sensor asks again until it has ended"


def _too_late(run: DatabricksRun, order: RunOrder) -> TransientError:
    return TransientError(
        f"Databricks run {run.run_id} exceeded its time limit of {order.time_limit_seconds} s. It {_how_it_is(run)}."
    )


def new_client(retry_seconds: int, call_seconds: int = CALL_SECONDS) -> WorkspaceClient:
    """The SDK's client by its own settings (``DATABRICKS_HOST`` and so on).

    Args:
        retry_seconds: For how long the SDK repeats what is throttled or not answered.
        call_seconds: How long it waits for one answer.

    Raises:
        ConfigurationError: no workspace or no login is set.
        TransientError: the workspace does not answer.
    """
    from databricks.sdk import WorkspaceClient

    with explained(""):
        return WorkspaceClient(config=new_config(call_seconds, retry_seconds))


def insist(call: Callable[[], T], seconds: float | None = None) -> T:
    """Make a call again while the workspace fails on its side, for ``RETRY_SECONDS`` unless told otherwise. The SDK
    itself repeats 429 and 503 only."""
    ends = time.monotonic() + (RETRY_SECONDS if seconds is None else seconds)
    pause, longest = _PAUSES
    while True:
        try:
            return call()
        except OSError as error:
            if not is_transient(error) or time.monotonic() + pause > ends:
                raise
        time.sleep(pause)
        pause = min(pause * 2, longest)


def _launched(run: DatabricksRun) -> Mapping[str, Any]:
    return {"launched": {"reference": run.reference, "url": run.url}}
