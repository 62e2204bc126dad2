"""Features of a Delta table that must not be written to: refused before anything is changed.

Spark handles most of Delta itself. What is refused here would lose a value, a fence or a definition in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from dataloader_core.engine_mark import marked_problem

if TYPE_CHECKING:
    from dataloader_engines.spark.look import Handle

_FEATURES: Final[Mapping[str, str]] = {
    "identityColumns": "It has identity columns, which take no values from a source. Rewrite it without.",
    "generatedColumns": "It has generated columns, which an overwrite would lose. Rewrite it without.",
    "catalogManaged": "Its commits are managed by a catalog, which keeps no transactions of ours. Drop that feature.",
}
_HANDLED: Final = frozenset(
    {
        "appendOnly", "invariants", "checkConstraints", "changeDataFeed", "columnMapping", "timestampNtz",
        "deletionVectors", "domainMetadata", "clustering", "rowTracking", "inCommitTimestamp", "allowColumnDefaults",
        "v2Checkpoint", "vacuumProtocolCheck", "icebergCompatV1", "icebergCompatV2", "typeWidening", "variantType",
        "checkpointProtection",
    }
)  # fmt: skip
"""Spark's own business, or looked for in the properties below."""
_IDENTITY_VERSION: Final = "6"
_CONSTRAINT: Final = "delta.constraints."
_RETENTION: Final = "delta.setTransactionRetentionDuration"
_ROWS_KNOWN: Final = ("delta.enableDeletionVectors", "delta.enableChangeDataFeed", "delta.enableRowTracking")


def find_problems(handle: Handle) -> tuple[str, ...]:
    """One sentence, with its cure, for each feature in use that is not handled here."""
    marked = marked_problem("spark", handle.properties)
    found = (*_from_features(handle.features), *_from_properties(handle.properties))
    return found if marked is None else (*found, marked)


def knows_rows(handle: Handle) -> bool:
    """Whether the table keeps something of single rows: a row that is written again unchanged would be another one."""
    return any(handle.properties.get(key, "").casefold() == "true" for key in _ROWS_KNOWN)


def _from_features(features: frozenset[str]) -> Iterable[str]:
    for name in sorted(features):
        plain = name.removesuffix("-preview")
        if sentence := _FEATURES.get(plain):
            yield f"{sentence} ({name})"
        elif plain not in _HANDLED:
            yield f"Its protocol has the feature {name}, which is not handled here. Drop it."


def _from_properties(properties: Mapping[str, str]) -> Iterable[str]:
    if properties.get("delta.minWriterVersion") == _IDENTITY_VERSION:
        yield "Its writer version is 6, which means identity columns. Upgrade it to version 7."
    if properties.get("delta.appendOnly", "").casefold() == "true":
        yield "It has append-only (delta.appendOnly). Set it to false."
    for key in sorted(k for k in properties if k.startswith(_CONSTRAINT)):
        yield f"It has the check constraint {key.removeprefix(_CONSTRAINT)}. Drop it."
    if _RETENTION in properties:
        yield f"{_RETENTION} makes it forget which loads it holds. Unset that property."
