"""Proposals as the text of a ``tables.yaml``, with their reasons as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

import yaml

from dataloader_core.proposals import Proposal

WIDTH: Final = 110


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
    """One line of YAML, quoted where need be."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1_000_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(text: str, indent: str) -> list[str]:
    """Wrapped; nothing in a name may end the comment's line."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.wrap(printable, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ") or [
        f"{indent}#"
    ]
