"""Whether entries can work, before anything is written: names, strategies and their options, crons, zones.

What is checked is the row as it would be afterwards, so an entry may give only what changes. The control
database has the last word; what is found here is found for all entries at once and with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, Protocol

from dataloader_core.errors import DataLoaderError, UnknownNameError
from dataloader_core.interfaces.source import SourceDialect
from dataloader_core.interfaces.strategy import LoadStrategy
from dataloader_core.table import SourceConfig
from dataloader_core.tables_file.problems import Problem
from dataloader_core.tables_file.reading import Entry

_DESTINATION: Final = re.compile(r"[A-Za-z0-9_]{1,255}")
_DESTINATION_PARTS: Final = ("destination_table_catalog", "destination_table_schema", "destination_table_name")
_REQUIRED: Final = ("db_config_key", "load_strategy", *_DESTINATION_PARTS)


class Plugins(Protocol):
    """The part of the registry that is needed here."""

    def strategy(self, name: str) -> type[LoadStrategy]: ...

    def source(self, name: str) -> type[SourceDialect]: ...


@dataclass(frozen=True)
class Known:
    """What entries are checked against. ``rows``: every row of ``table_control`` by its key."""

    plugins: Plugins
    sources: Mapping[str, SourceConfig]
    rows: Mapping[str, Mapping[str, Any]]


Found = Iterator[tuple[str, str]]
"""Fields with what is wrong with them."""


def check(entries: Sequence[Entry], known: Known) -> list[Problem]:
    """Everything wrong with the rows that these entries would make."""
    problems = []
    for entry in entries:
        row = merged(entry, known)
        problems += [entry.problem(text, field) for field, text in _row_problems(row, known)]
    return problems + list(_shared_destinations(entries, known))


def merged(entry: Entry, known: Known) -> dict[str, Any]:
    """The row as it would be afterwards. A new row gets what follows from its source's row."""
    if (row := known.rows.get(entry.control_key)) is not None:
        return {**row, **entry.given}
    return {**_defaults(entry.given, known.sources), **entry.given}


def _defaults(given: Mapping[str, Any], sources: Mapping[str, SourceConfig]) -> dict[str, Any]:
    source = sources.get(given.get("db_config_key", ""))
    if source is None or source.default_target_schema is None:
        return {}
    return {"destination_table_schema": source.default_target_schema}


def _row_problems(row: Mapping[str, Any], known: Known) -> Found:
    yield from ((field, "is missing") for field in _REQUIRED if not row.get(field))
    yield from _source(row, known)
    yield from _destination(row)
    yield from _schedule(row)
    yield from _distances(row)
    if row.get("load_strategy"):
        yield from _strategy(row, known.plugins)
    yield from _sql(row, known)


def _source(row: Mapping[str, Any], known: Known) -> Found:
    key = row.get("db_config_key")
    if key and key not in known.sources:
        yield (
            "db_config_key",
            str(UnknownNameError("source", key, known.sources, cure="Add it: dataloader source add.")),
        )
    if bool(row.get("query")) == bool(row.get("source_table_name")):
        yield "source_table_name", "give either source_table_name or query, not both and not neither"
    if row.get("num_partitions") and not row.get("partition_column"):
        yield "num_partitions", "needs a partition_column"


def _sql(row: Mapping[str, Any], known: Known) -> Found:
    """Somebody's own SQL is parsed before it is stored; what it names is the source's matter."""
    source = known.sources.get(row.get("db_config_key", ""))
    if source is None or not (row.get("query") or row.get("filter")):
        return
    dialect = known.plugins.source(source.db_type)()
    for field, check_sql in (("query", dialect.check_query), ("filter", dialect.check_filter)):
        if row.get(field):
            try:
                check_sql(str(row[field]))
            except DataLoaderError as error:
                yield field, str(error)


def _destination(row: Mapping[str, Any]) -> Found:
    for part in _DESTINATION_PARTS:
        if (name := row.get(part)) and not _DESTINATION.fullmatch(name):
            yield part, f"{name!r} is no safe name; allowed are letters, digits and _, up to 255 (A-Z a-z 0-9 _)"


