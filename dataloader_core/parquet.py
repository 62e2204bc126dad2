"""Which version of the Parquet format a file can have so that every reader of the table understands it.

Found with DuckDB 1.5.5 as the writer, and pyarrow 26, delta-rs 1.6.6 and Spark 4.1.1 as readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from dataloader_core.types import ColumnType

if TYPE_CHECKING:
    from dataloader_core.interfaces.source import ColumnStats

Version = Literal["V1", "V2"]


def version_for(types: Iterable[ColumnType]) -> Version:
    """V2 encodes better, but its floats (BYTE_STREAM_SPLIT) are refused by Spark's vectorized reader up to 4.1."""
    return "V1" if any(type.name in ("float", "double") for type in types) else "V2"


def overflows_delta_encoding(types: Mapping[str, ColumnType], stats: Mapping[str, ColumnStats]) -> bool:
    """Whether other readers may refuse a file of version 2: 32-bit integers that lie more than 2^31 - 1 apart.

    DuckDB writes their differences with 33 bits (DELTA_BINARY_PACKED), where Parquet wants them to wrap around;
    neither Arrow nor arrow-rs reads that. Version 1 has no such encoding. Both mappings are by column.
    """
    for name, type in types.items():
        if type.name != "int" or name not in stats:
            continue
        low, high = stats[name].low, stats[name].high
        if low is not None and high is not None and int(high) - int(low) >= 1 << 31:
            return True
    return False
