"""Values for a while: fifty tables of a source need not ask the vault fifty times, which throttles by the second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pydantic import SecretStr


class Cache:
    """Secrets by vault and name, each until its end. Safe for threads.

    Args:
        clock: Monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], tuple[SecretStr, float]] = {}

    def get(self, vault: str, name: str) -> SecretStr | None:
        with self._lock:
            value, ends = self._values.get((vault, name), (None, 0.0))
            if value is not None and self._clock() >= ends:
                del self._values[vault, name]
                return None
            return value

    def put(self, vault: str, name: str, value: SecretStr, seconds: float) -> None:
        if seconds > 0:
            with self._lock:
                self._values[vault, name] = (value, self._clock() + seconds)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
