"""``python -m dataloader_core.testing.conformance TESTS --write PAGE``: run the suites and write their report.

``--check PAGE`` runs nothing: status 1 where the page does not show the cases that the suites have now, with the skips
that are declared. With ``--ran FILE``, which runs with ``--conformance-results=FILE`` wrote: and how each has ended.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

PLUGIN = "dataloader_core.testing.conformance.plugin"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dataloader_core.testing.conformance")
    parser.add_argument("tests", nargs="+", help="files or folders with classes that subclass a suite")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", metavar="PAGE", help="run the suites and write their report there")
    what.add_argument("--check", metavar="PAGE", help="compare the page with the cases there are")
    parser.add_argument(
        "--ran", metavar="FILE", action="append", default=[], help="and with how they ended in this run"
    )
    given = parser.parse_args()
    how = [f"--conformance-report={given.write}"] if given.write else [f"--conformance-check={given.check}"]
    how += [f"--conformance-ran={file}" for file in given.ran]
    # A process of its own: pytest shows a failed comparison only of modules that it imports itself.
    return subprocess.call([sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, *how, *given.tests])


if __name__ == "__main__":
    raise SystemExit(main())
