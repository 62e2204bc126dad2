"""Table properties that make later loads and reads cheaper, where nobody chose otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from dataloader_core.plan import Merge, Write
from dataloader_engines.spark import clustering, commits
from dataloader_engines.spark.address import Address
from dataloader_engines.spark.clustering import attempt
from dataloader_engines.spark.kinds import on_databricks
from dataloader_engines.spark.look import Handle
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.settings import SparkSettings

_VECTORS: Final = "delta.enableDeletionVectors"
_PROPERTIES: Final[Mapping[str, str]] = {
    _VECTORS: "true",
    "delta.autoOptimize.optimizeWrite": "true",
    "delta.autoOptimize.autoCompact": "true",
}
_NO_VECTORS: Final[Mapping[str, str | None]] = {
    "delta.enableIcebergCompatV1": "true",
    "delta.enableIcebergCompatV2": "true",
    "delta.universalFormat.enabledFormats": None,
    "delta.compatibility.symlinkFormatManifest.enabled": "true",
}
"""Properties that exclude deletion vectors, with the value that does; None: any."""
_CLUSTERED_BY: Final = 4
"""Delta clusters by at most so many columns."""


def is_on(settings: SparkSettings) -> bool:
    return settings.tuning == "on" or (settings.tuning == "auto" and on_databricks())


def of_new_table(settings: SparkSettings) -> Mapping[str, str]:
    return _PROPERTIES if is_on(settings) else {}


def apply(
    session: LoadSession, address: Address, settings: SparkSettings, handle: Handle, write: Write
) -> tuple[str, ...]:
    """Set what is not set, in commits of their own before the load's. A property with any value is left alone.

    Returns:
        Notes on what the table cannot take: a policy that nobody asked for fails no load.
    """
    if not is_on(settings):
        return ()
    return (*_set_properties(session, address, handle), *_cluster(session, address, handle, write))


def _set_properties(session: LoadSession, address: Address, handle: Handle) -> Iterator[str]:
    missing = {key: value for key, value in _PROPERTIES.items() if key not in handle.properties}
    if _VECTORS in missing and (reader := _reader_without_vectors(handle)):
        del missing[_VECTORS]
        yield f"Tuning leaves {_VECTORS} out: {reader} cannot read deletion vectors."
    if missing:
        yield from attempt(lambda: commits.set_properties(session, address, missing), ", ".join(missing))


def _reader_without_vectors(handle: Handle) -> str | None:
    """The property that asks for files which other readers understand."""
    values = ((key, handle.properties.get(key, "").casefold(), on) for key, on in _NO_VECTORS.items())
    return next((key for key, value, on in values if value and on in (value, None)), None)


def _cluster(session: LoadSession, address: Address, handle: Handle, write: Write) -> Iterator[str]:
    clusters = handle.clustered or handle.partitioned or "clustering" in handle.features
    if not isinstance(write, Merge) or clusters:
        return
    columns = {c.name.casefold(): c for c in handle.columns}
    keys = [columns[k.casefold()] for k in write.keys if k.casefold() in columns]
    taken = []
    for key in keys:
        if (why := clustering.obstacle(key, handle)) is None:
            taken.append(key.name)
        else:
            yield f"Tuning does not cluster by a key: {why}."
    if taken := taken[:_CLUSTERED_BY]:
        yield from attempt(lambda: clustering.set_to(session, address, taken), f"clustering by {', '.join(taken)}")
