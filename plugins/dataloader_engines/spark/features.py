"""Features of a Delta table that must not be written to: refused before anything is changed.

Spark handles most of Delta itself. What is refused here would lose a value, a fence or a definition in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from dataloader_core.commit import ENGINE_PROPERTY

if TYPE_CHECKING:
    from dataloader_engines.spark.look import Handle

_FEATURES: Final[Mapping[str, str]] = {
    "identityColumns": "It has identity columns, which take no values from a source. Rewrite it without.",
    "generatedColumns": "It has generated columns, which an overwrite would lose. Rewrite it without.",
    "catalogManaged": "Its commits are managed by a catalog, which keeps no transactions of ours. Drop that feature.",
}
_IDENTITY_VERSION: Final = "6"
_RETENTION: Final = "delta.setTransactionRetentionDuration"


def find_problems(handle: Handle) -> tuple[str, ...]:
    """One sentence, with its cure, for each feature in use that is not handled here."""
    return (*_from_features(handle.features), *_from_properties(handle.properties), *_from_owner(handle))


def _from_features(features: frozenset[str]) -> Iterable[str]:
    for name in sorted(features):
        if sentence := _FEATURES.get(name.removesuffix("-preview")):
            yield f"{sentence[:-1]} (feature {name})."


def _from_properties(properties: Mapping[str, str]) -> Iterable[str]:
    if properties.get("delta.minWriterVersion") == _IDENTITY_VERSION:
        yield "Its writer version is 6, which means identity columns. Upgrade it to version 7."
    if properties.get("delta.appendOnly", "").casefold() == "true":
        yield "It has append-only (delta.appendOnly). Set it to false."
    if _RETENTION in properties:
        yield f"{_RETENTION} makes it forget which loads it holds. Unset that property."


def _from_owner(handle: Handle) -> Iterable[str]:
    owner = handle.properties.get(ENGINE_PROPERTY)
    if owner and owner != "spark" and is_s3(handle.location):
        yield (
            f"It lies on S3 and is loaded by the {owner} engine ({ENGINE_PROPERTY}); two engines do not see each "
            "other's commits there. Load it with that engine, or order load_full once after setting the property."
        )


def is_s3(location: str) -> bool:
    return location.startswith(("s3://", "s3a://", "s3n://"))
