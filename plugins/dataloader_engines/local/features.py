"""Features of a Delta table that this engine must not write to: refused before anything is rewritten.

Protocol versions below 7 imply features that are only *possible*; what counts there is whether a property or a
column's metadata uses them (delta-rs itself refuses version 6 altogether). From version 7 on the features are
listed, and one that is unknown here is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from deltalake import DeltaTable, Field

from dataloader_core.engine_mark import marked_problem

_HARMLESS: Final = frozenset(
    {
        "appendOnly", "invariants", "checkConstraints", "changeDataFeed", "generatedColumns", "columnMapping",
        "timestampNtz", "deletionVectors", "variantType",
    }
)  # fmt: skip
"""Listed, these say only that they may be used; the checks below find out whether they are. delta-rs itself lists
variantType when it changes metadata of a table of version 7; a column of that type is refused by its type."""
_IDENTITY_VERSION: Final = 6

_PROPERTIES: Final[Mapping[str, tuple[str, str]]] = {
    "delta.enableDeletionVectors": ("deletion vectors", "Set it to false and run REORG TABLE ... APPLY (PURGE)."),
    "delta.enableChangeDataFeed": ("the change data feed", "Set it to false."),
    "delta.appendOnly": ("append-only", "Set it to false."),
    "delta.enableRowTracking": ("row tracking", "Set it to false and drop the feature."),
    "delta.enableTypeWidening": ("type widening", "Set it to false and drop the feature."),
    "delta.enableInCommitTimestamps": ("in-commit timestamps", "Set it to false and drop the feature."),
    "delta.enableIcebergCompatV1": ("Iceberg compatibility", "Set it to false."),
    "delta.enableIcebergCompatV2": ("Iceberg compatibility", "Set it to false."),
}
_FIELD_METADATA: Final[Mapping[str, str]] = {
    "delta.invariants": "an invariant",
    "delta.generationExpression": "a generated value",
    "delta.identity.start": "an identity",
    "CURRENT_DEFAULT": "a default",
    "delta.columnMapping.id": "column mapping",
    "delta.typeChanges": "type widening",
}
_RETENTION: Final = "delta.setTransactionRetentionDuration"


def find_problems(table: DeltaTable, fields: Iterable[Field]) -> tuple[str, ...]:
    """One sentence, with its cure, for each feature in use that is not fully handled here."""
    metadata = table.metadata()
    properties = dict(metadata.configuration)
    problems = [
        *_from_protocol(table),
        *_from_properties(properties),
        *(p for f in fields for p in _from_field(f)),
    ]
    if metadata.partition_columns:
        problems.append(
            f"It is partitioned by {', '.join(metadata.partition_columns)}; this engine writes no partitions. "
            "Rewrite it without, or use the spark engine."
        )
    if (marked := marked_problem("local", properties)) is not None:
        problems.append(marked)
    if "deletionVectors" in (table.protocol().reader_features or ()) and _has_vectors(table):
        problems.append("It has deletion vectors. Run REORG TABLE ... APPLY (PURGE).")
    return tuple(problems)


def _from_protocol(table: DeltaTable) -> Iterable[str]:
    protocol = table.protocol()
    listed = {*(protocol.reader_features or ()), *(protocol.writer_features or ())}
    if protocol.min_writer_version == _IDENTITY_VERSION:
        yield "Its writer version is 6, which means identity columns. Upgrade it to version 7."
    for name in sorted(listed - _HARMLESS):
        yield f"Its protocol has the feature {name}, which is not handled here. Drop it, or use the spark engine."


def _from_properties(properties: Mapping[str, str]) -> Iterable[str]:
    for key, (what, cure) in _PROPERTIES.items():
        if str(properties.get(key, "")).casefold() == "true":
            yield f"It has {what} ({key}). {cure}"
    if properties.get("delta.columnMapping.mode", "none") != "none":
        yield "It has column mapping (delta.columnMapping.mode). Rewrite it without, or use the spark engine."
    for key in sorted(k for k in properties if k.startswith("delta.constraints.")):
        yield f"It has the check constraint {key.removeprefix('delta.constraints.')}. Drop it."
    if _RETENTION in properties:
        yield f"{_RETENTION} makes it forget which loads it holds. Unset that property."


def _from_field(field: Field) -> Iterable[str]:
    for key, what in _FIELD_METADATA.items():
        if key in (field.metadata or {}):
            yield f"Column {field.name} has {what} ({key}). Drop that from the column."
    if not field.nullable:
        yield f"Column {field.name} is NOT NULL. Run ALTER TABLE ... ALTER COLUMN {field.name} DROP NOT NULL."


def _has_vectors(table: DeltaTable) -> bool:
    return any(batch.num_rows for batch in table.deletion_vectors())
