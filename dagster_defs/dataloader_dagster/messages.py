"""Outcomes as messages: what a load's process reports to the asset, as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final
from uuid import UUID

from dataloader_core.control.records import LoadResult, Outcome

MESSAGE_LENGTH: Final = 50_000
"""Characters of a message: what passes by files and events of others stays far from all their limits."""
_TEXT_LENGTH: Final = 2000
_NOTES: Final = 10
_SHORTENED: Final = "… (shortened; the control database has it whole)"


def to_message(outcome: Outcome) -> dict[str, Any]:
    """An outcome that is too large is shortened, and says so; its numbers stay."""
    message = {"outcome": {**asdict(outcome), "load_id": str(outcome.load_id)}}
    if len(json.dumps(message)) <= MESSAGE_LENGTH:
        return message
    return {"outcome": {**asdict(_shortened(outcome)), "load_id": str(outcome.load_id)}}


def _shortened(outcome: Outcome) -> Outcome:
    result = outcome.result
    if result is not None:
        notes = [_cut(note) for note in result.notes[:_NOTES]]
        result = replace(result, notes=[*notes, _SHORTENED], metrics={})
    return replace(outcome, message=_cut(outcome.message), result=result)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_LENGTH else text[:_TEXT_LENGTH] + _SHORTENED


def from_message(message: Mapping[str, Any]) -> Outcome | None:
    """None where the message is about something else; a newer process may say more than this one knows."""
    data = message.get("outcome")
    if not isinstance(data, Mapping):
        return None
    result = data.get("result")
    return Outcome(
        **{
            **data,
            "load_id": UUID(data["load_id"]),
            "result": LoadResult(**result) if result is not None else None,
        }
    )
