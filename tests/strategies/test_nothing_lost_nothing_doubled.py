from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategy_world import FAR_AHEAD, LATEST, Action, World, pairs

from dataloader_core.interfaces.strategy import LoadStrategy
from dataloader_core.plan import LoadPlan
from dataloader_core.table import TableConfig
from dataloader_core.testing.builders import table_config
from dataloader_core.testing.interpreter import MemoryTarget, commit, finish, load, plan
from dataloader_strategies.append_only import AppendOnly
from dataloader_strategies.check_and_load import CheckAndLoad
from dataloader_strategies.chunked_backfill import ChunkedBackfill
from dataloader_strategies.incremental import Incremental

KEYED: dict[str, Any] = {"primary_key_cols": ("id",), "incremental_column": "stamp"}
STALE = {"id": "9999", "stamp": "1"}
"""What an older load left in the destination; a reload must not keep it."""
actions = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 3)), max_size=8)


def loads(
    strategy: type[LoadStrategy], world: World, target: MemoryTarget, rounds: list[list[Action]], **extra: Any
) -> None:
    """A load after each round of events, and one when everything has settled."""
    table = table_config(strategy.name, **KEYED, **extra)
    for happening in rounds:
        for action in happening:
            world.act(action)
        load(strategy(), table, world.source(), target)
    world.settle()
    load(strategy(), table, world.source(), target)


@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad])
@given(rounds=st.lists(actions, min_size=1, max_size=8))
@settings(max_examples=150)
def test_merges_end_equal_to_the_source(strategy, rounds):
    world, target = World(updates=True, committed={1000: FAR_AHEAD}), MemoryTarget()
    loads(strategy, world, target, rounds)
    assert pairs(target) == sorted(world.committed.items())
    assert target.watermark is None or int(target.watermark) < FAR_AHEAD


@given(rounds=st.lists(actions, min_size=1, max_size=8))
@settings(max_examples=200)
def test_appends_end_with_every_row_below_the_cap_once(rounds):
    world, target = World(updates=False, committed={1000: FAR_AHEAD, 1001: None}), MemoryTarget()
    loads(AppendOnly, world, target, rounds)
    assert pairs(target) == sorted((i, s) for i, s in world.committed.items() if s is not None and s < world.clock)


@pytest.mark.parametrize("how", [{"watermark_delay": str(LATEST)}, {"incremental_lookback": str(LATEST)}])
@pytest.mark.parametrize("strategy", [Incremental, CheckAndLoad])
@given(rounds=st.lists(actions, min_size=1, max_size=8))
@settings(max_examples=150)
def test_where_nothing_is_proven_a_delay_or_a_lookback_finds_the_late_rows(strategy, how, rounds):
    world, target = World(updates=True, proven=False, committed={1000: FAR_AHEAD}), MemoryTarget()
    loads(strategy, world, target, rounds, **how)
    assert pairs(target) == sorted(world.committed.items())


@given(rounds=st.lists(actions, min_size=1, max_size=8))
@settings(max_examples=150)
def test_where_nothing_is_proven_a_delay_keeps_appends_complete(rounds):
    world, target = World(updates=False, proven=False, committed={1000: FAR_AHEAD}), MemoryTarget()
    loads(AppendOnly, world, target, rounds, watermark_delay=str(LATEST))
    limit = world.clock - LATEST
    assert pairs(target) == sorted((i, s) for i, s in world.committed.items() if s is not None and s < limit)


class Crash(Exception):
    pass


def backfill(table: TableConfig, world: World, target: MemoryTarget, happenings: list[list[Action]]) -> LoadPlan:
    """One load of a backfill: before each step something happens at the source; it dies when that runs out."""
    target.load_seq += 1
    planned = plan(ChunkedBackfill(), table, world.source(), target)
    for step in planned.steps:
        if not happenings:
            raise Crash
        for action in happenings.pop():
            world.act(action)
        commit(step, world.source(), target)
        target.load_full = target.load_full and not planned.load_full
    finish(planned, target)
    return planned


@pytest.mark.parametrize("publish", ["as_loaded", "at_end"])
@pytest.mark.parametrize("then", [Incremental, CheckAndLoad, AppendOnly])
@given(
    before=st.lists(actions, min_size=1, max_size=5),
    crashes=st.lists(st.lists(actions, max_size=3), max_size=4),
    after=st.lists(actions, max_size=4),
    chunks=st.integers(1, 6),
)
@settings(max_examples=60)
def test_a_backfill_that_is_interrupted_anywhere_and_its_increments_end_equal_to_the_source(
    then, publish, before, crashes, after, chunks
):
    world, target = World(updates=not then.appends), MemoryTarget([STALE], watermark="8", load_full=True)
    options: dict[str, Any] = {"then": then.name, "chunks": chunks, "publish": publish}
    table = table_config("chunked_backfill", strategy_options=options, allow_empty=True, **KEYED)
    for happening in before:
        for action in happening:
            world.act(action)
    for happenings in crashes:
        if target.strategy is None:
            try:
                backfill(table, world, target, list(happenings))
            except Crash:
                assert target.watermark is None or target.backfill is None
    if target.strategy is None:
        backfill(table, world, target, [[]] * 20)
    assert target.strategy == then.name
    assert target.backfill is None
    loads(then, world, target, after)
    assert pairs(target) == sorted(world.committed.items())


@given(
    before=st.lists(actions, min_size=1, max_size=5),
    happenings=st.lists(actions, min_size=20, max_size=20),
    early=st.sampled_from([{}, {1000: FAR_AHEAD}]),
)
@settings(max_examples=100)
def test_chunks_of_the_watermark_column_itself_stay_below_the_cap(before, happenings, early):
    world, target = World(updates=True, committed=dict(early)), MemoryTarget()
    table = table_config("chunked_backfill", strategy_options={"chunks": 4}, partition_column="stamp", **KEYED)
    for happening in before:
        for action in happening:
            world.act(action)
    backfill(table, world, target, list(happenings))
    ids = [row_id for row_id, _ in pairs(target)]
    assert len(ids) == len(set(ids))
    loads(Incremental, world, target, [])
    assert pairs(target) == sorted(world.committed.items())
