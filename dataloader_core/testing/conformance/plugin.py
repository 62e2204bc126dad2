"""A pytest plugin that gathers what conformance cases did: ``pytest -p dataloader_core.testing.conformance.plugin``.

It prints a summary. Works with xdist.

``--conformance-report=PAGE`` writes the report of the run into a page, ``--conformance-results=FILE`` its cases into a
file. ``--conformance-check=PAGE`` runs nothing: it fails where the page does not show the cases that there are with the
skips that are declared, or a saved case names no other one that is run. What ran elsewhere may be given with
``--conformance-ran=FILE``: then the page must show how each case has ended.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from dataloader_core.testing.conformance.base import Conformance
from dataloader_core.testing.conformance.report import FAILED, PASSED, CaseRecord, Report, Skip

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
            self.ended[report.nodeid] = case.ended(PASSED, case.skip or Skip("missing", reason))
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
        if hasattr(session.config, "workerinput"):
            return
        option = session.config.getoption
        if (page := option("--conformance-report")) is not None:
            page.write_text(page_text(page, self.report), encoding="utf-8")
        if (file := option("--conformance-results")) is not None:
            file.write_text("".join(f"{case.to_json()}\n" for case in self.report.cases), encoding="utf-8")
        if (page := option("--conformance-check")) is not None:
            problems = problems_of(page, list(self.collected.values()), option("--conformance-ran"))
            print(*problems, sep="\n", file=sys.stderr)  # noqa: T201  # pytest prints too
            session.exitstatus = pytest.ExitCode.TESTS_FAILED if problems else session.exitstatus

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.ended:
            terminalreporter.section("conformance")
            for line in self.report.summary():
                terminalreporter.write_line(line)


def page_text(page: Path, report: Report) -> str:
    """The page with this report: behind its mark, where there is such a page."""
    head = page.read_text(encoding="utf-8").partition(MARK)[0] if page.exists() else "# Conformance\n\n"
    return f"{head}{MARK}\n\n{report.markdown()}"


def problems_of(page: Path, planned: Sequence[CaseRecord], ran: Sequence[Path]) -> list[str]:
    """What is wrong with the page, and with what the suites declare."""
    problems = [f"{case.engine}: {case.name}: {case.skip.shown_by!r} is no case that is run." for case in planned
                if case.skip is not None and case.skip.shown_by is not None and not _shown(case, planned)]  # fmt: skip
    cases = list(planned)
    if ran:
        lines = (line for file in ran for line in file.read_text(encoding="utf-8").splitlines())
        ended = {case.identity: case for case in map(CaseRecord.from_json, lines)}
        problems += [f"{c.engine}: {c.name}: was not run." for c in planned if c.identity not in ended]
        cases = [_ended(case, ended.get(case.identity, case)) for case in planned]
    if page.read_text(encoding="utf-8") != page_text(page, Report(cases)):
        problems.append(f"{page} is not what the suites produce: write it anew.")
    return problems


def _shown(saved: CaseRecord, planned: Iterable[CaseRecord]) -> bool:
    assert saved.skip is not None
    wanted = str(saved.skip.shown_by)
    return any(c.engine == saved.engine and c.skip is None and fnmatchcase(c.name, wanted) for c in planned)


def _ended(planned: CaseRecord, ended: CaseRecord) -> CaseRecord:
    """What a machine could not run counts as planned: it says nothing about the page."""
    missing = ended.skip is not None and ended.skip.kind == "missing"
    return planned if missing else replace(planned, outcome=ended.outcome, skip=ended.skip)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--conformance-report", type=Path, metavar="PAGE", help="write the conformance report there")
    group.addoption("--conformance-results", type=Path, metavar="FILE", help="write there how each case has ended")
    group.addoption("--conformance-check", type=Path, metavar="PAGE", help="collect only, and compare with the page")
    group.addoption(
        "--conformance-ran", type=Path, metavar="FILE", action="append", default=[],
        help="results of a run, to compare the page with",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--conformance-check") is not None:
        config.option.collectonly = True
    config.pluginmanager.register(Gatherer(), "conformance-gatherer")
