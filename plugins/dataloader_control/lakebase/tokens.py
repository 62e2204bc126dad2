"""Tokens that last an hour, renewed before they end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from dataloader_core.redaction import forget, install_redaction, remember

log = logging.getLogger(__name__)

MARGIN_SECONDS: Final = 300.0
"""A token is renewed so long before its end: by then a connection that is slow to open has been opened."""
PAUSE_SECONDS: Final = 30.0
"""Between two attempts to renew a token that still works, and the age at which a refused one is worth replacing."""


@dataclass(frozen=True)
class Token:
    """``ends``: on this process's monotonic clock, in seconds; so is ``begun``."""

    value: SecretStr
    begun: float
    ends: float


class Tokens:
    """The token that works now. Safe for threads: one of them renews it, the others wait.

    Args:
        issue: Gets a new token and its lifetime in seconds.
        clock: Monotonic, in seconds: the computer's clock may be wrong or set back.
    """

    def __init__(
        self, issue: Callable[[], tuple[SecretStr, float]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issue = issue
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._past: list[Token] = []
        self._not_before = 0.0

    def current(self) -> SecretStr:
        """A token that is good for a while. Raises what ``issue`` raises, unless the one at hand still works."""
        with self._lock:
            now, token = self._clock(), self._token
            if token is not None and (now < _renewal(token) or now < min(self._not_before, token.ends)):
                return token.value
            try:
                return self._renew(now)
            except Exception as error:
                if token is None or now >= token.ends:
                    raise
                self._not_before = now + PAUSE_SECONDS
                log.warning("the token at hand is used for another %.0f s: %s", token.ends - now, error)
                return token.value

    def replace(self, refused: SecretStr) -> bool:
        """Give up a token that the server refused; whether :meth:`current` gives another one now.

        One that was just issued is not given up: whoever refuses it refuses the next one as well.
        """
        with self._lock:
            token = self._token
            if token is None or token.value != refused:
                return True
            if self._clock() - token.begun < PAUSE_SECONDS:
                return False
            self._past.append(token)
            self._token = None
            return True

    def _renew(self, now: float) -> SecretStr:
        value, lifetime = self._issue()
        install_redaction()
        remember(value)
        if self._token is not None:
            self._past.append(self._token)
        self._token = Token(value, now, now + lifetime)
        self._forget(now)
        return value

    def _forget(self, now: float) -> None:
        for token in [t for t in self._past if t.ends <= now]:
            forget(token.value)
            self._past.remove(token)


def _renewal(token: Token) -> float:
    """When a token is renewed; for a short-lived one after three quarters of its life."""
    return token.ends - min(MARGIN_SECONDS, (token.ends - token.begun) / 4)
