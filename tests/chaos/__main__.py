"""``python -m tests.chaos --kills 200``: trials until so many processes were killed; status 1 on any difference."""

from __future__ import annotations

import argparse
import random
import time

from tests.chaos.trials import WAYS, Tally, Trial
from tests.chaos.world import SUBJECTS, World, world


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--kills", type=int, default=200, help="processes to kill")
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices of an earlier run")
    parser.add_argument("--only", help="one table, by name")
    parser.add_argument("--engines", default="local", help="each load is carried out by any of these: local,spark")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"chaos: seed {seed}, {given.kills} kills wanted", flush=True)
    tally, began = Tally(), time.monotonic()
    with world(random.Random(seed), given.engines.split(",")) as here:
        problems = _until_enough(here, tally, given.kills, given.only)
    _report(tally, time.monotonic() - began)
    for problem in problems:
        print(f"DIFFERENT {problem}")
    print(f"{tally.trials['in all'] - len(problems)} passed, {len(problems)} failed")
    return 1 if problems else 0


def _until_enough(here: World, tally: Tally, kills: int, only: str | None) -> list[str]:
    """Trials on every table in turn, in every way in turn, each compared after one clean run."""
    problems: list[str] = []
    subjects = [s for s in SUBJECTS if only in (None, s.name)]
    number = 0
    while tally.total < kills and len(problems) < 5:
        subject, way = subjects[number % len(subjects)], WAYS[(number // len(subjects)) % len(WAYS)]
        number += 1
        if here.chance.random() < 0.2:
            here.start_over(subject)
        if here.chance.random() < 0.1:
            here.add_column(subject)
        here.begin_anew(subject)
        here.change_source(subject)
        trial = Trial(here, subject, tally)
        try:
            way(trial)
            problem = _after_clean_run(here, trial)
        except TimeoutError as error:
            problem = str(error)
        tally.trials["in all"] += 1
        tally.trials[way.__name__] += 1
        if number % 20 == 0:
            print(f"  {number} trials, {tally.total} kills", flush=True)
        if problem:
            problems.append(f"after {way.__name__} (trial {number}): {problem}")
    return problems


def _after_clean_run(here: World, trial: Trial) -> str | None:
    """One clean load, and for a backfill the increment that follows it."""
    runs = 2 if trial.subject.row["load_strategy"] == "chunked_backfill" else 1
    for _ in range(runs):
        status = trial.clean_run()
        if status != 0:
            state = here.state(trial.subject)
            return f"{trial.subject.name}: the clean run ended with {status}: {state['last_status_message']}"
    return here.difference(trial.subject)


def _report(tally: Tally, seconds: float) -> None:
    print(f"{tally.total} kills in {tally.trials['in all']} trials, {seconds:.0f} s")
    for where, count in sorted(tally.kills.items()):
        print(f"  killed {count:4d} x {where}")
    for kind, count in sorted(tally.trials.items()):
        if kind != "in all":
            print(f"  tried  {count:4d} x {kind}")


if __name__ == "__main__":
    raise SystemExit(main())
