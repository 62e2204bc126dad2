"""What ``make test`` runs: the checks, the tests, the chaos trials, Spark beside all of them; then what was skipped."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BIN = Path(sys.executable).parent
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
NO_TESTS = 5
"""Pytest's exit status where nothing was collected."""
KILLS = os.environ.get("KILLS", "200" if IN_CI else "60")

CHECKS = (
    ("format", [str(BIN / "ruff"), "format", "--check", "-q", "."]),
    ("lint", [str(BIN / "ruff"), "check", "-q", "."]),
    ("types", [str(BIN / "mypy")]),
    ("layers", [str(BIN / "lint-imports")]),
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        reports = [Path(folder) / "tests.xml", Path(folder) / "spark.xml"]
        pytest = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "dataloader_core.testing.conformance.plugin",
            "--durations=15",
            "--durations-min=10",
            *sys.argv[1:],
        ]
        # Three, whatever the cores: they often wait for clocks and for processes of their own. In the order of
        # tests/conftest.py: xdist itself would leave files with few tests, however long, to the end.
        spread = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
        tests = [*pytest, "-m", "not spark", *spread, f"--junitxml={reports[0]}"]
        # One Spark session for all that need one, so one process.
        spark = [*pytest, "-m", "spark", "-p", "no:xdist", f"--junitxml={reports[1]}"]
        chaos = [sys.executable, "-m", "tests.chaos", "--kills", KILLS]
        # Spark takes longest and by itself little more than one core; what the others wait for, it uses.
        with ThreadPoolExecutor(1) as beside:
            output = Path(folder) / "spark.txt"
            ended = beside.submit(_run_aside, "spark", spark, output)
            results = [_run(name, command) for name, command in (*CHECKS, ("tests", tests), ("chaos", chaos))]
            results.append(ended.result())
        print("--- spark", output.read_text(), sep="\n", flush=True)
        counts, skipped = _read(reports)
    _summary(results, counts, skipped)
    return 0 if all(ok for _, ok, _ in results) and counts["passed"] else 1


def _run(name: str, command: list[str]) -> tuple[str, bool, float]:
    print(f"--- {name}", flush=True)
    began = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    return name, status == 0, time.monotonic() - began


def _run_aside(name: str, command: list[str], output: Path) -> tuple[str, bool, float]:
    """Beside another one; what it prints is kept, so that the two do not mix."""
    began = time.monotonic()
    with output.open("w") as file:
        status = subprocess.run(command, check=False, stdout=file, stderr=subprocess.STDOUT).returncode
    # Named files may hold no such test.
    return name, status == 0 or (status == NO_TESTS and bool(sys.argv[1:])), time.monotonic() - began


def _read(reports: list[Path]) -> tuple[Counter[str], Counter[str]]:
    """Counts of outcomes, and why tests were skipped."""
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for case in (case for r in reports if r.exists() for case in ElementTree.parse(r).iter("testcase")):
        skip = case.find("skipped")
        if skip is not None:
            counts["skipped"] += 1
            skipped[skip.get("message") or "no reason given"] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        else:
            counts["passed"] += 1
    return counts, skipped


def _summary(results: list[tuple[str, bool, float]], counts: Counter[str], skipped: Counter[str]) -> None:
    print("--- summary")
    for name, ok, seconds in results:
        print(f"{name:8s} {'passed' if ok else 'FAILED'}  {seconds:6.1f} s")
    if not IN_CI:
        print(f"chaos killed {KILLS} processes here; CI kills 200, `make chaos KILLS=1000` as many as you like")
    for reason, count in skipped.items():
        print(f"skipped {count} x {reason}")
    if not skipped:
        print("nothing was skipped")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")


if __name__ == "__main__":
    raise SystemExit(main())
