"""Reading Delta tables in tests."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import fs


def read_delta(folder: Path | str, columns: list[str] | None = None) -> pa.Table:
    """The rows of a table in a folder.

    Read through Arrow's own file system: through deltalake's, which is written in Python, a process that ends soon
    after may abort (a reading thread asks the ending interpreter for its lock; arrow issue 34314).
    """
    files = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    return DeltaTable(folder).to_pyarrow_table(columns=columns, filesystem=files)
