"""From a configured table to its plan: the strategy's settings, names matched to the catalog, questions, facts.

Everything that a load and ``dataloader plan`` have in common before anything is read. The only I/O is what is
asked of the source's session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from pydantic import ValidationError

from dataloader_core.errors import ConfigurationError, UnknownNameError
from dataloader_core.interfaces.source import SourceSession
from dataloader_core.interfaces.strategy import LoadStrategy, PlanInput, StrategyOptions
from dataloader_core.names import match_name
from dataloader_core.plan import Answer, BoundsQuestion, CapQuestion, Facts, LoadPlan, Question
from dataloader_core.reads import read_all
from dataloader_core.table import LoadState, SourceTable, TableConfig


class Strategies(Protocol):
    """The part of the plugin registry that planning needs."""

    def strategy(self, name: str) -> type[LoadStrategy]: ...


def make_plan(
    registry: Strategies, session: SourceSession, table: TableConfig, state: LoadState
) -> tuple[LoadPlan, SourceTable]:
    """Plan one load of a table; the source's catalog of it comes along for whoever carries the plan out.

    The cap is asked before anything that is read later, so call this before the snapshot is taken.

    Raises:
        ConfigurationError: the table cannot be loaded like this; all reasons at once, each with its cure.
        SourceError: the source is out of reach or refuses.
    """
    strategy = registry.strategy(table.load_strategy)()
    given = prepare(strategy, session, table, state)
    plan = strategy.plan(given, ask(session, strategy, given))
    return replace(plan, notes=(*plan.notes, *common_notes(given))), given.source


def prepare(strategy: LoadStrategy, session: SourceSession, table: TableConfig, state: LoadState) -> PlanInput:
    """All that the strategy may look at, checked."""
    options = parse_options(type(strategy), table.strategy_options)
    source = session.describe(table.relation, table.columns, table.on_unrepresentable)
    given = PlanInput(match_names(table, source), source, state, options)
    refuse_impossible(strategy, given)
    return given


def parse_options(strategy: type[LoadStrategy], options: Mapping[str, Any]) -> StrategyOptions:
    """``strategy_options`` against the strategy's own model.

    Raises:
        ConfigurationError: an unknown option, or a value that it does not take; names all of them.
    """
    model = strategy.options_model
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        faults = "; ".join(_fault(e["loc"], e["msg"]) for e in error.errors(include_input=False, include_url=False))
        known = ", ".join(model.model_fields) or "none"
        raise ConfigurationError(
            f"strategy_options do not fit {strategy.name!r}: {faults}.", cure=f"Its options are: {known}."
        ) from None


def _fault(location: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, location)) or 'options'}: {message}"


def match_names(table: TableConfig, source: SourceTable) -> TableConfig:
    """The configuration with every column spelt as in the source's catalog.

    Raises:
        UnknownNameError: a configured column is not among those chosen; the message says which setting names it.
    """
    names = [c.name for c in source.columns]

    def match(setting: str, name: str) -> str:
        try:
            return match_name(setting, name, names)
        except UnknownNameError as error:
            cure = error.cure or "Correct it" + (", or add it to `columns`." if table.columns is not None else ".")
            raise UnknownNameError(setting, name, names, cure=cure) from None

    def optional(setting: str, name: str | None) -> str | None:
        return match(setting, name) if name else None

    return replace(
        table,
        primary_key_cols=tuple(match("column in primary_key_cols", k) for k in table.primary_key_cols),
        incremental_column=optional("incremental_column", table.incremental_column),
        rolling_column=optional("rolling_column", table.rolling_column),
        partition_column=optional("partition_column", table.partition_column),
    )


def refuse_impossible(strategy: LoadStrategy, given: PlanInput) -> None:
    """Raise one :class:`ConfigurationError` that names everything that makes the table impossible."""
    problems = [*needs(type(strategy), given), *_key_problems(given)]
    if not problems:
        problems += strategy.check(given)
    if problems:
        raise ConfigurationError(f"{given.table.control_key}: {' '.join(problems)}")


def needs(strategy: type[LoadStrategy], given: PlanInput) -> Sequence[str]:
    """What the strategy declares that it needs and the table does not have."""
    problems = []
    if strategy.needs_keys and not given.table.primary_key_cols:
        problems.append(missing_keys(strategy.name, given))
    if strategy.needs_watermark and not given.table.incremental_column:
        problems.append(f"{strategy.name} reads from a watermark: set incremental_column.")
    return problems


def missing_keys(strategy: str, given: PlanInput) -> str:
    """The sentence for a merge without keys, with the source's best key as the cure where it has one."""
    best = f" The source's own key is {', '.join(given.source.keys[0])}." if given.source.keys else ""
    return f"{strategy} merges by key: set primary_key_cols.{best}"


def _key_problems(given: PlanInput) -> Iterable[str]:
    keys = given.table.primary_key_cols
    if len(set(keys)) != len(keys):
        yield f"primary_key_cols names a column twice: {', '.join(keys)}. Name each once."
    for name in keys:
        column = given.source.column(name)
        if column.type.name in ("float", "double"):
            yield f"primary_key_cols: {name!r} is {column.type}, which cannot be compared exactly. Choose another key."


def ask(session: SourceSession, strategy: LoadStrategy, given: PlanInput) -> Facts:
    """The source's answers, asked in the strategy's order: a cap that comes first is older than what follows."""
    facts = Facts(session.clock(), _answers(session, given, strategy.questions(given)))
    more = strategy.follow_up(given, facts)
    return replace(facts, answers={**facts.answers, **_answers(session, given, more)}) if more else facts


def _answers(session: SourceSession, given: PlanInput, questions: Iterable[Question]) -> Mapping[Question, Answer]:
    return {question: _answer(session, given, question) for question in questions}


def _answer(session: SourceSession, given: PlanInput, question: Question) -> Answer:
    if isinstance(question, CapQuestion):
        return session.cap(given.source, given.source.column(question.column))
    if isinstance(question, BoundsQuestion):
        return session.bounds(read_all(given), given.source.column(question.column))
    return session.count(read_all(given, question.where))


def common_notes(given: PlanInput) -> Sequence[str]:
    """What people should know whatever the strategy."""
    table, notes = given.table, []
    nullable = [name for name in table.primary_key_cols if given.source.column(name).nullable]
    if nullable:
        notes.append(
            f"Key columns can be NULL: {', '.join(nullable)}. A row with a NULL key fails the load; "
            "make them NOT NULL at the source or choose another key."
        )
    spelt = [c for c in map(given.source.column, table.primary_key_cols) if not c.one_text]
    if spelt:
        notes.append(
            f"Key columns arrive as text: {', '.join(f'{c.name} ({c.native})' for c in spelt)}. A key whose spelling "
            "changes at the source while its value stays (1.0 and 1.00) is two rows here. Choose another key where "
            "that can happen."
        )
    if table.row_limit is not None:
        notes.append(f"LIMITED: row_limit reads at most {table.row_limit} rows; the rest does not arrive.")
    return notes
