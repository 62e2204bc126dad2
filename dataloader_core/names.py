"""Names: readable control keys, names matched to a catalog, names folded to what a destination can hold."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from dataloader_core.errors import ConfigurationError, UnknownNameError

_PLAIN = re.compile(r"[A-Za-z0-9_]+")
_UNSAFE_COLUMN = re.compile(r"[ ,;{}()\n\t=]")
_UNSAFE_TABLE = re.compile(r"[^A-Za-z0-9_]")


def control_key(*parts: str) -> str:
    """``crm.public.orders``; parts that are not ``[A-Za-z0-9_]+`` are double-quoted, so that no two collide."""
    return ".".join(p if _PLAIN.fullmatch(p) else '"' + p.replace('"', '""') + '"' for p in parts)


def fold_table_name(name: str) -> str:
    """A proposal for a destination's name: everything outside ``[A-Za-z0-9_]`` becomes ``_``."""
    return _UNSAFE_TABLE.sub("_", name)


def fold_columns(names: Sequence[str]) -> Mapping[str, str]:
    """Delta's names of columns: blanks and ``,;{}()=`` become ``_``.

    Raises:
        ConfigurationError: two columns have one name afterwards (compared without case, as Delta does).
    """
    folded = {name: _UNSAFE_COLUMN.sub("_", name) for name in names}
    groups: dict[str, list[str]] = defaultdict(list)
    for name, target in folded.items():
        groups[target.casefold()].append(name)
    for target, clash in groups.items():
        if len(clash) > 1:
            raise ConfigurationError(
                f"Columns {', '.join(map(repr, clash))} would all be called {target!r} in Delta.",
                cure="Choose among them with `columns`, or rename one in a `query`.",
            )
    return folded


def match_name(kind: str, name: str, catalog: Iterable[str], *, cure: str | None = None) -> str:
    """The catalog's own spelling of ``name``: exact first, then the only one that differs in case.

    ``cure`` is for a name that is not there at all.

    Raises:
        UnknownNameError: none, or several that differ only in case.
    """
    names = list(catalog)
    if name in names:
        return name
    near = [n for n in names if n.casefold() == name.casefold()]
    if len(near) == 1:
        return near[0]
    cure = f"Write one of {', '.join(map(repr, near))} exactly." if near else cure
    raise UnknownNameError(kind, name, names, cure=cure)
