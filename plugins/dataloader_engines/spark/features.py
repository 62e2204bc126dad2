"""Features of a Delta table that must not be written to: refused before anything is changed.

Spark handles most of Delta itself. What is refused here would lose a value, a fence or a definition in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from dataloader_core.engine_mark import marked_problem

Fields: TypeAlias = Mapping[str, Mapping[str, Any]]
"""What a table's log says about each column beside its type."""

if TYPE_CHECKING:
    from dataloader_engines.spark.look import Handle

_FEATURES: Final[Mapping[str, str]] = {
    "catalogManaged": "Its commits are managed by a catalog, which keeps no transactions of ours. Drop that feature.",
}
_HANDLED: Final = frozenset(
    {
        "appendOnly", "invariants", "checkConstraints", "changeDataFeed", "columnMapping", "timestampNtz",
        "deletionVectors", "domainMetadata", "clustering", "rowTracking", "inCommitTimestamp", "allowColumnDefaults",
        "v2Checkpoint", "vacuumProtocolCheck", "icebergCompatV1", "icebergCompatV2", "typeWidening", "variantType",
        "checkpointProtection", "generatedColumns", "identityColumns",
    }
)  # fmt: skip
"""Spark's own business, or looked for in the properties and columns below."""
_GENERATED: Final = "generatedColumns"
_IDENTITY: Final = "identityColumns"
_GENERATED_VERSIONS: Final = ("4", "5", "6")
_IDENTITY_VERSION: Final = "6"
_EXPRESSION: Final = "delta.generationExpression"
_START: Final = "delta.identity.start"
_CONSTRAINT: Final = "delta.constraints."
_RETENTION: Final = "delta.setTransactionRetentionDuration"
_ROWS_KNOWN: Final = ("delta.enableDeletionVectors", "delta.enableChangeDataFeed", "delta.enableRowTracking")


def find_problems(handle: Handle) -> tuple[str, ...]:
    """One sentence, with its cure, for each feature in use that is not handled here."""
    marked = marked_problem("spark", handle.properties)
    found = (*_from_features(handle.features), *_from_properties(handle.properties), *_from_columns(handle))
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
    if properties.get("delta.appendOnly", "").casefold() == "true":
        yield "It has append-only (delta.appendOnly). Set it to false."
    for key in sorted(k for k in properties if k.startswith(_CONSTRAINT)):
        yield f"It has the check constraint {key.removeprefix(_CONSTRAINT)}. Drop it."
    if _RETENTION in properties:
        yield f"{_RETENTION} makes it forget which loads it holds. Unset that property."


def may_generate(handle: Handle) -> bool:
    """Whether the protocol allows generated columns: by a feature, or by a version from before there were features.

    Neither says that there are some: whoever goes from an old version to features gets all that the version had.
    """
    return _GENERATED in handle.features or _writer_version(handle) in _GENERATED_VERSIONS


def must_ask(handle: Handle) -> bool:
    """Whether only the log tells if a look must refuse the table: Spark hides how a column gets its values."""
    return _GENERATED in handle.features or _may_identify(handle)


def generated(fields: Fields) -> tuple[str, ...]:
    """Columns whose values an expression or a counter gives."""
    return tuple(name for name, told in fields.items() if _EXPRESSION in told or _START in told)


def _may_identify(handle: Handle) -> bool:
    return _IDENTITY in handle.features or _writer_version(handle) == _IDENTITY_VERSION


def _writer_version(handle: Handle) -> str | None:
    return handle.properties.get("delta.minWriterVersion")


def _from_columns(handle: Handle) -> Iterable[str]:
    """Where the log cannot be read, generated columns are refused only where an overwrite would lose them."""
    if handle.declared is None:
        if _may_identify(handle):
            yield "It may have identity columns, and its log cannot be read. Grant READ FILES on it, or rewrite it."
        return
    for name, told in handle.declared.items():
        if _START in told:
            yield f"Column {name} is an identity, which takes no values from a source. Rewrite the table without."
        if _EXPRESSION in told:
            yield f"Column {name} is generated, which an overwrite would lose. Rewrite the table without."
