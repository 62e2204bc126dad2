"""Two engines take turns on one table, and both are killed and stopped where it hurts: real processes and databases.

``python -m tests.chaos --engines local,spark`` goes on from here, at random and for as long as one likes.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

from dataloader_core.plan import Backfill
from tests.chaos.trials import Tally, Trial, wake
from tests.chaos.world import SUBJECTS, World, world
from tests.support.spark import connect_url

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.chaos]
LOST = 1
COMMITTED: Final = "load.after_commit"
DEATHS: Final = {
    "t_full": ("engine.after_create", "load.before_commit"),
    "t_incremental": ("engine.after_commit", "engine.after_schema"),
    "t_rolling": (COMMITTED, COMMITTED),
    "t_check": (COMMITTED, COMMITTED),
}
"""Where Spark dies and where the local engine does: a table made without a fence, rows that wait, columns added without
their rows, a merge and a window committed without a word to the control database."""


@pytest.fixture(scope="module")
def here(spark: object) -> Iterator[World]:
    """Asks for the session only because it says where Spark cannot be had; each worker starts its own."""
    with world(random.Random(4), ("local", "spark")) as found:
        yield found


@pytest.fixture
def trial(here: World) -> Trial:
    """On a table that is appended to: a row that comes twice stays there twice."""
    return trial_of(here, "t_append_only")


@pytest.fixture
def connected(here: World, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> World:
    """Workers are clients of the run's own Spark, by Spark Connect: a Java process for each would take a minute."""
    monkeypatch.setitem(here.environ, "DATALOADER_SPARK_REMOTE", connect_url(spark))
    return here


def trial_of(here: World, name: str) -> Trial:
    [subject] = [s for s in SUBJECTS if s.name == name]
    return Trial(here, subject, Tally())


def changed(trial: Trial) -> None:
    trial.world.change_source(trial.subject)


def killed(trial: Trial, engine: str, point: str) -> None:
    """A load by this engine dies at this point, at its ``:n``-th hit, without a word to anybody."""
    changed(trial)
    name, _, hit = point.partition(":")
    assert trial.wait(trial.worker(f"{name}=kill:{hit or 1}", engine)) == -signal.SIGKILL
    trial.world.end_claim(trial.subject)


def clean(trial: Trial, engine: str) -> None:
    """A load by this engine succeeds, and the table is what is promised."""
    changed(trial)
    assert trial.clean_run(engine) == 0, trial.world.state(trial.subject)["last_status_message"]
    assert trial.world.difference(trial.subject) is None


def gone_on(trial: Trial, engine: str) -> None:
    """A backfill that died after two chunks: this engine loads the others, no chunk twice, and then what changed."""
    backfill = Backfill.from_json(trial.world.state(trial.subject)["backfill_cursor"])
    before = commits(trial.world)
    assert trial.clean_run(engine) == 0, trial.world.state(trial.subject)["last_status_message"]
    published = backfill.publish == "at_end"
    assert commits(trial.world) - before == backfill.chunks - 2 + published
    clean(trial, "local")


def commits(here: World) -> int:
    """Commits of rows by all workers so far."""
    return here.points_log.read_text().splitlines().count(COMMITTED)


def overtaken(trial: Trial, slow: str, quick: str) -> None:
    """A load has read and stops; a monitor gives it up, the other engine loads; then it wants to commit."""
    changed(trial)
    sleeper = trial.stopped_at("load.before_commit", slow)
    assert sleeper is not None
    trial.world.end_claim(trial.subject)
    clean(trial, quick)
    before = trial.world.delta(trial.subject).version()
    wake(sleeper)
    assert trial.wait(sleeper) == LOST
    assert trial.world.delta(trial.subject).version() == before
    assert trial.world.difference(trial.subject) is None


@pytest.mark.timeout(1200)
def test_what_one_engine_leaves_behind_the_other_goes_on_from(trial: Trial) -> None:
    """Each worker by Spark starts a Java process of its own, as a deployment does."""
    clean(trial, "local")
    killed(trial, "spark", "load.after_commit")
    clean(trial, "local")
    killed(trial, "local", "load.after_commit")
    overtaken(trial, slow="spark", quick="local")


def test_a_load_that_spark_has_overtaken_changes_nothing(connected: World) -> None:
    trial = trial_of(connected, "t_append_only")
    clean(trial, "local")
    overtaken(trial, slow="local", quick="spark")


@pytest.mark.parametrize("name", DEATHS)
def test_whichever_engine_dies_the_other_goes_on_by_every_strategy(connected: World, name: str) -> None:
    trial, (of_spark, of_local) = trial_of(connected, name), DEATHS[name]
    if of_spark != "engine.after_create":
        clean(trial, "local")
    killed(trial, "spark", of_spark)
    clean(trial, "local")
    if of_local == "engine.after_schema":
        connected.add_column(trial.subject)
    killed(trial, "local", of_local)
    clean(trial, "spark")


@pytest.mark.parametrize(
    ("name", "dies", "goes_on"),
    [("t_backfill", "spark", "local"), ("t_backfill", "local", "spark"), ("t_published", "local", "spark")],
)
def test_a_backfill_that_one_engine_began_the_other_ends(connected: World, name: str, dies: str, goes_on: str) -> None:
    """In the table itself, or beside it in a staging table that the other engine publishes."""
    trial = trial_of(connected, name)
    connected.begin_anew(trial.subject)
    killed(trial, dies, f"{COMMITTED}:2")
    gone_on(trial, goes_on)
