"""``secrets/get``: scopes with keys, as a cluster's ``{{secrets/SCOPE/KEY}}`` and the SDK read them."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING

from tests.databricks.workspace.routing import ApiError, Request, route

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace

_REFERENCE = re.compile(r"\{\{secrets/([^/}]+)/([^/}]+)\}\}")


class Secrets:
    """``scopes``: by name in lower case, the secrets by key. ``closed``: scopes that nobody may read."""

    def __init__(self, workspace: Workspace) -> None:
        self.scopes: dict[str, dict[str, str]] = {}
        self.closed: set[str] = set()

    def put(self, scope: str, key: str, value: str) -> None:
        self.scopes.setdefault(scope.lower(), {})[key] = value

    def get(self, scope: str, key: str) -> str:
        scope = scope.lower()
        if scope in self.closed:
            raise ApiError(403, "PERMISSION_DENIED", f"User does not have READ permission on scope {scope}.")
        if scope not in self.scopes:
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Scope {scope} does not exist!")
        if key not in self.scopes[scope]:
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"Secret does not exist with scope: {scope} and key: {key}")
        return self.scopes[scope][key]

    def resolve(self, text: str) -> str:
        """An environment variable of a cluster, with the secrets that it refers to."""
        return _REFERENCE.sub(lambda found: self.get(found[1], found[2]), text)


@route("GET", "/api/2.0/secrets/get")
def get(workspace: Workspace, request: Request) -> dict[str, str]:
    scope, key = request.query.get("scope", ""), request.query.get("key", "")
    value = workspace.state(Secrets).get(scope, key)
    return {"key": key, "value": b64encode(value.encode()).decode()}
