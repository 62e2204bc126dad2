"""A Key Vault at the wire level: HTTPS with a certificate of the vault's own name, and an identity that gives tokens.

What it does not show: Azure's own role assignments and firewalls (their answers are given on order), other versions of
a secret, and the time that a change needs to be seen.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.tls import certificate, server_context

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate hangs up: no news."""


class Vault:
    """One vault. ``requests``: the paths asked for with a token, in order.

    Attributes:
        secrets: What the vault answers for each name: ``value`` and ``attributes``.
        faults: For each name, the answers that come before its own: status, body, headers.
        resource: What the challenge says the token is for.
        identity_faults: Statuses that the identity answers with before it gives a token.
    """

    def __init__(self, folder: Path, host: str) -> None:
        self.host = host
        self.cert, key = certificate(folder, host)
        self.secrets: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, list[tuple[int, Mapping[str, Any], Mapping[str, str]]]] = {}
        self.resource = "https://vault.azure.net"
        self.requests: list[str] = []
        self.tokens: list[str] = []
        self.identity_faults: list[int] = []
        self.identity_header = secrets.token_hex(8)
        self._vault = _serve(_vault_handler(self))
        self._vault.socket = server_context(self.cert, key).wrap_socket(self._vault.socket, server_side=True)
        self._identity = _serve(_identity_handler(self))
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            for server in (self._vault, self._identity)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def port(self) -> int:
        return int(self._vault.server_address[1])

    @property
    def identity_url(self) -> str:
        return f"http://127.0.0.1:{self._identity.server_address[1]}/msi/token"

    def put(self, name: str, value: str, **attributes: Any) -> None:
        self.secrets[name] = {"value": value, "attributes": {"enabled": True, **attributes}}

    def fail(
        self, name: str, status: int, inner: str = "", times: int = 1_000, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer the next requests for this secret with an error of this kind."""
        self.faults[name] = [
            (status, error_body("Forbidden" if status == 403 else "Error", inner), headers or {})
        ] * times

    def close(self) -> None:
        for server in (self._vault, self._identity):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def answer(self, path: str, authorization: str | None) -> tuple[int, Mapping[str, Any], Mapping[str, str]]:
        token = (authorization or "").removeprefix("Bearer ")
        if token not in self.tokens:
            challenge = f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="{self.resource}"'
            return 401, error_body("Unauthorized"), {"WWW-Authenticate": challenge}
        self.requests.append(path)
        name = path.split("/")[2]
        if self.faults.get(name):
            return self.faults[name].pop(0)
        found = self.secrets.get(name)
        if found is None:
            return 404, error_body("SecretNotFound"), {}
        if not found["attributes"]["enabled"]:
            return 403, error_body("Forbidden", "SecretDisabled"), {}
        return 200, {"id": f"https://{self.host}/secrets/{name}/{'0' * 32}", **found}, {}


def error_body(code: str, inner: str = "") -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": "said by the stand-in"}
    return {"error": error | ({"innererror": {"code": inner}} if inner else {})}


def _serve(handler: type[BaseHTTPRequestHandler]) -> _Server:
    return _Server(("127.0.0.1", 0), handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept by the vault."""


def _vault_handler(vault: Vault) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        def do_GET(self) -> None:
            self.reply(*vault.answer(urlsplit(self.path).path, self.headers.get("Authorization")))

    return Handler


def _identity_handler(vault: Vault) -> type[BaseHTTPRequestHandler]:
    """The endpoint that App Service, Functions and Container Apps give a managed identity."""

    class Handler(_Handler):
        def do_GET(self) -> None:
            if self.headers.get("X-IDENTITY-HEADER") != vault.identity_header:
                return self.reply(401, {"message": "no identity header"})
            if vault.identity_faults:
                return self.reply(vault.identity_faults.pop(), {"error": "said"}, {"Retry-After": "3600"})
            token = f"eyJ{secrets.token_urlsafe(40)}"
            vault.tokens.append(token)
            resource = parse_qs(urlsplit(self.path).query)["resource"][0]
            ends = str(int(time.time()) + 3600)
            return self.reply(
                200, {"access_token": token, "expires_on": ends, "resource": resource, "token_type": "Bearer"}
            )

    return Handler
