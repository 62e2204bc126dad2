"""The report: what is declared is skipped with its reason, and the committed page is what the suites produce."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from dataloader_core.testing.conformance.plugin import page_text, problems_of
from dataloader_core.testing.conformance.report import FAILED, PASSED, CaseRecord, Report, Skip
from tests.docs.pages import DOCS, REPOSITORY

DECLARING = """
from dataloader_core.testing.conformance import WriteConformance
from dataloader_engines.local.engine import LocalEngine
from dataloader_engines.local.settings import LocalSettings


class Reading(LocalEngine):
    name = "reading"
    reads = ("arrow",)


class TestReading(WriteConformance):
    engine_class = Reading
    cannot = {"an append*": "it never appends"}

    @classmethod
    def new_engine(cls, folder):
        return Reading(LocalSettings(lake=str(folder)))

    def test_an_append_adds(self, new_table, way):
        raise AssertionError("must not run")

    def test_a_key_that_the_table_holds_twice_is_held_once_after_a_merge(self):
        raise AssertionError("is told as failed")
"""


def conformance(*arguments: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dataloader_core.testing.conformance", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250, check=False)


def test_the_committed_page_is_what_the_suites_produce() -> None:
    done = conformance("tests/conformance/engines", "--check", str(DOCS / "reference" / "conformance.md"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_skips_are_declared_and_failures_are_told(tmp_path: Path) -> None:
    (tmp_path / "test_reading.py").write_text(DECLARING)
    done = conformance("test_reading.py", "--write", "report.md", folder=tmp_path)
    assert done.returncode == 1, done.stdout[-2000:]
    report = (tmp_path / "report.md").read_text()
    assert report.endswith(
        "## What the engine does not do\n\n- (1) it never appends\n- (2) the engine does not read by parquet\n"
    )
    assert f"| a key that the table holds twice is held once after a merge | {FAILED} |" in report
    assert "| a replace leaves exactly what was read | unable (2) | passed |" in report
    assert "reading        unable 2 x it never appends" in done.stdout
    assert conformance("test_reading.py", "--check", "report.md", folder=tmp_path).returncode == 1


def test_a_run_is_held_against_the_page_and_a_saved_case_against_what_shows_it(tmp_path: Path) -> None:
    ran = CaseRecord("one", "Area", "it holds", way="arrow")
    saved = CaseRecord("one", "Area", "so does this", skip=Skip("saved", "long", "it holds*"))
    page, results = tmp_path / "report.md", tmp_path / "results"
    page.write_text(page_text(page, Report([ran, saved])))

    def problems(*ended: CaseRecord, planned: tuple[CaseRecord, ...] = (ran, saved)) -> list[str]:
        results.write_text("".join(f"{case.to_json()}\n" for case in ended))
        return problems_of(page, planned, [results] if ended else [])

    assert problems() == problems(ran, saved) == []
    assert problems(ran.ended(PASSED, Skip("missing", "no Java")), saved) == [], "it says nothing about the page"
    assert problems(saved) == ["one: it holds (arrow): was not run."]
    assert problems(ran.ended(FAILED), saved) == [f"{page} is not what the suites produce: write it anew."]
    [problem] = problems(planned=(replace(ran, skip=Skip("unable", "cannot")), saved))[:1]
    assert problem == "one: so does this: 'it holds*' is no case that is run."


def test_equal_cases_give_equal_text_and_ways_and_strategies_have_columns() -> None:
    cases = [CaseRecord("one", "Area", "it holds", way=way) for way in ("arrow", "parquet")]
    never = Skip("unable", "never | ever")
    cases += [CaseRecord("one", "Area", "so does | this", detail, skip=never) for detail in "abcd"]
    cases += [
        CaseRecord(engine, "Area", "types", kind, way, strategy, never if (engine, way) == ("one", "jdbc") else None)
        for engine in ("one", "two") for way in ("arrow", "jdbc") for strategy in "xyz" for kind in "ijkl"
    ]  # fmt: skip
    text = Report(cases).markdown()
    assert text == Report(list(cases)).markdown()
    assert "|  | one, arrow | one, parquet |\n| --- | --- | --- |\n| it holds | passed | passed |" in text
    assert "### So does | this\n\none: all 4 unable (1).\n" in text
    assert "|  | two, jdbc, x | two, jdbc, y | two, jdbc, z |" in text or "| two, arrow, x |" in text
    assert text.endswith("## What the engine does not do\n\n- (1) never | ever\n")


def test_a_saved_case_is_no_inability() -> None:
    cases = [CaseRecord("one", "Area", "a", skip=Skip("saved", "b shows it", "b")), CaseRecord("one", "Area", "b")]
    text = Report([*cases, CaseRecord("one", "Area", "c", skip=Skip("unable", "it cannot"))]).markdown()
    assert "| a | saved (1) |" in text
    assert "## What the engine does not do\n\n- (2) it cannot\n\n## What is left out to save time" in text
