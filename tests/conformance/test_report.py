"""The report: what is declared is skipped with its reason, and the committed page is what the suites produce."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dataloader_core.testing.conformance.report import FAILED, CaseRecord, Report
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
    assert report.endswith("1. It never appends.\n2. The engine does not read by parquet.\n")
    assert f"| a key that the table holds twice is held once after a merge | {FAILED} |" in report
    assert "| a replace leaves exactly what was read | skipped (2) | passed |" in report
    assert "reading        skipped 2 x it never appends" in done.stdout
    assert conformance("test_reading.py", "--check", "report.md", folder=tmp_path).returncode == 1


def test_equal_cases_give_equal_text_and_variants_have_columns() -> None:
    cases = [CaseRecord("one", "Area", "it holds", variant=way) for way in ("arrow", "parquet")]
    cases += [CaseRecord("one", "Area", "so does | this", detail, reason="never | ever") for detail in "abcd"]
    text = Report(cases).markdown()
    assert text == Report(list(cases)).markdown()
    assert "|  | one, arrow | one, parquet |\n| --- | --- | --- |\n| it holds | passed | passed |" in text
    assert "### So does | this" in text
    assert "| d | skipped (1) |" in text
    assert text.endswith("## Why cases are skipped\n\n1. Never | ever.\n")
