"""Which function answers which request. Each API family registers its own in a module of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace


@dataclass(frozen=True)
class Request:
    """What a client sent. ``parts``: what the braces of the route's path stand for. ``user``: whose token it was."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    parts: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None

    def json(self) -> dict[str, Any]:
        found = json.loads(self.body or b"{}")
        if not isinstance(found, dict):
            raise ApiError(400, "MALFORMED_REQUEST", "The body must be a JSON object.")
        return found


@dataclass(frozen=True)
class Response:
    """An answer with a status, headers or a body that is no JSON."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """An answer in the form of the workspace's own errors."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})

    def response(self) -> Response:
        body = json.dumps({"error_code": self.code, "message": str(self)}).encode()
        return Response(self.status, body, {"Content-Type": "application/json", **self.headers})


Answer = Mapping[str, Any] | Response | None
Handler = Callable[["Workspace", Request], Answer]


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    public: bool


_ROUTES: list[Route] = []


def route(method: str, path: str, *, public: bool = False) -> Callable[[Handler], Handler]:
    """Let a function answer this path. ``{name}`` stands for one segment, ``{name:path}`` for all that follow.

    The function gets the workspace and the request, and gives a mapping (JSON), a Response, or None (an empty
    object); it raises ApiError. ``public``: no token is asked for.
    """
    pattern = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", path)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)

    def register(handler: Handler) -> Handler:
        _ROUTES.append(Route(method, re.compile(pattern), handler, public))
        return handler

    return register


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    for one in _ROUTES:
        if one.method == method and (match := one.pattern.fullmatch(path)):
            return one, match.groupdict()
    raise ApiError(404, "ENDPOINT_NOT_FOUND", f"The stand-in has no {method} {path}.")
