"""Which way of reading a load takes: the engine's first that the source can give."""

from __future__ import annotations

from collections.abc import Sequence

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.engine import Engine
from dataloader_core.interfaces.source import WayOfReading


def choose_way(engine: type[Engine] | Engine, offered: Sequence[WayOfReading], wanted: str | None) -> WayOfReading:
    """The engine's best usable way, or the one that the table's ``way_of_reading`` names.

    Raises:
        ConfigurationError: none fits; lists every way with its reason.
    """
    by_name = {way.way: way for way in offered}
    for name in engine.reads if wanted is None else (wanted,):
        way = by_name.get(name)  # type: ignore[call-overload]  # a name that is no way finds nothing
        if way is not None and way.usable and name in engine.reads:
            return way  # type: ignore[no-any-return]  # a WayOfReading, found by a text
    listed = "; ".join(f"{w.way}: {w.reason}" for w in offered) or "none"
    wish = f"way_of_reading {wanted!r} cannot be used" if wanted else "No way of reading can be used"
    raise ConfigurationError(
        f"{wish}: the {engine.name} engine takes {', '.join(engine.reads)}; the source offers {listed}.",
        cure="Install what is missing, or clear way_of_reading." if wanted else "Install what is missing.",
    )
