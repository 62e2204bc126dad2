"""A Delta log's checkpoint as one Parquet file, written and read by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Action = Mapping[str, Any]


def write_checkpoint(file: Path, actions: Sequence[Action]) -> None:
    """The state that these actions make: one row for each, with the one column that is its kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([dict(a) for a in actions], schema=_schema()), file)


def read_checkpoint(file: Path) -> list[dict[str, Any]]:
    """Its actions, as commits have them: what is NULL is left out."""
    import pyarrow.parquet as pq

    rows = pq.read_table(file).to_pylist(maps_as_pydicts="strict")
    return [{kind: _told(body) for kind, body in row.items() if body is not None} for row in rows]


def _told(body: Action) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _schema() -> pa.Schema:
    """By the names of Delta's protocol. Files that were removed matter only to VACUUM and are left out."""
    import pyarrow as pa

    text, number, flag = pa.string(), pa.int64(), pa.bool_()
    texts, mapped = pa.list_(text), pa.map_(text, text)
    kinds: dict[str, dict[str, pa.DataType]] = {
        "txn": {"appId": text, "version": number, "lastUpdated": number},
        "add": {
            "path": text, "partitionValues": mapped, "size": number, "modificationTime": number, "dataChange": flag,
            "stats": text,
        },
        "metaData": {
            "id": text, "name": text, "description": text,
            "format": pa.struct({"provider": text, "options": mapped}.items()),
            "schemaString": text, "partitionColumns": texts, "configuration": mapped, "createdTime": number,
        },
        "protocol": {
            "minReaderVersion": pa.int32(), "minWriterVersion": pa.int32(), "readerFeatures": texts,
            "writerFeatures": texts,
        },
    }  # fmt: skip
    return pa.schema([(kind, pa.struct(fields.items())) for kind, fields in kinds.items()])
