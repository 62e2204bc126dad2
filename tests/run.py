"""What ``make test`` runs: the checks, the tests, the chaos trials; at its end it says what it skipped and why."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

BIN = Path(sys.executable).parent
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
KILLS = os.environ.get("KILLS", "200" if IN_CI else "60")

CHECKS = (
    ("format", [str(BIN / "ruff"), "format", "--check", "-q", "."]),
    ("lint", [str(BIN / "ruff"), "check", "-q", "."]),
    ("types", [str(BIN / "mypy")]),
    ("layers", [str(BIN / "lint-imports")]),
)


def main() -> int:
    results: list[tuple[str, bool, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        tests = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", f"--junitxml={report}"]
        chaos = [sys.executable, "-m", "tests.chaos", "--kills", KILLS]
        for name, command in (*CHECKS, ("tests", [*tests, *sys.argv[1:]]), ("chaos", chaos)):
            results.append(_run(name, command))
        counts, skipped = _read(report)
    _summary(results, counts, skipped)
    return 0 if all(ok for _, ok, _ in results) and counts["passed"] else 1


def _run(name: str, command: list[str]) -> tuple[str, bool, float]:
    print(f"--- {name}", flush=True)
    began = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    return name, status == 0, time.monotonic() - began


def _read(report: Path) -> tuple[Counter[str], Counter[str]]:
    """Counts of outcomes, and why tests were skipped."""
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    if not report.exists():
        return counts, skipped
    for case in ElementTree.parse(report).iter("testcase"):
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
