"""Looks at sequences: what a sequence had given out, and who could still have a value of it in hand."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from dataloader_core.interfaces.source import SourceMemory

KEPT: Final = 64
"""Looks kept for each sequence. Older ones are only of use while a transaction of that age is open."""

Transaction = tuple[int, datetime, datetime]
"""A transaction for as long as it lasts: backend pid, start of that backend, start of the transaction."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look.

    Whatever the sequence had given out by then belongs to a transaction that had ended or is among ``open``. So once
    all of ``open`` have ended, no row with a value up to ``value`` can still appear. That needs no clock: it holds
    when clocks jump.

    Attributes:
        value: The last value given out.
        taken_at: The server's clock, for people and for order.
        open: The transactions that were open after ``value`` was read and could write.
    """

    value: int
    taken_at: datetime
    open: frozenset[Transaction]

    def settled(self, still_open: frozenset[Transaction]) -> bool:
        return not self.open & still_open


class LookStore(Protocol):
    """Where looks are remembered. A key names server, database and sequence."""

    def remember(self, key: str, look: Look) -> None: ...

    def recall(self, key: str) -> Sequence[Look]:
        """Newest first."""
        ...


class ProcessLooks:
    """Looks of this process, shared by its sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[str, deque[Look]] = {}

    def remember(self, key: str, look: Look) -> None:
        with self._lock:
            known = self._looks.setdefault(key, deque(maxlen=KEPT))
            if known and look.value < known[0].value:
                known.clear()  # the sequence was set back: what was seen before says nothing about what comes
            known.appendleft(look)

    def recall(self, key: str) -> Sequence[Look]:
        with self._lock:
            return tuple(self._looks.get(key, ()))


class NotedLooks:
    """Looks that every process shares, as notes in the memory that a session is given."""

    def __init__(self, memory: SourceMemory) -> None:
        self._memory = memory

    def remember(self, key: str, look: Look) -> None:
        open_ = [[pid, born.isoformat(), began.isoformat()] for pid, born, began in sorted(look.open)]
        self._memory.remember(key, {"value": look.value, "taken_at": look.taken_at.isoformat(), "open": open_})

    def recall(self, key: str) -> Sequence[Look]:
        looks: list[Look] = []
        for note in self._memory.recall(key):
            look = _read(note)
            if looks and look.value > looks[-1].value:
                break  # the sequence was set back in between: what was seen before says nothing about what comes
            looks.append(look)
        return looks


def _read(note: Mapping[str, Any]) -> Look:
    moment = datetime.fromisoformat
    return Look(
        value=int(note["value"]),
        taken_at=moment(note["taken_at"]),
        open=frozenset((int(pid), moment(born), moment(began)) for pid, born, began in note["open"]),
    )


process_looks: Final = ProcessLooks()
