"""DuckDB's ``postgres`` extension: where it comes from, and whether this process can use it.

The wheel ``duckdb-extension-postgres-scanner`` carries the signed file, so nothing is downloaded; a copy that
``INSTALL postgres`` fetched from DuckDB's own repository serves as well. DuckDB checks the signature as it loads.
"""

from __future__ import annotations

import os
import tempfile
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

WHEEL = "duckdb_extension_postgres_scanner"
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    # Threads that wait for the network spin otherwise: each reader works in the Python thread that calls it.
    "threads": 1,
    "preserve_insertion_order": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_unsigned_extensions": False,
}

_SHARED: dict[int, duckdb.DuckDBPyConnection] = {}
_SHARING = threading.Lock()


def wheel_file(duckdb_version: str) -> Path | None:
    """The extension of this DuckDB version from the wheel; None without the wheel or with another version's."""
    spec = find_spec(WHEEL)
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, "extensions", f"v{duckdb_version}", "postgres_scanner.duckdb_extension")
        if file.is_file():
            return file
    return None


def duckdb_cursor() -> duckdb.DuckDBPyConnection:
    """A connection of this process's DuckDB, which has the extension loaded. The caller closes it.

    All reads of a process share one DuckDB: loading the extension checks the signature of the whole file, which takes
    longer than reading a small table.

    Raises:
        ImportError: DuckDB is not installed.
        duckdb.Error: the extension can neither be found nor fetched, or its signature is wrong.
    """
    with _SHARING:
        # A forked child must not touch what its parent opened.
        shared = _SHARED.get(os.getpid())
        if shared is None or not _works(shared):
            shared = _SHARED[os.getpid()] = _open_duckdb()
        return shared.cursor()


def _works(connection: duckdb.DuckDBPyConnection) -> bool:
    """After an internal error DuckDB refuses everything but to be opened anew."""
    import duckdb

    try:
        connection.execute("SELECT 1")
    except duckdb.Error:
        return False
    return True


def _open_duckdb() -> duckdb.DuckDBPyConnection:
    import duckdb

    spill = Path(tempfile.gettempdir(), f"dataloader-duckdb-{os.getpid()}")
    connection = duckdb.connect(config={**_SETTINGS, "temp_directory": str(spill)})
    try:
        file = wheel_file(duckdb.__version__)
        if file is not None:
            connection.execute(f"LOAD '{quoted(str(file))}'")
        else:
            connection.execute("INSTALL postgres")
            connection.execute("LOAD postgres")
    except duckdb.Error:
        connection.close()
        raise
    return connection


@cache
def extension_problem() -> str | None:
    """Why the extension cannot be used in this process, or None where it can."""
    try:
        duckdb_cursor().close()
    except ImportError:
        return "DuckDB is not installed: pip install 'dataloader-core[postgresql]'."
    except Exception as error:  # noqa: BLE001  # whatever DuckDB says here is the reason, and ADBC the answer
        return f"DuckDB cannot load its postgres extension ({type(error).__name__}): install {WHEEL}."
    return None


def quoted(text: str) -> str:
    """Text inside single quotes of an SQL literal, as DuckDB and PostgreSQL read it."""
    return text.replace("'", "''")
