"""Faults on order: the next requests to a path get this answer instead of their own."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from tests.databricks.workspace.routing import ApiError

_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}


@dataclass
class Fault:
    method: str
    path: re.Pattern[str]
    status: int
    message: str
    times: int
    retry_after: int | None
    after: bool
    is_silent: bool = False
    code: str | None = None
    hits: int = 0
    cleared: threading.Event = field(default_factory=threading.Event)


@dataclass
class Faults:
    """The list of faults that are still to come."""

    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        method: str,
        path: str,
        status: int,
        message: str = "injected by the test",
        *,
        times: int = 1_000_000,
        retry_after: int | None = None,
        after: bool = False,
        code: str | None = None,
    ) -> Fault:
        """Answer the next ``times`` requests whose path has ``path`` (a regular expression) in it with this status.

        ``code``: the workspace's own, if not the usual one of the status. ``after``: the request is carried out first
        and only its answer is lost. The fault that is given back counts its hits.
        """
        made = Fault(method, re.compile(path), status, message, times, retry_after, after, code=code)
        with self._lock:
            self._faults.append(made)
        return made

    def silence(self, method: str, path: str, *, times: int = 1_000_000, after: bool = False) -> Fault:
        """Take the next ``times`` such requests and do not answer them until :meth:`clear`.

        ``after``: they are carried out first.
        """
        made = Fault(method, re.compile(path), 503, "silent", times, None, after, is_silent=True)
        with self._lock:
            self._faults.append(made)
        return made

    def clear(self) -> None:
        with self._lock:
            for fault in self._faults:
                fault.cleared.set()
            self._faults.clear()

    def check(self, method: str, path: str, *, after: bool) -> None:
        with self._lock:
            hit = next((fault for fault in self._faults if _applies(fault, method, path, after)), None)
            if hit is None:
                return
            hit.hits += 1
        if hit.is_silent:
            hit.cleared.wait()
        headers = {} if hit.retry_after is None else {"Retry-After": str(hit.retry_after)}
        raise ApiError(hit.status, hit.code or _CODES.get(hit.status, "INTERNAL_ERROR"), hit.message, headers)


def _applies(fault: Fault, method: str, path: str, after: bool) -> bool:
    return (
        fault.hits < fault.times
        and fault.after == after
        and fault.method == method
        and fault.path.search(path) is not None
    )
