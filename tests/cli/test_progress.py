"""Progress: lines where nobody watches, a drawing on a terminal, and one sentence at the end."""

from __future__ import annotations

import io
from uuid import UUID

import pytest
from rich.console import Console

from dataloader_core.cli.progress import ProgressView, sentence
from dataloader_core.cli.render import Output
from dataloader_core.control.records import LoadProgress, LoadResult, Outcome


def outcome(status: str = "Succeeded", message: str = "", result: LoadResult | None = None) -> Outcome:
    return Outcome("crm.public.o", UUID(int=1), status, message, "b.c.o", 2.0, result)  # type: ignore[arg-type]  # a status of the parameters


def test_the_end_of_a_load_is_one_sentence() -> None:
    done = LoadResult(rows=1000, rows_deleted=2, bytes=2_500_000)
    assert sentence(outcome(result=done)) == ("Succeeded crm.public.o: 1,000 rows, 2 deleted, 2.5 MB in 2.0s (500/s)")
    assert sentence(outcome(result=LoadResult(skipped=True))) == "Succeeded crm.public.o: nothing to do (2s)"
    assert sentence(outcome("Failed", "It broke.")) == "Failed crm.public.o: It broke."
    assert sentence(outcome(message="limited", result=done)).endswith("; limited")


def test_where_nobody_watches_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter((0.0, 5.0, 15.0))
    with ProgressView(Output(), clock=lambda: next(clock)) as view:
        view.progress("crm.public.o", LoadProgress("chunk 1 of 3", 10, 20))
        view.progress("crm.public.o", LoadProgress("chunk 1 of 3", 20, 20))
        assert capsys.readouterr().err == ""
        view.progress("crm.public.o", LoadProgress("chunk 1 of 3", 3000, 40_000))
    captured = capsys.readouterr()
    assert captured.err == "crm.public.o: chunk 1 of 3: 3,000 rows, 40.0 kB, 200/s\n"
    assert captured.out == ""


def test_the_rate_is_that_of_the_current_step(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter((0.0, 5.0, 15.0))
    with ProgressView(Output(), clock=lambda: next(clock)) as view:
        view.progress("k", LoadProgress("chunk 1 of 2", 1_000_000, 0))
        view.progress("k", LoadProgress("chunk 2 of 2", 1_000_000, 0))
        view.progress("k", LoadProgress("chunk 2 of 2", 1_002_000, 0))
    assert capsys.readouterr().err == "k: chunk 2 of 2: 1,002,000 rows, 0 B, 200/s\n"


def test_on_a_terminal_each_running_table_is_a_line_of_the_drawing() -> None:
    screen = io.StringIO()
    out = Output()
    out._consoles[True] = Console(file=screen, force_terminal=True, width=120, markup=False)
    with ProgressView(out) as view:
        view.progress("crm.public.[red]", LoadProgress("chunk 1 of 3", 10, 20))
        view.progress("crm.public.o", LoadProgress("everything", 5000, 1000))
        drawn = view._drawn
        assert drawn is not None
        drawn.refresh()
        assert "crm.public.[red]" in screen.getvalue()
        assert "chunk 1 of 3" in screen.getvalue()
        assert "5,000 rows, 1.0 kB" in screen.getvalue()
        view.outcome(outcome(result=LoadResult(rows=5000)))
        assert [task.description for task in drawn.tasks] == ["crm.public.[red]"]
    assert "Succeeded crm.public.o" in screen.getvalue()
