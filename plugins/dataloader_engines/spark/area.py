"""The folder where one table's rows wait, and what crashed loads left there."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from dataloader_engines.spark.address import filesystem, is_local
from dataloader_engines.spark.errors import SPARK_ERRORS, condition_of
from dataloader_engines.spark.kinds import is_connect
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.sql import unglobbed

log = logging.getLogger(__name__)

_TOKEN: Final = re.compile(r"([0-9a-f]+)-[0-9a-f]{32}")
_PARTS: Final = ("part-*", "_temporary/0/*/part-*", "_temporary/0/_temporary/*/part-*")
"""Where Hadoop's committer has a job's files: those of the job, of a task that ended, and of one that did not."""
_UNSEEN: Final = (OSError, ImportError, ValueError)
"""How Arrow says that this process cannot reach a store."""


class StagingArea:
    """Folders below ``root``, one for each read. A name starts with the second of its making.

    The folder is reached as this process can: as a folder, or through Arrow's file systems; where it cannot, or where
    Spark Connect's server has another disk, Spark lists and empties it.
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
        if not self._deleted_here(session, folder) and _filled(session, folder):
            _empty(session, folder)
        self._tokens.discard(folder.rpartition("/")[2])

    def remove_all(self, session: LoadSession) -> None:
        for token in tuple(self._tokens):
            self.remove(session, f"{self.root}/{token}")
        if is_local(self.root):
            try:
                Path(self.root).rmdir()
            except OSError:
                return  # other loads' rows wait there, or nothing ever did

    def sweep(self, session: LoadSession) -> None:
        """Delete what loads that crashed left. Younger folders may be of a load that is alive."""
        oldest = time.time() - self._hours * 3600
        for token in self._folders(session):
            made = _TOKEN.fullmatch(token)
            if made is not None and int(made[1], 16) < oldest and token not in self._tokens:
                self.remove(session, f"{self.root}/{token}")

    def _folders(self, session: LoadSession) -> Iterable[str]:
        """By their names. Spark tells only those with rows in them: what it has emptied costs no second look."""
        root = Path(self.root)
        try:
            if not is_local(self.root):
                store, path = filesystem(self.root)
                return [info.base_name for info in _listed(store, path)]
            if root.is_dir() or not is_connect(session.spark):
                return [p.name for p in root.iterdir()] if root.is_dir() else []
        except _UNSEEN as error:
            log.debug("%s is left to Spark: %s", self.root, type(error).__name__)
        return {made[0] for file in _found(session, f"{unglobbed(self.root)}/*") if (made := _TOKEN.search(file))}

    def _files(self, folder: str) -> Iterator[tuple[str, int]]:
        if is_local(folder):
            yield from ((p.name, p.stat().st_size) for p in Path(folder).iterdir())
            return
        store, path = filesystem(folder)
        yield from ((info.base_name, info.size or 0) for info in _listed(store, path))

    def _deleted_here(self, session: LoadSession, folder: str) -> bool:
        """Whether this process could delete it, or knows that there is nothing."""
        try:
            if not is_local(folder):
                store, path = filesystem(folder)
                store.delete_dir(path)
            elif Path(folder).exists():
                shutil.rmtree(Path(folder))
            else:
                return not is_connect(session.spark)
        except FileNotFoundError:
            return True  # nothing was written, or somebody else swept
        except _UNSEEN:
            return False
        return True


def _filled(session: LoadSession, folder: str) -> bool:
    return bool(_found(session, unglobbed(folder)))


def _found(session: LoadSession, pattern: str) -> Sequence[str]:
    """Files with rows below the folders that match, also of a write that crashed. Spark runs no job for it."""
    files = f"{pattern}/{{{','.join(_PARTS)}}}"
    try:
        return session.spark.read.format("binaryFile").load(files).inputFiles()
    except SPARK_ERRORS as error:
        if condition_of(error) != "PATH_NOT_FOUND":
            log.warning("Spark could not list %s: %s", pattern, condition_of(error))
        return ()


def _empty(session: LoadSession, folder: str) -> None:
    """Let Spark overwrite the folder with nothing; where a store has real folders, an empty one stays."""
    nothing = session.spark.range(0).selectExpr("id", "id AS part").write.partitionBy("part").mode("overwrite")
    try:
        nothing.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false").parquet(folder)
    except SPARK_ERRORS as error:
        log.warning("%s could not be deleted: %s", folder, type(error).__name__)


def _listed(filesystem: Any, path: str) -> list[Any]:
    from pyarrow import fs

    return list(filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True)))
