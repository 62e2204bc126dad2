"""A pytest plugin that gathers what conformance cases did: ``pytest -p dataloader_core.testing.conformance.plugin``.

It prints a summary, and with ``--conformance-report=PAGE`` it writes the report. ``--conformance-check=PAGE`` runs
nothing and fails where the page is not what a run without failures would write. Works with xdist.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from dataloader_core.testing.conformance.base import Conformance
from dataloader_core.testing.conformance.report import FAILED, PASSED, CaseRecord, Report

MARK: Final = "<!-- report -->"
"""In a page that exists, the report replaces what stands behind this line."""


class Gatherer:
    """Cases in the order of their collection, and how those that ran have ended."""

    def __init__(self) -> None:
        self.collected: dict[str, CaseRecord] = {}
        self.ended: dict[str, CaseRecord] = {}

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            cls = getattr(item, "cls", None)
            if cls is not None and issubclass(cls, Conformance):
                self.collected[item.nodeid] = cls.case_of(item)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        text = dict(report.user_properties).get(CaseRecord.PROPERTY)
        if text is None:
            return
        case = CaseRecord.from_json(str(text))
        if report.skipped:
            reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "skipped"
            self.ended[report.nodeid] = case.ended(PASSED, reason)
        elif report.failed:
            self.ended[report.nodeid] = case.ended(FAILED)
        elif report.when == "call":
            self.ended[report.nodeid] = case

    @property
    def report(self) -> Report:
        """Of what ran. Under xdist, which collects elsewhere, in the order of the ends."""
        order = [node for node in self.collected if node in self.ended] or list(self.ended)
        return Report([self.ended[node] for node in order])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        written, checked = (session.config.getoption(f"--conformance-{what}") for what in ("report", "check"))
        if written is not None and not hasattr(session.config, "workerinput"):
            written.write_text(page_text(written, self.report), encoding="utf-8")
        planned = Report(list(self.collected.values()))
        if checked is not None and checked.read_text(encoding="utf-8") != page_text(checked, planned):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            print(f"{checked} is not what the suites produce: write it anew.", file=sys.stderr)  # noqa: T201  # pytest prints too

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.ended:
            terminalreporter.section("conformance")
            for line in self.report.summary():
                terminalreporter.write_line(line)


def page_text(page: Path, report: Report) -> str:
    """The page with this report: behind its mark, where there is such a page."""
    head = page.read_text(encoding="utf-8").partition(MARK)[0] if page.exists() else "# Conformance\n\n"
    return f"{head}{MARK}\n\n{report.markdown()}"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--conformance-report", type=Path, metavar="PAGE", help="write the conformance report there")
    group.addoption("--conformance-check", type=Path, metavar="PAGE", help="collect only, and compare with the page")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--conformance-check") is not None:
        config.option.collectonly = True
    config.pluginmanager.register(Gatherer(), "conformance-gatherer")
