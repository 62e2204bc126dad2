"""Outcomes as messages: what a load's process reports to the asset, as plain JSON."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from dataloader_core.control.records import Outcome

log = logging.getLogger(__name__)

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


def from_message(message: object) -> Outcome | None:
    """None where the message is about something else, or no outcome can be made of it: whoever may write into the
    folder of messages could otherwise end somebody else's run. A newer process may say more than this one knows."""
    data = message.get("outcome") if isinstance(message, dict) else None
    if not isinstance(data, dict):
        return None
    try:
        return _outcomes().validate_python(data)
    except ValidationError as error:
        fields = sorted({".".join(map(str, one["loc"])) for one in error.errors()})
        log.warning("A message that is no outcome is left out; not right in it: %s.", _cut(", ".join(fields)))
        return None


@cache
def _outcomes() -> TypeAdapter[Outcome]:
    return TypeAdapter(Outcome)
