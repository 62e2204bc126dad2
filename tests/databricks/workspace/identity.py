"""Who may call: tokens that were given out, and a token endpoint for service principals (OAuth, machine to machine)."""

from __future__ import annotations

import json
import secrets
import threading
import time
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from tests.databricks.workspace.routing import ApiError, Request, Response, route

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace


class Identity:
    """Tokens and their ends. ``lifetime``: seconds that a token of the token endpoint is good for."""

    def __init__(self) -> None:
        self.lifetime = 3600.0
        self.issued = 0
        self._tokens: dict[str, tuple[str, float]] = {}
        self._clients: dict[str, str] = {}
        self._lock = threading.Lock()

    def new_token(self, user: str = "someone@example.com", lifetime: float = 3600.0) -> str:
        token = f"dapi{secrets.token_hex(16)}"
        with self._lock:
            self._tokens[token] = (user, time.monotonic() + lifetime)
        return token

    def new_client(self, client_id: str) -> str:
        """A service principal; its secret."""
        secret = f"dose{secrets.token_hex(16)}"
        self._clients[client_id] = secret
        return secret

    def expire(self, token: str) -> None:
        with self._lock:
            user, _ = self._tokens[token]
            self._tokens[token] = (user, 0.0)

    def expire_all(self) -> None:
        for token in list(self._tokens):
            self.expire(token)

    def grant(self, client_id: str, secret: str) -> str:
        if not secret or self._clients.get(client_id) != secret:
            raise ApiError(401, "invalid_client", "Client authentication failed")
        self.issued += 1
        return self.new_token(client_id, self.lifetime)

    def check(self, authorization: str | None) -> str:
        """The user that a header stands for."""
        token = (authorization or "").removeprefix("Bearer ")
        with self._lock:
            user, ends = self._tokens.get(token, (None, 0.0))
        if user is None:
            raise ApiError(403, "PERMISSION_DENIED", "Invalid access token.")
        if time.monotonic() > ends:
            raise ApiError(401, "UNAUTHENTICATED", "Credential was expired: the access token is no longer valid.")
        return user


@route("GET", "/oidc/.well-known/oauth-authorization-server", public=True)
def endpoints(workspace: Workspace, request: Request) -> dict[str, str]:
    return {
        "authorization_endpoint": f"{workspace.url}/oidc/v1/authorize",
        "token_endpoint": f"{workspace.url}/oidc/v1/token",
    }


@route("POST", "/oidc/v1/token", public=True)
def token(workspace: Workspace, request: Request) -> dict[str, object] | Response:
    form = parse_qs(request.body.decode())
    client_id, secret = (form.get(name, [""])[0] for name in ("client_id", "client_secret"))
    if basic := request.headers.get("Authorization", "").removeprefix("Basic "):
        client_id, _, secret = b64decode(basic).decode().partition(":")
    try:
        granted = workspace.identity.grant(client_id, secret)
    except ApiError as refusal:
        # RFC 6749, 5.2: not in the form of the workspace's other errors.
        body = json.dumps({"error": refusal.code, "error_description": str(refusal)}).encode()
        return Response(refusal.status, body, {"Content-Type": "application/json"})
    return {"access_token": granted, "token_type": "Bearer", "expires_in": workspace.identity.lifetime}
