"""What a task's process runs first: ``/Volumes`` is there, as on a cluster; then the task's own code.

    python -m tests.databricks.workspace.task FOLDER (file PATH | wheel PACKAGE ENTRY_POINT) PARAMETERS...

``/Volumes`` of a cluster is a mount; here paths below it are looked up in FOLDER when they are opened, and a file
that is written appears there when it is closed.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

MOUNT = "/Volumes/"


def mount(folder: Path) -> None:
    """Let this process see ``folder`` as /Volumes."""
    plain_open, plain_isdir = io.open, os.path.isdir

    def local(path: Any) -> Any:
        return folder / path.removeprefix(MOUNT) if isinstance(path, str) and path.startswith(MOUNT) else path

    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        there = local(file)
        if there is file or "w" not in mode:
            return plain_open(there, mode, *args, **kwargs)
        return _closed_then_there(there, lambda hidden: plain_open(hidden, mode, *args, **kwargs))

    builtins.open = opened
    io.open = opened
    os.path.isdir = lambda s: plain_isdir(local(s))


def _closed_then_there(path: Path, open_hidden: Callable[[Path], Any]) -> Any:
    hidden = path.with_name(f".{path.name}.part")
    file = open_hidden(hidden)
    plain_close = file.close

    def close() -> None:
        if not file.closed:
            plain_close()
            hidden.rename(path)

    class Written:
        """The open file; renamed when it is closed."""

        def __getattr__(self, name: str) -> Any:
            return close if name == "close" else getattr(file, name)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            close()

    return Written()


def main() -> None:
    folder, kind, what, *rest = sys.argv[1:]
    mount(Path(folder))
    if kind == "file":
        sys.argv = [what, *rest]
        runpy.run_path(what, run_name="__main__")
    else:
        name, *parameters = rest
        sys.argv = [name, *parameters]
        [entry] = distribution(what).entry_points.select(group="console_scripts", name=name)
        # As a wheel task does: what the function gives back is nobody's.
        entry.load()()


if __name__ == "__main__":
    main()
