"""Logins to the workspace, bounded in time.

The SDK asks for the workspace's OAuth endpoints for up to five minutes, whatever its own settings say, and waits for a
token without any limit; meanwhile it holds a lock that every other call needs. So both are asked in a thread here, and
whoever waits gives up in time. Imported with the SDK only.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from databricks.sdk.credentials_provider import (  # noqa: TID253  # imported with the SDK
    CredentialsStrategy,
    DefaultCredentials,
)

if TYPE_CHECKING:
    from databricks.sdk.core import Config

Headers: TypeAlias = dict[str, str]

LOGIN_SECONDS: Final = 15.0
"""A login takes a second; a sensor's tick has sixty."""
LOST_SECONDS: Final = 60.0
"""A question that hangs for so long is left to itself: its connection is dead, and the next one begins anew."""
_AT_HAND: Final = frozenset({"pat", "basic", "runtime"})
"""Kinds of credentials that ask nobody."""


class LoginTimeoutError(TimeoutError):
    """Who issues the credentials has not answered in time."""


class LoginFailedError(OSError):
    """No token was given; the cause says why. An OSError, as all that calls raise is: the SDK's own are ValueErrors and
    others, by which nobody tells a moment's trouble of whoever issues tokens from a wrong argument."""


class BoundedCredentials(CredentialsStrategy):
    """The SDK's own choice of credentials, with an end to all waiting."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sdk = DefaultCredentials()

    def auth_type(self) -> str:
        return self._sdk.auth_type()

    def oauth_token(self, config: Config) -> Any:
        return self._sdk.oauth_token(config)

    def __call__(self, config: Config) -> Callable[[], Headers]:
        if _only_the_clusters_own(config):
            return self._sdk(config)
        headers = self._first(config)
        if self.auth_type() in _AT_HAND:
            return headers
        return _Renewed(headers, lambda: self._sdk(config)(), self._seconds).current

    def _first(self, config: Config) -> Callable[[], Headers]:
        try:
            headers: Callable[[], Headers] = _Question(lambda: self._sdk(config)).answer(self._seconds)
        except ValueError as error:
            if error.__cause__ is None:
                # Nothing is configured. Where something is and failed, the SDK wraps what it raised.
                raise
            raise LoginFailedError from error.__cause__
        return headers


class _Renewed:
    """The headers of the hour, asked of the SDK each time."""

    def __init__(self, headers: Callable[[], Headers], anew: Callable[[], Headers], seconds: float) -> None:
        self._question = _Question(headers)
        self._anew = anew
        self._seconds = seconds

    def current(self) -> Headers:
        if self._question.is_lost:
            # It holds the SDK's lock for as long as its connection lasts: only a new login gets round it.
            self._question = _Question(self._anew)
        try:
            headers: Headers = self._question.answer(self._seconds)
        except OSError:
            raise
        except Exception as error:
            raise LoginFailedError from error
        return headers


class _Question:
    """Asked in a thread of its own; who asks while it is under way waits for the same answer."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: Future[Any] | None = None
        self._begun = 0.0

    @property
    def is_lost(self) -> bool:
        with self._lock:
            under_way = self._answer is not None and not self._answer.done()
            return under_way and time.monotonic() - self._begun > LOST_SECONDS

    def answer(self, seconds: float) -> Any:
        """Raises LoginTimeoutError after ``seconds``, and whatever the question itself raises."""
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer, self._begun = Future(), time.monotonic()
                threading.Thread(target=self._carry, args=(self._answer,), name="login", daemon=True).start()
            answer = self._answer
        try:
            return answer.result(seconds)
        except TimeoutError:
            if answer.done():
                return answer.result()
            raise LoginTimeoutError(f"no answer within {seconds:.0f} s") from None

    def _carry(self, answer: Future[Any]) -> None:
        try:
            answer.set_result(self._ask())
        except BaseException as error:  # noqa: BLE001  # handed to whoever waits
            answer.set_exception(error)


def _only_the_clusters_own(config: Config) -> bool:
    """On a cluster without credentials of its own the runtime gives them: at once, and maybe to the task's thread
    alone."""
    if not os.environ.get("DATABRICKS_RUNTIME_VERSION"):
        return False
    return not (config.client_secret or config.azure_client_secret)
