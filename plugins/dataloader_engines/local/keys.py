"""A merge's keys, checked in what was read: a NULL or doubled key would be inserted again with every load."""

from __future__ import annotations

from collections.abc import Sequence

from dataloader_core.errors import KeyValuesError
from dataloader_engines.local.duck import DataFile, Duck, quote
from dataloader_engines.local.staging import parquet

_SAMPLES = 5


def check_keys(duck: Duck, files: Sequence[DataFile], keys: Sequence[str]) -> None:
    """Look at the key columns alone.

    Raises:
        KeyValuesError: names the columns; up to five values are in its ``samples`` and nowhere else.
    """
    if not files:
        return
    rows = parquet([f.path for f in files])
    names = [quote(k) for k in keys]
    [nulls] = duck.run(f"SELECT {', '.join(f'count(*) - count({n})' for n in names)} FROM {rows}")
    empty = [f"{key} ({count} rows)" for key, count in zip(keys, nulls, strict=True) if count]
    if empty:
        raise KeyValuesError(
            f"Key columns are NULL: {', '.join(empty)}.",
            cure="Choose other primary_key_cols, or leave those rows out with a `filter`.",
        )
    listed = ", ".join(names)
    doubled = duck.run(f"SELECT {listed} FROM {rows} GROUP BY {listed} HAVING count(*) > 1 LIMIT {_SAMPLES}")
    if doubled:
        raise KeyValuesError(
            f"Keys ({', '.join(keys)}) occur more than once in what was read.",
            cure="Choose primary_key_cols that are unique, or make the rows unique in a `query`.",
            samples=[", ".join(map(str, row)) for row in doubled],
        )
