"""Two engines take turns on one table, and both are killed and stopped where it hurts: real processes and databases.

``python -m tests.chaos --engines local,spark`` goes on from here, at random and for as long as one likes.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator

import pytest

from tests.chaos.trials import Tally, Trial, wake
from tests.chaos.world import SUBJECTS, World, world

pytestmark = [pytest.mark.spark, pytest.mark.chaos]
LOST = 1


@pytest.fixture(scope="module")
def here(spark: object) -> Iterator[World]:
    """Asks for the session only because it says where Spark cannot be had; each worker starts its own."""
    with world(random.Random(4), ("local", "spark")) as found:
        yield found


@pytest.fixture
def trial(here: World) -> Trial:
    """On a table that is appended to: a row that comes twice stays there twice."""
    [subject] = [s for s in SUBJECTS if s.name == "t_append_only"]
    return Trial(here, subject, Tally())


def changed(trial: Trial) -> None:
    trial.world.change_source(trial.subject)


def killed(trial: Trial, engine: str, point: str) -> None:
    """A load by this engine dies there, without a word to anybody."""
    changed(trial)
    assert trial.wait(trial.worker(f"{point}=kill", engine)) == -signal.SIGKILL
    trial.world.end_claim(trial.subject)


def clean(trial: Trial, engine: str) -> None:
    """A load by this engine succeeds, and the table is what is promised."""
    changed(trial)
    assert trial.clean_run(engine) == 0, trial.world.state(trial.subject)["last_status_message"]
    assert trial.world.difference(trial.subject) is None


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
    clean(trial, "local")
    killed(trial, "spark", "load.after_commit")
    clean(trial, "local")
    killed(trial, "local", "load.after_commit")
    overtaken(trial, slow="local", quick="spark")
    overtaken(trial, slow="spark", quick="local")
