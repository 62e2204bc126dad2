"""Outcomes as messages: what a load's process reports to the asset, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from dataloader_core.control.records import LoadResult, Outcome


def to_message(outcome: Outcome) -> dict[str, Any]:
    return {"outcome": {**asdict(outcome), "load_id": str(outcome.load_id)}}


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
