"""Loads while they run: drawn on a terminal, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataloader_core.cli.render import Output
from dataloader_core.cli.text import ago, rate, safe, size

if TYPE_CHECKING:
    from dataloader_core.control.records import LoadProgress, Outcome

LINE_SECONDS = 10.0
_STYLES = {"Succeeded": "green", "Failed": "red", "Cancelled": "yellow", "Lost": "yellow"}


@dataclass
class _Running:
    """One table. Rows count up over all steps; the rate is that of the current one."""

    told: float
    step: str = ""
    step_began: float = 0.0
    rows_before: int = 0
    rows: int = 0
    task: Any = None


class ProgressView:
    """Shows progress and outcomes; may be told from any thread. ``clock`` counts seconds."""

    def __init__(self, out: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._lock = threading.Lock()
        self._tables: dict[str, _Running] = {}
        self._drawn = _drawing(out) if out.interactive else None

    def __enter__(self) -> ProgressView:
        if self._drawn:
            self._drawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._drawn.stop()

    def progress(self, control_key: str, at: LoadProgress) -> None:
        with self._lock:
            now = self._clock()
            table = self._tables.setdefault(control_key, _Running(told=now))
            if table.step != at.step:
                table.step, table.step_began, table.rows_before = at.step, now, table.rows
            table.rows = at.rows
            speed = rate(at.rows - table.rows_before, now - table.step_began)
            text = f"{at.rows:,} rows, {size(at.bytes)}, {speed}"
            if self._drawn:
                self._draw(control_key, table, at.step, text)
            elif now - table.told >= LINE_SECONDS:
                table.told = now
                self._out.note(f"{control_key}: {at.step}: {text}")

    def outcome(self, outcome: Outcome) -> None:
        with self._lock:
            table = self._tables.pop(outcome.control_key, None)
            if self._drawn and table is not None and table.task is not None:
                self._drawn.remove_task(table.task)
            self._out.note(sentence(outcome), style=_STYLES[outcome.status])

    def _draw(self, control_key: str, table: _Running, step: str, text: str) -> None:
        if table.task is None:
            table.task = self._drawn.add_task(safe(control_key), total=None, step="", text="")  # type: ignore[union-attr]  # only drawn where it is there
        self._drawn.update(table.task, step=safe(step), text=text)  # type: ignore[union-attr]  # only drawn where it is there


def sentence(outcome: Outcome) -> str:
    """One table's end, for instance ``Succeeded crm.public.orders: 1,200 rows, 1.2 MB in 3s (400/s)``."""
    took = outcome.duration_seconds
    text = f"{outcome.status} {outcome.control_key}: "
    if outcome.status != "Succeeded" or outcome.result is None:
        return text + outcome.message
    result = outcome.result
    if result.skipped:
        return f"{text}nothing to do ({ago(took)})"
    deleted = f", {result.rows_deleted:,} deleted" if result.rows_deleted else ""
    text += f"{result.rows:,} rows{deleted}, {size(result.bytes)} in {took:.1f}s ({rate(result.rows, took)})"
    return f"{text}; {outcome.message}" if outcome.message else text


def _drawing(out: Output) -> Any:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[step]}", style="cyan", markup=False),
        TextColumn("{task.fields[text]}", markup=False),
        TimeElapsedColumn(),
        console=out.console(err=True),
        transient=True,
    )
