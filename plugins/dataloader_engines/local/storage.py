"""Where a table's files lie: a folder of this machine, or an object store through Arrow's file systems.

Files are read and written by local paths: on an object store they are fetched to, and put from, a temp folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from dataloader_core.errors import DestinationRefusedError, DestinationUnavailableError
from dataloader_core.places import is_url

LOG_FOLDER = "_delta_log"


class Storage(ABC):
    """The folder of one table. ``uri`` is what delta-rs opens; ``temp`` is this load's own local folder."""

    def __init__(self, uri: str, temp_root: Path | None) -> None:
        self.uri = uri
        self._temp_root = temp_root
        self._temp: Path | None = None

    @property
    def temp(self) -> Path:
        if self._temp is None:
            if self._temp_root is not None:
                self._temp_root.mkdir(parents=True, exist_ok=True)
            self._temp = Path(tempfile.mkdtemp(prefix="dataloader-", dir=self._temp_root))
        return self._temp

    def close(self) -> None:
        if self._temp is not None:
            shutil.rmtree(self._temp, ignore_errors=True)
            self._temp = None

    @property
    @abstractmethod
    def staging(self) -> Path:
        """The local folder where new data files are written."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Entries directly in the folder; empty where there is no folder.

        Raises:
            DestinationRefusedError: it is not a folder.
        """

    @abstractmethod
    def has_log(self) -> bool:
        """Whether there is at least one entry of a Delta log."""

    @abstractmethod
    def make(self) -> None:
        """Make the folder where that is needed."""

    @abstractmethod
    def fetch(self, path: str) -> Path:
        """A local copy of a data file of the log (``path`` as the log has it), or the file itself."""

    @abstractmethod
    def put(self, file: Path) -> None:
        """Bring a file of ``staging`` to where the log may name it."""

    @abstractmethod
    def discard(self, token: str, keep: Collection[str]) -> None:
        """Delete files in ``staging`` and in the table's folder whose names hold ``token``, except ``keep``."""

    @abstractmethod
    def remove(self) -> None:
        """Delete everything, so that a crash in between leaves a table that can still be dropped."""

    @abstractmethod
    def sibling(self, name: str) -> Storage:
        """The folder of another table beside this one."""


class LocalStorage(Storage):
    """A folder of this machine (or a mounted one)."""

    def __init__(self, folder: Path, temp_root: Path | None) -> None:
        super().__init__(str(folder), temp_root)
        self.folder = folder

    @property
    def staging(self) -> Path:
        return self.folder

    def names(self) -> Sequence[str]:
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return ()
        except NotADirectoryError:
            raise DestinationRefusedError(
                f"{self.folder} is not a folder, or a part of it is a file.", cure="Move that file away."
            ) from None

    def has_log(self) -> bool:
        try:
            return any(
                n.endswith((".json", ".parquet")) and n[0].isdigit() for n in os.listdir(self.folder / LOG_FOLDER)
            )
        except FileNotFoundError:
            return False

    def make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def fetch(self, path: str) -> Path:
        if path.startswith("file://"):
            return Path(unquote(path.removeprefix("file://")))
        # Joining keeps absolute paths, which shallow clones have.
        return self.folder / unquote(path)

    def put(self, file: Path) -> None:
        # Somebody's VACUUM without retention takes files that no commit names yet.
        if not file.exists():
            raise DestinationUnavailableError(
                f"A file that waited in {self.uri} to be committed is gone.",
                cure="Let VACUUM keep files of the last days; then load again.",
            )

    def discard(self, token: str, keep: Collection[str]) -> None:
        _unlink(self.folder, token, keep)

    def remove(self) -> None:
        # One atomic rename: whoever crashes afterwards leaves a folder that no table's name leads to.
        trash = self.folder.with_name(f".{self.folder.name}.dropped-{uuid4().hex}")
        try:
            self.folder.rename(trash)
        except FileNotFoundError:
            return
        shutil.rmtree(trash)

    def sibling(self, name: str) -> Storage:
        return LocalStorage(self.folder.with_name(name), self._temp_root)


class ObjectStorage(Storage):
    """A prefix of an object store."""

    def __init__(self, uri: str, temp_root: Path | None) -> None:
        from pyarrow import fs

        super().__init__(uri.rstrip("/"), temp_root)
        filesystem, self._root = fs.FileSystem.from_uri(self.uri)
        self._fs: Any = filesystem

    @property
    def staging(self) -> Path:
        return self.temp

    def names(self) -> Sequence[str]:
        return [info.base_name for info in self._list("", recursive=False)]

    def has_log(self) -> bool:
        entries = (info.base_name for info in self._list(LOG_FOLDER, recursive=False))
        return any(n.endswith((".json", ".parquet")) and n[0].isdigit() for n in entries)

    def make(self) -> None:
        """Object stores have no folders."""

    def fetch(self, path: str) -> Path:
        import pyarrow as pa

        if "://" in path:
            raise DestinationRefusedError(
                f"{self.uri} has files outside its own folder (a shallow clone).", cure="Make a deep copy of the table."
            )
        local = self.temp / f"fetched-{unquote(path).replace('/', '-')}"
        if not local.exists():
            part = local.with_suffix(".part")
            with (
                self._fs.open_input_stream(f"{self._root}/{unquote(path)}") as source,
                pa.OSFile(str(part), "wb") as sink,
            ):
                while block := source.read(1 << 22):
                    sink.write(block)
            part.rename(local)
        return local

    def put(self, file: Path) -> None:
        with open(file, "rb") as source, self._fs.open_output_stream(f"{self._root}/{file.name}") as sink:
            while block := source.read(1 << 22):
                sink.write(block)

    def discard(self, token: str, keep: Collection[str]) -> None:
        _unlink(self.temp, token, ())
        for info in self._list("", recursive=False):
            if token in info.base_name and info.base_name not in keep:
                self._fs.delete_file(info.path)

    def remove(self) -> None:
        entries = [i.path for i in self._list("", recursive=True) if i.is_file]
        log = sorted((p for p in entries if f"/{LOG_FOLDER}/" in p), reverse=True)
        # Data first; of the log, the first entry (which says whose the table is) last.
        for path in [p for p in entries if f"/{LOG_FOLDER}/" not in p] + log:
            self._fs.delete_file(path)

    def sibling(self, name: str) -> Storage:
        return ObjectStorage(f"{self.uri.rsplit('/', 1)[0]}/{name}", self._temp_root)

    def _list(self, below: str, *, recursive: bool) -> list[Any]:
        from pyarrow import fs

        base = f"{self._root}/{below}".rstrip("/")
        return list(self._fs.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=recursive)))


def _unlink(folder: Path, token: str, keep: Collection[str]) -> None:
    """Writers put prefixes of their own before a name that is not finished, so the token may stand anywhere."""
    if folder.is_dir():
        for file in folder.glob(f"*{token}*"):
            if file.name not in keep:
                file.unlink(missing_ok=True)


def open_storage(lake: str, parts: Sequence[str], temp_root: Path | None) -> Storage:
    """The folder ``<lake>/<catalog>/<schema>/<table>``.

    Raises:
        DestinationRefusedError: a part that would lead elsewhere.
    """
    for part in parts:
        if part in ("", ".", "..") or "/" in part or "\\" in part:
            raise DestinationRefusedError(
                f"{part!r} is no part of a destination's name.", cure="Use letters, digits and underscores."
            )
    if is_url(lake):
        return ObjectStorage("/".join((lake.rstrip("/"), *parts)), temp_root)
    root = Path(lake).expanduser().resolve()
    return LocalStorage(root.joinpath(*parts), temp_root)
