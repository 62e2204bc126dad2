"""Ways to die. Each trial does its worst to one table; the caller then runs one clean load and compares."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import dataloader_engines
from dataloader_core import failpoints
from tests.chaos.worker import work
from tests.chaos.world import Subject, World

_HIT = re.compile(r'\bhit\("([a-z_]+\.[a-z_]+)"\)')


def named_points() -> tuple[str, ...]:
    """Every fail point that the product names, so that a new one is tried without being listed anywhere."""
    roots = (Path(failpoints.__file__).parent, Path(next(iter(dataloader_engines.__path__))))
    found = {name for root in roots for path in root.rglob("*.py") for name in _HIT.findall(path.read_text())}
    return tuple(sorted(found))


POINTS = named_points()
LIMIT_SECONDS = 240.0
"""Of one load, the start of a Java process included."""

os.environ["CHAOS_PRELOAD"] = "1"
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.chaos.worker"])


@dataclass
class Tally:
    """What happened: kills by step, trials by kind."""

    kills: Counter[str] = field(default_factory=Counter)
    trials: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(self.kills.values())


class Trial:
    """Starts workers on one table and ends them, and counts what it killed where."""

    def __init__(self, world: World, subject: Subject, tally: Tally) -> None:
        self.world = world
        self.subject = subject
        self.tally = tally
        self.chance = world.chance

    def worker(self, points: str = "", engine: str | None = None) -> BaseProcess:
        """A load by this engine, or by any of the world's."""
        environ = {**self.world.environ, "DATALOADER_ENGINE": engine or self.chance.choice(self.world.engines)}
        process = _context.Process(
            target=work, args=(environ, self.subject.key, points, str(self.world.points_log)), daemon=True
        )
        process.start()
        return process

    def clean_run(self, engine: str | None = None) -> int:
        """One load with nothing armed; its exit status."""
        return self.wait(self.worker(engine=engine))

    def wait(self, process: BaseProcess) -> int:
        process.join(LIMIT_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"a load of {self.subject.name} did not end within {LIMIT_SECONDS:.0f} s")
        return process.exitcode

    def count_if_killed(self, process: BaseProcess, where: str) -> bool:
        killed = self.wait(process) == -signal.SIGKILL
        if killed:
            self.tally.kills[where] += 1
        return killed

    # the ways

    def kill_at_a_point(self) -> None:
        """First around a commit, which leaves something to recover; then where few were killed so far."""
        weights = [1 / (1 + self.tally.kills[point]) ** 2 for point in POINTS]
        later = self.chance.choices(POINTS, weights, k=self.chance.randint(2, 3))
        for point in (self.chance.choice(("load.before_commit", "load.after_commit")), *later):
            at = self.chance.choice((1, 1, 1, 2))
            self.count_if_killed(self.worker(f"{point}=kill:{at}"), point)

    def kill_at_a_random_time(self) -> None:
        for _ in range(self.chance.randint(2, 5)):
            process = self.worker()
            time.sleep(self.chance.uniform(0.02, 0.5))
            process.kill()
            self.count_if_killed(process, "at a random time")

    def rivals_that_die(self) -> None:
        workers = [self.worker(f"{self.chance.choice(POINTS)}=kill") for _ in range(3)]
        for process in workers:
            self.count_if_killed(process, "among rivals")

    def stopped_while_another_loads(self) -> None:
        """A load is stopped, its table claimed again; it wakes before the new plan, before the new commit, or after."""
        sleeper = self.stopped_at(self.chance.choice(("load.after_plan", "load.after_read", "load.before_commit")))
        if sleeper is None:
            return
        self.world.end_claim(self.subject)
        moment = self.chance.choice(("before its plan", "between plan and commit", "after its commit"))
        self.tally.trials[f"a stopped rival wakes {moment}"] += 1
        if moment == "before its plan":
            other = self.worker("load.after_fence=stop")
        elif moment == "between plan and commit":
            other = self.worker("load.before_commit=stop")
        else:
            other = self.worker()
            self.wait(other)
        if moment != "after its commit":
            _until_stopped(other)
        wake(sleeper)
        self.wait(sleeper)
        if moment != "after its commit":
            wake(other)
            self.wait(other)

    def killed_while_stopped(self) -> None:
        sleeper = self.stopped_at(self.chance.choice(POINTS))
        if sleeper is None:
            return
        self.world.end_claim(self.subject)
        self.count_if_killed(self.worker(f"{self.chance.choice(POINTS)}=kill"), "beside a stopped rival")
        wake(sleeper)
        self.wait(sleeper)

    def compacted_in_between(self) -> None:
        sleeper = self.stopped_at("load.before_commit")
        if sleeper is None:
            return
        self.world.delta(self.subject).optimize.compact()
        wake(sleeper)
        self.wait(sleeper)

    def connections_cut(self) -> None:
        dsn = self.chance.choice((self.world.source_dsn, self.world.control_dsn))
        process = self.worker()
        stop = threading.Event()

        def cut() -> None:
            while not stop.wait(self.chance.uniform(0.05, 0.3)):
                self.world.cut_connections(dsn)

        cutter = threading.Thread(target=cut)
        cutter.start()
        time.sleep(0.8)
        stop.set()
        cutter.join()
        self.wait(process)

    def control_database_restored(self) -> None:
        with self.world.restored_control_row(self.subject):
            self.count_if_killed(self.worker(f"{self.chance.choice(POINTS)}=kill"), "before a restore")
            self.clean_run()

    def stopped_at(self, point: str, engine: str | None = None) -> BaseProcess | None:
        """A worker that has stopped itself there; None where it ended without passing the point."""
        process = self.worker(f"{point}=stop", engine)
        if _until_stopped(process):
            return process
        self.wait(process)
        return None


WAYS: tuple[Callable[[Trial], None], ...] = (
    Trial.kill_at_a_point,
    Trial.kill_at_a_point,
    Trial.kill_at_a_point,
    Trial.kill_at_a_random_time,
    Trial.kill_at_a_random_time,
    Trial.rivals_that_die,
    Trial.stopped_while_another_loads,
    Trial.killed_while_stopped,
    Trial.compacted_in_between,
    Trial.connections_cut,
    Trial.control_database_restored,
)


def wake(process: BaseProcess) -> None:
    """Let a worker go on that has stopped itself."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGCONT)


def _until_stopped(process: BaseProcess) -> bool:
    """Wait until the process has stopped itself (True) or ended (False)."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        if process.exitcode is not None:
            return False
        try:
            with open(f"/proc/{process.pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "T":
                    return True
        except OSError:
            pass
        time.sleep(0.02)
    raise TimeoutError("a worker neither stopped nor ended")
