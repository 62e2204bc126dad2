"""Which way of reading a load takes: the engine's first that the source can give."""

from __future__ import annotations

from collections.abc import Sequence

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.engine import Engine
from dataloader_core.interfaces.source import WayOfReading


def choose_way(engine: Engine, offered: Sequence[WayOfReading], wanted: str | None) -> WayOfReading:
    """The engine's best usable way, or the one that the table's ``way_of_reading`` names.

    Raises:
        ConfigurationError: none fits; lists every way with its reason.
    """
    by_name: dict[str, WayOfReading] = {way.way: way for way in offered}
    refused = {w.way: why for w in offered if w.way in engine.reads and (why := engine.refuses(w.way)) is not None}
    for name in engine.reads if wanted is None else (wanted,):
        way = by_name.get(name)
        if way is not None and way.usable and name in engine.reads and name not in refused:
            return way
    listed = "; ".join(f"{w.way}: {refused.get(w.way, w.reason)}" for w in offered) or "none"
    wish = f"way_of_reading {wanted!r} cannot be used" if wanted else "No way of reading can be used"
    taken = [name for name in engine.reads if name not in refused]
    raise ConfigurationError(
        f"{wish}: the {engine.name} engine takes {', '.join(taken)}; the source offers {listed}.",
        cure="Install what is missing, or clear way_of_reading." if wanted else "Install what is missing.",
    )