def _schedule(row: Mapping[str, Any]) -> Found:
    if cron := row.get("load_cron"):
        from croniter import croniter

        if len(cron.split()) != 5 or not croniter.is_valid(cron):
            yield "load_cron", f"{cron!r} is no cron of five fields, for instance '*/15 * * * *'"
    if (zone := row.get("time_zone")) and zone not in _zones():
        near = get_close_matches(zone, _zones(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ", for instance 'Europe/Berlin'"
        yield "time_zone", f"{zone!r} is no time zone of the IANA database{hint}"


@cache
def _zones() -> frozenset[str]:
    """Read once: the names lie in hundreds of files."""
    from zoneinfo import available_timezones

    return frozenset(available_timezones())


def _distances(row: Mapping[str, Any]) -> Found:
    from dataloader_core.values import Distance

    for field in ("incremental_lookback", "watermark_delay"):
        if row.get(field):
            try:
                Distance.parse(str(row[field]))
            except DataLoaderError as error:
                yield field, str(error)


def _strategy(row: Mapping[str, Any], strategies: Plugins) -> Found:
    try:
        chosen = strategies.strategy(row["load_strategy"])
    except DataLoaderError as error:
        yield "load_strategy", str(error)
        return
    yield from _needs(row, chosen, chosen.name)
    options = yield from _options(row, chosen)
    then = getattr(options, "then", None)
    if isinstance(then, str):
        try:
            yield from _needs(row, strategies.strategy(then), f"{chosen.name} with then = {then}")
        except DataLoaderError as error:
            yield "strategy_options", f"then: {error}"


def _needs(row: Mapping[str, Any], strategy: type[LoadStrategy], name: str) -> Found:
    if strategy.needs_keys and not row.get("primary_key_cols"):
        yield "primary_key_cols", f"{name} merges: it needs the columns that identify a row"
    if strategy.needs_watermark and not row.get("incremental_column"):
        yield "incremental_column", f"{name} reads from a watermark: it needs the column to read by"
    for field in ("rolling_column", "rolling_days"):
        if strategy.name == "rolling" and row.get(field) in (None, ""):
            yield field, f"{name} needs it: the window is rolling_days of rolling_column"


def _options(row: Mapping[str, Any], strategy: type[LoadStrategy]) -> Any:
    from pydantic import ValidationError

    options = row.get("strategy_options") or {}
    try:
        return strategy.options_model.model_validate(options)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
    for fault in found:
        yield "strategy_options", _option_fault(fault, strategy)
    return None


def _option_fault(fault: Mapping[str, Any], strategy: type[LoadStrategy]) -> str:
    name = ".".join(map(str, fault["loc"]))
    if fault["type"] != "extra_forbidden":
        return f"{name}: {fault['msg']}" if name else str(fault["msg"])
    known = list(strategy.options_model.model_fields)
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{strategy.name} has no option {name!r}; known: {', '.join(known) or 'none'}.{hint}"


def _shared_destinations(entries: Sequence[Entry], known: Known) -> Iterator[Problem]:
    """Two rows may not write one table. Names are compared without case, as the catalog compares them."""
    after = {key: _destination_name(row) for key, row in known.rows.items()}
    after |= {entry.control_key: _destination_name(merged(entry, known)) for entry in entries}
    owners: dict[str, list[str]] = {}
    for key, destination in after.items():
        if destination:
            owners.setdefault(destination, []).append(key)
    for entry in entries:
        destination = after[entry.control_key]
        others = [key for key in owners.get(destination or "", ()) if key != entry.control_key]
        if others:
            yield entry.problem(f"{destination} is already the destination of {', '.join(others)}")


def _destination_name(row: Mapping[str, Any]) -> str | None:
    parts = [row.get(part) for part in _DESTINATION_PARTS]
    return ".".join(map(str, parts)).casefold() if all(parts) else None
