"""The folder where one table's rows wait, and what crashed loads left there."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from dataloader_engines.spark.address import filesystem, is_local
from dataloader_engines.spark.errors import SPARK_ERRORS
from dataloader_engines.spark.session import LoadSession

log = logging.getLogger(__name__)

_TOKEN = re.compile(r"([0-9a-f]+)-[0-9a-f]{32}")


class StagingArea:
    """Folders below ``root``, one for each read. A name starts with the second of its making.

    The folder is reached as this process can: as a folder, or through Arrow's file systems; where it cannot, Spark
    empties it.
    """

    def __init__(self, root: str, hours: float) -> None:
        self.root = root
        self._hours = hours
        self._tokens: set[str] = set()

    def new_folder(self) -> str:
        token = f"{int(time.time()):x}-{uuid4().hex}"
        self._tokens.add(token)
        return f"{self.root}/{token}"

    def bytes_of(self, folder: str) -> int:
        """Bytes of the files in the folder; 0 where this process does not see it."""
        try:
            return sum(size for name, size in self._files(folder) if name.endswith(".parquet"))
        except (OSError, ImportError, ValueError):
            return 0

    def remove(self, session: LoadSession, folder: str) -> None:
        """Delete a folder of ours; what stays behind is named by nobody, and a later load tries again."""
        try:
            self._delete(folder)
        except (OSError, ImportError, ValueError):
            _empty(session, folder)
        self._tokens.discard(folder.rpartition("/")[2])

    def remove_all(self, session: LoadSession) -> None:
        for token in tuple(self._tokens):
            self.remove(session, f"{self.root}/{token}")
        if is_local(self.root):
            try:
                _path(self.root).rmdir()
            except OSError:
                return  # other loads' rows wait there, or nothing ever did

    def sweep(self) -> None:
        """Delete what loads that crashed left. Younger folders may be of a load that is alive."""
        oldest = time.time() - self._hours * 3600
        try:
            for token in list(self._folders()):
                made = _TOKEN.fullmatch(token)
                if made is not None and int(made[1], 16) < oldest and token not in self._tokens:
                    self._delete(f"{self.root}/{token}")
        except (OSError, ImportError, ValueError) as error:
            log.debug("%s could not be swept: %s", self.root, type(error).__name__)

    def _folders(self) -> Iterator[str]:
        if is_local(self.root):
            root = _path(self.root)
            yield from (p.name for p in root.iterdir()) if root.is_dir() else ()
            return
        store, path = filesystem(self.root)
        yield from (info.base_name for info in _listed(store, path))

    def _files(self, folder: str) -> Iterator[tuple[str, int]]:
        if is_local(folder):
            yield from ((p.name, p.stat().st_size) for p in _path(folder).iterdir())
            return
        store, path = filesystem(folder)
        yield from ((info.base_name, info.size or 0) for info in _listed(store, path))

    def _delete(self, folder: str) -> None:
        if is_local(folder):
            if _path(folder).exists():
                shutil.rmtree(_path(folder))
            return
        store, path = filesystem(folder)
        store.delete_dir(path)


def _empty(session: LoadSession, folder: str) -> None:
    """Let Spark overwrite the folder with nothing: its files go, an empty one stays."""
    try:
        session.spark.range(0).write.mode("overwrite").parquet(folder)
    except SPARK_ERRORS as error:
        log.warning("%s could not be deleted: %s", folder, type(error).__name__)


def _path(folder: str) -> Path:
    return Path(folder.removeprefix("file://"))


def _listed(filesystem: Any, path: str) -> list[Any]:
    from pyarrow import fs

    return list(filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True)))
