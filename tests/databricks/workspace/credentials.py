"""``database/credentials``, ``postgres/credentials`` and what is asked beside them: instances, endpoints, who one is.

A token is the password of a real role: ``on_issue`` is called with the user and the token before the answer goes out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.databricks.workspace.routing import ApiError, Request, route

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace

_ENDPOINT = "projects/{project}/branches/{branch}/endpoints/{endpoint}"


class Lakebase:
    """Instances and endpoints by name, with the host that clients are sent to.

    Attributes:
        instances: What ``database/instances/NAME`` answers.
        endpoints: What ``postgres/projects/...`` answers, by resource name.
        lifetime: Of a token, by the workspace's clock.
        clock_ahead: How far that clock is ahead of this computer's.
        tokens: All that were issued, in order.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.instances: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.lifetime = timedelta(hours=1)
        self.clock_ahead = timedelta()
        self.tokens: list[str] = []
        self.on_issue: Callable[[str, str], None] = lambda user, token: None

    def add_instance(self, name: str, host: str) -> dict[str, Any]:
        self.instances[name] = {"name": name, "state": "AVAILABLE", "read_write_dns": host}
        return self.instances[name]

    def add_endpoint(self, name: str, host: str) -> dict[str, Any]:
        status = {"current_state": "ACTIVE", "disabled": False, "hosts": {"host": host}}
        self.endpoints[name] = {"name": name, "status": status}
        return self.endpoints[name]

    def issue(self, user: str | None) -> tuple[str, str]:
        """A token for this user, and its end."""
        token = f"eyJ{secrets.token_urlsafe(48)}"
        self.tokens.append(token)
        self.on_issue(str(user), token)
        ends = datetime.now(UTC) + self.clock_ahead + self.lifetime
        return token, ends.strftime("%Y-%m-%dT%H:%M:%SZ")


def _known(found: dict[str, Any] | None, kind: str, name: str) -> dict[str, Any]:
    if found is None:
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"{kind} '{name}' not found.")
    return found


@route("GET", "/api/2.0/preview/scim/v2/Me")
def me(workspace: Workspace, request: Request) -> dict[str, Any]:
    return {"userName": request.user, "active": True}


@route("GET", "/api/2.0/database/instances/{name}")
def instance(workspace: Workspace, request: Request) -> dict[str, Any]:
    name = request.parts["name"]
    return _known(workspace.state(Lakebase).instances.get(name), "Database instance", name)


@route("POST", "/api/2.0/database/credentials")
def database_credentials(workspace: Workspace, request: Request) -> dict[str, Any]:
    lakebase = workspace.state(Lakebase)
    for name in request.json()["instance_names"]:
        _known(lakebase.instances.get(name), "Database instance", name)
    token, ends = lakebase.issue(request.user)
    return {"token": token, "expiration_time": ends}


@route("GET", f"/api/2.0/postgres/{_ENDPOINT}")
def endpoint(workspace: Workspace, request: Request) -> dict[str, Any]:
    name = _ENDPOINT.format(**request.parts)
    return _known(workspace.state(Lakebase).endpoints.get(name), "Endpoint", name)


@route("POST", "/api/2.0/postgres/credentials")
def postgres_credentials(workspace: Workspace, request: Request) -> dict[str, Any]:
    lakebase, name = workspace.state(Lakebase), request.json()["endpoint"]
    _known(lakebase.endpoints.get(name), "Endpoint", name)
    token, ends = lakebase.issue(request.user)
    return {"token": token, "expire_time": ends}
