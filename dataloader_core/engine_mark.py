"""Which engine loads a table, where two would not see each other's commits.

On S3 delta-rs commits by conditional writes and Spark's log store by a lock of its own: either alone is safe, both on
one table are not. Folders, ADLS and GCS are safe for both, so that only tables on S3 get the mark. Wherever a table
has it, it counts: it may have been set by hand, or the same bucket may be reached as a folder.
"""

from __future__ import annotations

from collections.abc import Mapping

from dataloader_core.commit import ENGINE_PROPERTY


def is_s3(location: str) -> bool:
    return location.startswith(("s3://", "s3a://", "s3n://"))


def mark_of(engine: str, location: str) -> Mapping[str, str]:
    """The property that a new table gets; none where it does not matter."""
    return {ENGINE_PROPERTY: engine} if is_s3(location) else {}


def marked_problem(engine: str, properties: Mapping[str, str]) -> str | None:
    """A sentence where the table is another engine's."""
    owner = properties.get(ENGINE_PROPERTY)
    if not owner or owner == engine:
        return None
    return (
        f"It is loaded by the {owner} engine ({ENGINE_PROPERTY}), whose commits this one would not see on S3. "
        f"Load it with that engine; to change over, stop its loads and set the property to {engine!r}."
    )
