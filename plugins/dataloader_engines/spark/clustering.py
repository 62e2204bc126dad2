"""What a table is clustered by: which columns can be, and how an overwrite that forgets it is mended.

An overwrite that takes the schema whole forgets the clustering (seen with Delta 4.4), and only a second commit sets it
again. Whoever dies in between leaves it in a property, set before and unset afterwards: the next write mends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from dataloader_core.commit import TargetColumn
from dataloader_core.errors import DataLoaderError, LoadCancelledError, RivalCommitError
from dataloader_engines.spark import commits
from dataloader_engines.spark.address import Address
from dataloader_engines.spark.look import Handle
from dataloader_engines.spark.session import LoadSession
from dataloader_engines.spark.sql import quote

REMEMBERED: Final = "dataloader.clustered_by"
_INDEXED: Final = "delta.dataSkippingNumIndexedCols"
_LISTED: Final = "delta.dataSkippingStatsColumns"
_DEFAULT_INDEXED: Final = 32
_UNBOUNDED: Final = ("boolean", "binary")
"""Types of ours of which Delta 4 keeps neither minimum nor maximum (tried one by one with 4.4)."""
_NAME: Final = re.compile(r"`((?:[^`]|``)+)`|([^,`\s]+)")


def obstacle(column: TargetColumn, handle: Handle) -> str | None:
    """Why Delta does not cluster by the column; None: it does."""
    if column.type.name in _UNBOUNDED:
        return f"{column.name} is {column.type}, of which Delta keeps no bounds"
    if column.name.casefold() not in _with_statistics(handle):
        return f"{column.name} has no statistics ({_LISTED if _LISTED in handle.properties else _INDEXED})"
    return None


def _with_statistics(handle: Handle) -> frozenset[str]:
    if (listed := handle.properties.get(_LISTED)) is not None:
        return frozenset((a.replace("``", "`") or b).casefold() for a, b in _NAME.findall(listed))
    count = int(handle.properties.get(_INDEXED, _DEFAULT_INDEXED))
    names = [c.name.casefold() for c in handle.columns]
    return frozenset(names if count < 0 else names[:count])


def of(handle: Handle) -> tuple[str, ...]:
    """What the table is clustered by, or was before a load that died."""
    return handle.clustered or _remembered(handle)


def _remembered(handle: Handle) -> tuple[str, ...]:
    try:
        found = json.loads(handle.properties.get(REMEMBERED, "[]"))
    except ValueError:
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def set_to(session: LoadSession, address: Address, columns: Iterable[str]) -> None:
    listed = ", ".join(map(quote, columns))
    commits.alter(session, address, f"ALTER TABLE {address.sql} CLUSTER BY ({listed})")


def remember(session: LoadSession, address: Address, handle: Handle) -> None:
    """Before an overwrite that forgets it."""
    if REMEMBERED not in handle.properties:
        commits.set_properties(session, address, {REMEMBERED: json.dumps(handle.clustered)})


def restore(session: LoadSession, address: Address, handle: Handle, columns: Sequence[TargetColumn]) -> tuple[str, ...]:
    """Behind that overwrite, or behind the death of whoever made it. What ``columns`` no longer has is left out.

    Returns:
        Notes: the table's new columns may be none that it can be clustered by.
    """
    there, after = {c.name.casefold(): c for c in columns}, replace(handle, columns=tuple(columns))
    found = {name: obstacle(there[name.casefold()], after) for name in of(handle) if name.casefold() in there}
    kept = [name for name, why in found.items() if why is None]

    def commit() -> None:
        if kept:
            set_to(session, address, kept)
        commits.alter(session, address, f"ALTER TABLE {address.sql} UNSET TBLPROPERTIES IF EXISTS ('{REMEMBERED}')")

    lost = [f"The table is clustered by it no more: {why}." for why in found.values() if why is not None]
    return (*lost, *attempt(commit, f"clustering by {', '.join(kept)}"))


def attempt(commit: Callable[[], None], what: str) -> tuple[str, ...]:
    """Carry out what no load may fail for; what the table refuses is a note.

    Raises:
        RivalCommitError, LoadCancelledError: as from any commit.
    """
    try:
        commit()
    except (RivalCommitError, LoadCancelledError):
        raise
    except DataLoaderError as error:
        return (f"The table refuses {what}: {error.problem}",)
    return ()
