"""Proposals as the text of a ``tables.yaml``, with their reasons as comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from dataloader_core.proposals import Proposal

WIDTH: Final = 110
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def render(proposals: Iterable[Proposal], source: str) -> str:
    """The file. Reading it gives the proposals' entries again."""
    lines = [
        *_comment(f"Tables of the source {source}, as `dataloader discover` proposes them: read the reasons, change "
                  "what you know better, then `dataloader apply` this file.", indent=""),
        *_comment("Without load_cron a table is loaded once, and then by hand (load_cron: '*/15 * * * *' is every "
                  "quarter of an hour).", indent=""),
        "tables:",
    ]  # fmt: skip
    entries = [line for proposal in proposals for line in _entry(proposal)]
    return "\n".join([*lines, *(entries or ["  []"])]) + "\n"


def _entry(proposal: Proposal) -> Iterator[str]:
    yield ""
    for reason in proposal.reasons:
        yield from _comment(reason, indent="  ")
    for number, (field, value) in enumerate(proposal.entry.items()):
        yield f"  {'- ' if number == 0 else '  '}{field}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """One line of YAML that every YAML parser reads as the same value."""
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_scalar(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    """Neither punctuation nor a word such as ``no`` that YAML 1.1 takes for something else."""
    return _PLAIN.fullmatch(text) is not None and bool(yaml.safe_load(text) == text)


def _quoted(text: str) -> str:
    # Written here: PyYAML's own writer folds a next-line character (U+0085) into a blank.
    escaped = (f"\\U{ord(c):08x}" if not c.isprintable() else "\\" + c if c in '"\\' else c for c in text)
    return '"' + "".join(escaped) + '"'


def _comment(text: str, indent: str) -> list[str]:
    """Wrapped; nothing in a name may end the comment's line."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.wrap(printable, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ") or [
        f"{indent}#"
    ]
