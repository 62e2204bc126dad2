"""A load that lost its claim commits in the one moment that Delta leaves: after the look, below the fence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dataloader_core import failpoints
from dataloader_core.errors import RivalCommitError
from dataloader_core.plan import Append
from dataloader_core.testing.conformance import ConformanceTable, rows
from dataloader_engines.spark.engine import SparkEngine
from dataloader_engines.spark.settings import SparkSettings
from tests.chaos.world import STAMP
from tests.conformance.loaded import LoadedTable
from tests.conformance.loads import STRATEGIES
from tests.conformance.readers import read_by_delta_rs
from tests.support.loads import Deployment

pytestmark = [
    pytest.mark.spark,
    pytest.mark.usefixtures("spark"),
    # PySpark leaves it to the garbage collector to close the sockets of what has ended.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def spark_engine(lake: Path) -> SparkEngine:
    return SparkEngine(SparkSettings(lake=str(lake), spark_parts=2))


@pytest.fixture
def in_the_moment(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[str]]:
    """Has something done once, between the check before a fence and the fence; the list tells that it was."""

    def arrange(done: Callable[[], object]) -> list[str]:
        hit, happened = failpoints.hit, []

        def passing(point: str) -> None:
            if point == "engine.fence_checked" and not happened:
                happened.append(point)
                done()
            hit(point)

        monkeypatch.setattr(failpoints, "hit", passing)
        return happened

    return arrange


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ConformanceTable]:
    table = ConformanceTable(
        spark_engine(tmp_path / "lake"), read_by_delta_rs, f"t_{uuid4().hex}", {"id": "int", "name": "string"}
    )
    table.create()
    yield table
    table.close()


def test_a_fence_above_a_commit_that_no_look_has_seen_says_so(table: ConformanceTable, in_the_moment: Any) -> None:
    given = rows("id name", (1, "a"))
    step, stale, other = table.step(Append()), table.record(), table.open()
    seen = other.look(table.uid)
    prepared = table.prepare(step, given, look=seen, through=other)
    happened = in_the_moment(lambda: other.commit(step, prepared, seen, stale))
    with pytest.raises(RivalCommitError):
        table.fence()
    assert happened
    table.expect(step, given)
    table.check()


@pytest.fixture
def loaded(postgres_server: Any, tmp_path: Path) -> Iterator[LoadedTable]:
    deployment = Deployment(postgres_server, tmp_path, [spark_engine(tmp_path)])
    deployment.source(STAMP)
    table = LoadedTable(deployment, STRATEGIES["append_only"])
    table.load()
    yield table
    deployment.control.close()


def test_rows_of_a_load_that_lost_its_claim_are_found_below_the_fence(loaded: LoadedTable, in_the_moment: Any) -> None:
    loaded.change()
    stale = loaded.begin()
    ready = stale.read()
    assert ready is not None
    stale.context.about_to_write()
    loaded.deployment.control.cancel(loaded.key, message="stuck")
    loaded.change()
    happened = in_the_moment(lambda: stale.commit(ready))
    loaded.load()
    assert happened
    stale.close()
