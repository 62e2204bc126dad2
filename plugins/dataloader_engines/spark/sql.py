"""Spark SQL text: names, literals, conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dataloader_core.commit import TargetColumn
from dataloader_core.plan import Condition, IsNull
from dataloader_core.types import ColumnType
from dataloader_core.values import Value

Names = Mapping[str, TargetColumn]
"""The table's columns by casefolded name; the source's spelling leads to them too."""

_PATTERN: Final = re.compile(r"([\\*?\[\]{}])")
_ESCAPED: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "$": "\\u0024"})
"""A dollar as its code: for ``${env:NAME}`` Spark puts in what its own environment has, also inside of a literal."""


def quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def text(value: object) -> str:
    """A string literal. Spark takes backslashes for escapes."""
    return "'" + str(value).translate(_ESCAPED) + "'"


def unglobbed(path: str) -> str:
    """The path where Spark takes one for a pattern: whatever it reads."""
    return _PATTERN.sub(r"\\\1", path)


def literal(value: Value, kind: ColumnType) -> str:
    """The value as ``kind``, which is the column's type and may be wider than the value's own."""
    if value.type.name == "binary":
        return f"unhex({text(value.text.removeprefix('0x'))})"
    return f"CAST({text(value.text)} AS {kind})"


def conditions(where: Sequence[Condition], names: Names, table: str = "") -> str:
    """Conditions joined by AND; never true for NULL unless asked. ``table``: an alias in front of every column."""
    parts = []
    for c in where:
        column = names[c.column.casefold()]
        name = table + quote(column.name)
        parts.append(f"{name} IS NULL" if isinstance(c, IsNull) else f"{name} {c.op} {literal(c.value, column.type)}")
    return "(" + " AND ".join(parts) + ")"


def either(*alternatives: Sequence[Condition], names: Names, table: str = "") -> str:
    """Rows that meet all conditions of at least one alternative; an alternative without any counts as none."""
    return " OR ".join(conditions(where, names, table) for where in alternatives if where) or "false"


def projection(columns: Iterable[TargetColumn], present: Iterable[str]) -> str:
    """These columns in their exact types, NULL where the rows lack one; ``present``: the rows' own names."""
    there = {name.casefold(): name for name in present}
    return ", ".join(
        f"CAST({quote(there[c.name.casefold()]) if c.name.casefold() in there else 'NULL'} AS {c.type}) "
        f"AS {quote(c.name)}"
        for c in columns
    )
