"""What the next load of a table would do, with nothing changed: not the table, not the control row, not the source."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.records import Claim
from dataloader_core.explain import Explanation, explain
from dataloader_core.interfaces.engine import Engine
from dataloader_core.loading.context import LoadContext
from dataloader_core.loading.fencing import look_only
from dataloader_core.loading.recovery import Finding
from dataloader_core.loading.source_access import SourceAccess
from dataloader_core.loading.table_load import load_state, with_row_limit
from dataloader_core.loading.ways import choose_way
from dataloader_core.plan import Backfill
from dataloader_core.planning import make_plan
from dataloader_core.plugins.manager import Registry
from dataloader_core.settings import Settings


def preview(
    control: ControlDatabase, registry: Registry, settings: Settings, engine: Engine, control_key: str
) -> Explanation:
    """Plan as a load would that was claimed now.

    Raises:
        UnknownNameError: no such table.
        DataLoaderError: whatever would make the load fail before its first row.
    """
    claim = control.peek(control_key)
    memory = control.source_memory(claim.source.db_config_key, read_only=True)
    access = SourceAccess(claim.source, registry, settings, memory)
    with ExitStack() as scope:
        session = scope.enter_context(access.session(f"dataloader plan {control_key}"))
        load = LoadContext(claim, control, registry, engine, lambda: None, lambda _: None, scope)
        target = load.destination(claim.table.destination_table_name)
        look, finding = look_only(load, target)
        load.refuse_problems(look)
        claim = as_recovered(claim, finding)
        table = with_row_limit(claim.table, settings.row_limit)
        state = load_state(claim, look)
        plan, source = make_plan(registry, session, table, state)
        if finding.note:
            plan = replace(plan, notes=(f"Recovery: {finding.note}.", *plan.notes))
        snapshot = scope.enter_context(session.snapshot())
        return explain(
            plan,
            table,
            source,
            state,
            access.dialect,
            ways=snapshot.ways,
            choose=lambda offered: choose_way(engine, offered, table.way_of_reading),
            engine=engine.name,
            location=target.location,
        )


def as_recovered(claim: Claim, finding: Finding) -> Claim:
    """The claim as it would be once recovery had written down what it found."""
    found = finding.found
    if found is None or not finding.apply:
        return claim
    table = claim.table
    if found.becomes:
        ending = table.strategy_options if found.backfill is None else found.backfill
        table = replace(table, load_strategy=found.becomes, strategy_options=ending.get("then_options", {}))
    backfill = Backfill.from_json(found.backfill) if found.backfill and not found.becomes else None
    return replace(
        claim,
        table=table,
        watermark=found.watermark,
        backfill=backfill,
        load_full=claim.load_full and not found.load_full,
    )
