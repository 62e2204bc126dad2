"""DataLoader's core: tables described in a control database become Delta tables, exactly once.

``DataLoader`` is the loader of one source; everything else is imported from its own module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataloader_core.loading.loader import DataLoader

__all__ = ["DataLoader"]


def __getattr__(name: str) -> object:
    # Imported on demand: listing plugins or printing help must not pay for it.
    if name == "DataLoader":
        from dataloader_core.loading.loader import DataLoader

        return DataLoader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
