"""What a command says: for people with colours, for pipes as plain columns, for scripts as one JSON document.

Answers go to stdout, everything said on the way to stderr. Data is never read as markup.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dataloader_core.cli.text import cell, safe
from dataloader_core.errors import DataLoaderError

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: Mapping[str, str] = {
    "Succeeded": "green",
    "Failed": "red",
    "Cancelled": "yellow",
    "Lost": "yellow",
    "In Progress": "cyan",
    "Queued": "blue",
    "ok": "green",
    "wrong": "red",
    "broken": "red",
}


def plain_data(value: object) -> Any:
    """A value as JSON can hold it: records as objects, times as ISO 8601, ids as text.

    Whatever is unknown becomes its ``str()``: a ``SecretStr`` prints as stars.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain_data(item) for key, item in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return plain_data(value.value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Iterable):
        items = [plain_data(item) for item in value]
        return sorted(items) if isinstance(value, set | frozenset) else items
    return str(value)


class Output:
    """Where a command's answer goes.

    Args:
        as_json: stdout gets exactly one JSON document, from :meth:`document`.
        debug: Errors come with their stack traces.
    """

    def __init__(self, *, as_json: bool = False, debug: bool = False) -> None:
        self.as_json = as_json
        self.debug = debug
        self._consoles: dict[bool, Console] = {}

    def console(self, *, err: bool = False) -> Console:
        """Made when needed: rich costs time that a JSON answer does not have to pay."""
        if err not in self._consoles:
            from rich.console import Console

            self._consoles[err] = Console(stderr=err, markup=False, highlight=False, emoji=False, soft_wrap=True)
        return self._consoles[err]

    @property
    def interactive(self) -> bool:
        """Whether a person watches stderr, where progress is drawn."""
        return not self.as_json and self.console(err=True).is_terminal

    def document(self, data: object) -> None:
        """The one JSON document. Only ASCII, so that no encoding can break it."""
        if self.as_json:
            sys.stdout.write(json.dumps(plain_data(data), indent=2) + "\n")
            sys.stdout.flush()

    def say(self, text: str = "", style: str | None = None) -> None:
        """A line of the answer, for people."""
        if not self.as_json:
            self.console().print("\n".join(map(safe, text.split("\n"))), style=style)

    def note(self, text: str, style: str | None = None) -> None:
        """A line about what is going on, to stderr."""
        self.console(err=True).print(safe(text), style=style)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Rows under headings: drawn on a terminal, aligned and never cut elsewhere."""
        if self.as_json:
            return
        texts = [[cell(value) for value in row] for row in rows]
        if self.console().is_terminal:
            self._drawn(columns, texts)
        else:
            self._aligned(columns, texts)

    def _drawn(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.console().print(drawn_table(columns, rows), soft_wrap=False)

    def _aligned(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        widths = [max(len(c), *(len(r[i]) for r in rows), 0) for i, c in enumerate(columns)]
        for row in (columns, *rows):
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()

    def error(self, error: DataLoaderError, code: int) -> None:
        """An error with its cure, on stderr; with ``--json`` also as the document."""
        shown = error_document(error, code)
        self.document({"error": shown})
        console = self.console(err=True)
        console.print(f"Error: {_printable(shown['problem'])}", style="bold red")
        if shown["cure"]:
            console.print(f"Cure:  {_printable(shown['cure'])}", style="yellow")

    def trace(self) -> None:
        """With ``--debug``: where the exception that is being handled came from."""
        if self.debug:
            from dataloader_core.redaction import redact_known

            sys.stderr.write(redact_known(traceback.format_exc()))


def _printable(text: str) -> str:
    return "\n".join(map(safe, text.split("\n")))


def error_document(error: DataLoaderError, code: int) -> dict[str, Any]:
    """An error as data, without any secret that this process has resolved."""
    from dataloader_core.redaction import redact_known

    return {
        "class": type(error).__name__,
        "problem": redact_known(error.problem),
        "cure": redact_known(error.cure) if error.cure else None,
        "transient": error.transient,
        "exit_code": int(code),
    }


def drawn_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """A rich table of safe texts; known states are coloured."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(text, style=_STYLES.get(text, "")) for text in row))
    return table
