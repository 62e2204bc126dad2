"""One tick of a worker: claim what is due, with what only the plugins know of the strategies."""

from __future__ import annotations

from dataloader_core.app import App
from dataloader_core.control.records import Claim, Holder, TickResult
from dataloader_core.errors import ConfigurationError
from dataloader_core.planning import parse_options


def claim_due(app: App, holder: Holder) -> TickResult:
    """Claim up to ``tables_per_tick`` tables in batches of up to ``tables_per_run``.

    A row whose strategy or options cannot work fails alone, with the reason.
    """
    return app.control.tick(
        holder,
        limit=app.settings.tables_per_tick,
        per_run=app.settings.tables_per_run,
        strategies_alone=strategies_alone(app),
        check_row=lambda claim: fault(app, claim),
    )


def strategies_alone(app: App) -> tuple[str, ...]:
    """Strategies that get a run of their own. One that cannot be imported fails when its table is claimed."""
    return tuple(name for name in app.registry.names("strategy") if runs_alone(app, name))


def runs_alone(app: App, strategy: str) -> bool:
    try:
        return app.registry.strategy(strategy).runs_alone
    except ConfigurationError:
        return False


def fault(app: App, claim: Claim) -> str | None:
    """Why the row cannot be loaded as it is configured, or None."""
    try:
        parse_options(app.registry.strategy(claim.table.load_strategy), claim.table.strategy_options)
    except ConfigurationError as error:
        return str(error)
    return None
