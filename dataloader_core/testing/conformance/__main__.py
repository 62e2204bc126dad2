"""``python -m dataloader_core.testing.conformance TESTS --write PAGE``: run the suites and write their report.

``--check PAGE`` runs nothing: it says whether the page shows the cases that the suites have now, and the skips that
are declared.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from dataloader_core.testing.conformance.plugin import Gatherer, page_text

PLUGIN = "dataloader_core.testing.conformance.plugin"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dataloader_core.testing.conformance")
    parser.add_argument("tests", nargs="+", help="files or folders with classes that subclass a suite")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="PAGE", help="run the suites and write their report there")
    what.add_argument("--check", type=Path, metavar="PAGE", help="compare the page with the cases there are")
    given = parser.parse_args()
    if given.write:
        return int(pytest.main(["-q", "-p", PLUGIN, f"--conformance-report={given.write}", *given.tests]))
    return check(given.check, given.tests)


def check(page: Path, tests: list[str]) -> int:
    """Status 1 where the page differs from what a run without failures would write."""
    gatherer = Gatherer()
    status = pytest.main(["-q", "--collect-only", "--no-summary", "-p", "no:terminal", *tests], plugins=[gatherer])
    if status != pytest.ExitCode.OK:
        print(f"the tests could not be collected ({status!s})", file=sys.stderr)  # noqa: T201
        return 1
    if page.read_text(encoding="utf-8") != page_text(page, gatherer.report):
        cure = f"run python -m dataloader_core.testing.conformance {' '.join(tests)} --write {page}"
        print(f"{page} is not what the suites produce: {cure}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
