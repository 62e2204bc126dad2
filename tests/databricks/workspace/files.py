"""``fs/files`` and ``fs/directories``: Volumes, kept in a folder. A file is there once it was closed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.databricks.workspace.routing import ApiError, Request, Response, route

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace

_VOLUME = re.compile(r"/Volumes/[^/]+/[^/]+/[^/]+")
_FILES = "/api/2.0/fs/files/{path:path}"
_DIRECTORIES = "/api/2.0/fs/directories/{path:path}"


class Volumes:
    """``root`` is what a task sees as ``/Volumes``. Volumes in ``closed`` may not be used by anybody."""

    def __init__(self, workspace: Workspace) -> None:
        self.root = workspace.folder / "Volumes"
        self.root.mkdir()
        self.closed: set[str] = set()

    def create(self, path: str) -> str:
        (self.root / path.removeprefix("/Volumes/")).mkdir(parents=True)
        return path

    def close(self, path: str) -> None:
        self.closed.add(path)

    def local(self, path: str) -> Path:
        """Where a path of a Volume is kept."""
        path = "/" + path.strip("/")
        volume = _VOLUME.match(path)
        if volume is None or ".." in path:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Invalid path: {path} is not in a volume.")
        if volume.group() in self.closed:
            raise ApiError(403, "PERMISSION_DENIED", f"User does not have WRITE VOLUME on Volume '{volume.group()}'.")
        if not (self.root / volume.group().removeprefix("/Volumes/")).is_dir():
            raise ApiError(404, "NOT_FOUND", f"Volume '{volume.group()}' does not exist.")
        return self.root / path.removeprefix("/Volumes/")

    def tree(self) -> Iterator[str]:
        """All files of all volumes."""
        return (str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


def _file(workspace: Workspace, request: Request) -> Path:
    path = workspace.state(Volumes).local(request.parts["path"])
    if not path.is_file():
        raise ApiError(404, "NOT_FOUND", f"The file being accessed is not found: {request.parts['path']}.")
    return path


def _directory(workspace: Workspace, request: Request) -> Path:
    path = workspace.state(Volumes).local(request.parts["path"])
    if not path.is_dir():
        raise ApiError(404, "NOT_FOUND", f"The directory being accessed is not found: {request.parts['path']}.")
    return path


@route("PUT", _FILES)
def upload(workspace: Workspace, request: Request) -> Response:
    path = workspace.state(Volumes).local(request.parts["path"])
    if not path.parent.is_dir():
        raise ApiError(404, "NOT_FOUND", "The parent directory does not exist.")
    if path.exists() and request.query.get("overwrite") == "false":
        raise ApiError(409, "ALREADY_EXISTS", "The file exists.")
    path.write_bytes(request.body)
    return Response(204)


@route("GET", _FILES)
def download(workspace: Workspace, request: Request) -> Response:
    return Response(200, _file(workspace, request).read_bytes(), {"Content-Type": "application/octet-stream"})


@route("HEAD", _FILES)
def metadata(workspace: Workspace, request: Request) -> Response:
    size = _file(workspace, request).stat().st_size
    return Response(200, headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)})


@route("DELETE", _FILES)
def delete(workspace: Workspace, request: Request) -> Response:
    _file(workspace, request).unlink()
    return Response(204)


@route("PUT", _DIRECTORIES)
def create_directory(workspace: Workspace, request: Request) -> Response:
    workspace.state(Volumes).local(request.parts["path"]).mkdir(parents=True, exist_ok=True)
    return Response(204)


@route("GET", _DIRECTORIES)
def list_directory(workspace: Workspace, request: Request) -> dict[str, Any]:
    folder = _directory(workspace, request)
    root = "/" + request.parts["path"].strip("/")
    entries = [
        {"name": one.name, "path": f"{root}/{one.name}", "is_directory": one.is_dir(), "file_size": one.stat().st_size}
        for one in sorted(folder.iterdir())
    ]
    return {"contents": entries}


@route("HEAD", _DIRECTORIES)
def directory_metadata(workspace: Workspace, request: Request) -> Response:
    _directory(workspace, request)
    return Response(200)


@route("DELETE", _DIRECTORIES)
def delete_directory(workspace: Workspace, request: Request) -> Response:
    folder = _directory(workspace, request)
    if any(folder.iterdir()):
        raise ApiError(400, "DIRECTORY_NOT_EMPTY", "The directory is not empty.")
    shutil.rmtree(folder)
    return Response(204)
