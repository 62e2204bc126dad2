"""``dataloader_table_load``: one run, that is some claimed tables of one source, each with an outcome of its own."""

# Without `from __future__ import annotations`: Dagster reads the asset function's own annotations and takes no text.

from collections.abc import Sequence
from contextlib import closing
from uuid import UUID

from dagster import AssetExecutionContext, AssetsDefinition, Config, Failure, MaterializeResult, MetadataValue, asset
from pydantic import Field

from dataloader_core.app import App
from dataloader_core.claiming import runs_alone
from dataloader_core.control.records import Claim, LaunchedRun, Outcome
from dataloader_core.errors import DataLoaderError
from dataloader_core.interfaces.launcher import RunOrder
from dataloader_core.settings import read_settings
from dataloader_dagster.launching import launched_run, launcher, settings_of_loads
from dataloader_dagster.messages import from_message
from dataloader_dagster.requests import TABLE_LOAD
from dataloader_dagster.runs import DagsterRuns
from dataloader_dagster.settings import DagsterSettings
from dataloader_dagster.translator import TableAssetTranslator


class TableLoadConfig(Config):
    """What the sensor asks of a run: references to claims, and nothing else."""

    db_config_key: str = Field(description="The source of all tables of this run.")
    loads: list[str] = Field(description="Load ids of claims in the control database.")


def table_load_asset(translator: TableAssetTranslator) -> AssetsDefinition:
    """The asset whose runs load tables; the destinations' own assets appear with their first load."""

    @asset(
        name=TABLE_LOAD,
        group_name="dataloader",
        kinds={"delta"},
        description="Loads claimed tables. Each destination is an asset of its own: catalog/schema/table.",
    )
    def dataloader_table_load(context: AssetExecutionContext, config: TableLoadConfig) -> MaterializeResult[None]:
        app = App.from_environment()
        try:
            return TableRun(context, app, config, translator).execute()
        finally:
            app.close()

    return dataloader_table_load


class TableRun:
    """One run of the asset."""

    def __init__(
        self, context: AssetExecutionContext, app: App, config: TableLoadConfig, translator: TableAssetTranslator
    ) -> None:
        self._context = context
        self._app = app
        self._config = config
        self._translator = translator
        self._settings = read_settings(DagsterSettings)
        self._run_url = self._settings.run_url(context.run.run_id)
        self._loads = [UUID(load) for load in config.loads]
        self._outcomes: list[Outcome] = []

    def execute(self) -> MaterializeResult[None]:
        """Launch, report each table as it ends, and fail what stayed silent, however the process ended.

        Raises:
            Failure: a table failed, or nothing was left to load.
        """
        self._app.control.attach_run(self._loads, run_id=self._context.run.run_id, run_url=self._run_url)
        claims = self._app.control.claims(self._loads)
        if not claims:
            raise Failure(
                "None of these loads holds its claim any more: it was cancelled, reaped, or has ended. "
                "The sensor claims the tables anew; running this run again does not.",
                allow_retries=False,
            )
        died: DataLoaderError | None = None
        message = "The run was interrupted before this table reported an outcome."
        try:
            self._launch(claims)
            message = "The process ended without an outcome for this table."
        except DataLoaderError as error:
            died = error
            message = f"{error.problem} This table had not reported an outcome."
        finally:
            silent = self._app.control.fail_unreported(self._context.run.run_id, message)
        self._report_unheard(claims, silent)
        return self._result(died, silent)

    def _launch(self, claims: Sequence[Claim]) -> None:
        order = RunOrder(
            db_config_key=self._config.db_config_key,
            loads=self._config.loads,
            environment=settings_of_loads(self._app.settings),
            time_limit_seconds=self._time_limit(claims),
        )
        made = launcher(self._app.registry, self._app.settings.launcher)
        launched: LaunchedRun | None = None
        instance = DagsterRuns(self._context.instance).instance
        # Closed here and not by the garbage collector: whatever interrupts this loop stops the process first.
        with closing(made.launch(self._context, order)) as messages:
            for message in messages:
                if found := launched_run(message, self._context.run.run_id, made.name, instance):
                    launched = found
                    self._app.control.record_launch(launched, self._loads)
                elif outcome := from_message(message):
                    self._report(outcome)
        # A run that ended otherwise is asked for once more, by the sensor's tick.
        if launched is not None:
            self._app.control.launch_ended(launched)

    def _time_limit(self, claims: Sequence[Claim]) -> int:
        if any(runs_alone(self._app, claim.table.load_strategy) for claim in claims):
            return self._settings.alone_time_limit
        return self._settings.run_time_limit

    def _report_unheard(self, claims: Sequence[Claim], silent: Sequence[str]) -> None:
        """Messages may be lost with the process that wrote them; what it told the control database is not."""
        heard = {outcome.load_id for outcome in self._outcomes}
        unheard = [c.load_id for c in claims if c.load_id not in heard and c.control_key not in silent]
        for outcome in self._app.control.ended_loads(unheard) if unheard else ():
            self._report(outcome)

    def _report(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        said = f"{outcome.control_key}: {outcome.status}. {outcome.message}"
        (self._context.log.info if outcome.status == "Succeeded" else self._context.log.error)(said)
        if event := self._translator.event(outcome, self._run_url):
            self._context.log_event(event)

    def _result(self, died: DataLoaderError | None, silent: Sequence[str]) -> MaterializeResult[None]:
        failed = [o for o in self._outcomes if o.status != "Succeeded"]
        loaded = [o for o in self._outcomes if o.status == "Succeeded"]
        totals = {
            "tables": len(loaded),
            "rows": sum(o.result.rows for o in loaded if o.result),
            "bytes": sum(o.result.bytes for o in loaded if o.result),
        }
        if died is None and not failed and not silent:
            return MaterializeResult(metadata=totals)
        reasons = {o.control_key: f"{o.status}: {o.message}" for o in failed}
        reasons |= dict.fromkeys(silent, "Failed: it reported no outcome.")
        listed = "\n".join(f"- {key}: {reason}" for key, reason in reasons.items())
        raise Failure(
            f"{len(reasons)} of {len(self._config.loads)} tables failed: {', '.join(reasons) or 'none'}."
            + (f" {died}" if died else ""),
            metadata={**totals, "failed": MetadataValue.md(listed)},
            allow_retries=False,
        )
