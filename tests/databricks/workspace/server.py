"""The stand-in's server: one thread a request, state in memory, files in a folder."""

from __future__ import annotations

import importlib
import json
import pkgutil
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import tests.databricks.workspace as package
from tests.databricks.workspace.faults import Faults
from tests.databricks.workspace.identity import Identity
from tests.databricks.workspace.routing import Answer, ApiError, Request, Response, find

T = TypeVar("T")


class Workspace:
    """A workspace on a port of this machine.

    An API family keeps what it knows in a class of its own: ``workspace.state(MyFamily)`` makes it once.

    Attributes:
        url: What ``DATABRICKS_HOST`` is set to.
        token: A token that is good for the whole test.
        folder: What the workspace keeps lies here.
        requests: ``METHOD path`` of each request, in order.
    """

    def __init__(self, folder: Path) -> None:
        # Not at import: the families import this package themselves.
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
        self.folder = folder
        self.identity = Identity()
        self.faults = Faults()
        self.token = self.identity.new_token()
        self.requests: list[str] = []
        self._states: dict[type[Any], Any] = {}
        self._closers: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def state(self, family: type[T]) -> T:
        """What this family knows of this workspace: ``family(workspace)``, made when it is first asked for."""
        with self._lock:
            if family not in self._states:
                self._states[family] = family(self)  # type: ignore[call-arg]  # each family has this constructor
            made: T = self._states[family]
        return made

    def at_close(self, closer: Callable[[], None]) -> None:
        self._closers.append(closer)

    def stop_listening(self) -> None:
        """From here on the workspace is unreachable; what runs on it goes on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def close(self) -> None:
        self.faults.clear()
        for closer in self._closers:
            closer()
        if self._thread.is_alive():
            self.stop_listening()

    def answer(self, request: Request) -> Response:
        self.requests.append(f"{request.method} {request.path}")
        try:
            self.faults.check(request.method, request.path, after=False)
            found, parts = find(request.method, request.path)
            user = None if found.public else self.identity.check(request.headers.get("Authorization"))
            answered = _response(found.handler(self, replace(request, parts=parts, user=user)))
            self.faults.check(request.method, request.path, after=True)
        except ApiError as error:
            return error.response()
        return answered


def _response(answer: Answer) -> Response:
    if isinstance(answer, Response):
        return answer
    return Response(body=json.dumps(answer or {}).encode(), headers={"Content-Type": "application/json"})


def _handler_for(workspace: Workspace) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            response = workspace.answer(
                Request(
                    self.command,
                    unquote(url.path),
                    dict(parse_qsl(url.query, keep_blank_values=True)),
                    dict(self.headers),
                    self.rfile.read(length),
                )
            )
            self.send_response(response.status)
            headers = {"Content-Length": str(len(response.body)), **response.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are kept in ``workspace.requests``."""

    return Handler
