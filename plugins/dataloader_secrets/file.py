"""Secrets in a folder of files, as Docker and Kubernetes mount them: the scope ``file:/run/secrets``."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import SecretStr

from dataloader_core.errors import SecretError
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.plugins import SecretBackendRecord, hookimpl

DEFAULT_FOLDER: Final = "/run/secrets"
MAX_BYTES: Final = 1 << 20
"""What Kubernetes allows for a secret."""


class File(SecretBackend):
    """A name is a file's path inside the folder. Links that lead out of the folder are refused.

    One line break at the end is not part of the value: editors and ``echo`` leave it there.
    """

    name = "file"

    def __init__(self, scope: str | None) -> None:
        super().__init__(scope)
        self._folder = Path(scope or DEFAULT_FOLDER)
        if not self._folder.is_absolute() or ".." in self._folder.parts:
            raise SecretError(f"{scope!r} is no absolute folder.", cure="Write, for instance, 'file:/run/secrets'.")

    def get(self, name: str) -> SecretStr:
        data = self._read(name, self._locate(name))
        try:
            value = data.decode("utf-8")
        except UnicodeDecodeError:
            raise SecretError(f"The secret {name!r} in {self._folder} is not UTF-8 text.") from None
        value = value.removesuffix("\n").removesuffix("\r")
        if not value:
            raise SecretError(f"The secret {name!r} in {self._folder} is empty.", cure="Write a value into it.")
        return SecretStr(value)

    def _locate(self, name: str) -> Path:
        """The real file behind the name, inside the real folder."""
        path = PurePosixPath(name)
        if not name or "\0" in name or path.is_absolute() or ".." in path.parts:
            raise SecretError(
                f"{name!r} is no name of a secret in {self._folder}.", cure="Write a file's name without '..'."
            )
        try:
            folder = self._folder.resolve(strict=True)
            # Kubernetes itself links: name -> ..data/name -> ..2026_11_23/name.
            file = (folder / path).resolve(strict=True)
        except (OSError, RuntimeError) as e:
            raise self._unreadable(name, e) from None
        if not file.is_relative_to(folder):
            raise SecretError(f"The secret {name!r} leads out of {self._folder}.", cure="Put the file itself there.")
        return file

    def _read(self, name: str, file: Path) -> bytes:
        try:
            # No last link any more, since it was resolved; and a pipe must not hold us up.
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as e:
            raise self._unreadable(name, e) from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SecretError(f"The secret {name!r} in {self._folder} is no file.")
            with open(descriptor, "rb", closefd=False) as opened:
                data = opened.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(data) > MAX_BYTES:
            raise SecretError(f"The secret {name!r} in {self._folder} is larger than {MAX_BYTES} bytes.")
        return data

    def _unreadable(self, name: str, error: OSError | RuntimeError) -> SecretError:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "the path is not usable"
        missing = isinstance(error, OSError) and error.errno == errno.ENOENT
        return SecretError(
            f"The secret {name!r} in {self._folder} cannot be read: {why}.",
            cure="Mount it there." if missing else "Correct its permissions for the user that loads.",
        )


@hookimpl
def dataloader_secret_backends() -> Iterable[SecretBackendRecord]:
    yield SecretBackendRecord(
        "file", "A folder of files (scope: file:/run/secrets)", load=lambda: File, canonical=_canonical
    )


def _canonical(folder: str) -> str:
    """Without doubled slashes, dots and a slash at the end; `..` stays, and is refused."""
    return str(PurePosixPath("/", folder.lstrip("/"))) if folder.startswith("/") else folder
