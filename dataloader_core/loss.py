"""How much a step may take away: the decision alone, shared by all engines.

An empty read proves nothing: it may be a source that was emptied on purpose or one that answered wrongly.
"""

from __future__ import annotations

from dataloader_core.errors import LossRefusedError
from dataloader_core.plan import LossPolicy

_EMPTY_CURE = "Set allow_empty if that is right."


def check_replace(policy: LossPolicy, *, read: int, there: int) -> None:
    """Refuse an overwrite that loses too much.

    Raises:
        LossRefusedError: nothing was read, or too few rows, while the table holds ``there`` rows.
    """
    if there == 0 or (read == 0 and policy.allow_empty):
        return
    if read == 0:
        raise LossRefusedError(f"Nothing was read, but the table holds {there} rows.", cure=_EMPTY_CURE)
    if there - read > policy.max_fraction * there:
        raise LossRefusedError(
            f"The overwrite would leave {read} rows where the table holds {there}: {there - read} fewer, more than "
            f"max_delete_fraction ({policy.max_fraction:g}) of them.",
            cure="Raise max_delete_fraction (at most 1) if that is right.",
        )


def check_merge(policy: LossPolicy, *, read: int, there: int, deleted: int, window: bool) -> None:
    """Refuse a merge that deletes too much. ``window``: the merge deletes what it did not read.

    Raises:
        LossRefusedError: the window is empty, or too many rows would go.
    """
    if there == 0 or not window:
        return
    if read == 0 and not policy.allow_empty:
        raise LossRefusedError(f"The window is empty, but the table holds {there} rows.", cure=_EMPTY_CURE)
    if read > 0 and deleted > policy.max_fraction * there:
        raise LossRefusedError(
            f"The merge would delete {deleted} of {there} rows, more than max_delete_fraction "
            f"({policy.max_fraction:g}) of them.",
            cure="Raise max_delete_fraction (at most 1) if that is right.",
        )
