"""The closed set of column types: what a projection may produce and what a Delta table may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from dataloader_core.errors import ConfigurationError

TypeName = Literal[
    "boolean",
    "smallint",
    "int",
    "bigint",
    "float",
    "double",
    "decimal",
    "string",
    "binary",
    "date",
    "timestamp_ntz",
    "timestamp",
]
TYPE_NAMES: Final[tuple[str, ...]] = get_args(TypeName)
INTEGERS: Final = ("smallint", "int", "bigint")
MAX_PRECISION: Final = 38

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """One of the closed set. ``str()`` gives its name as Delta writes it in a schema's DDL.

    ``timestamp_ntz`` is a wall clock without zone, ``timestamp`` an instant (UTC); both have
    microseconds. ``precision`` and ``scale`` belong to ``decimal`` only: 1 <= precision <= 38,
    0 <= scale <= precision.
    """

    name: TypeName
    precision: int | None = None
    scale: int | None = None

    def __post_init__(self) -> None:
        if self.name not in TYPE_NAMES:
            raise ConfigurationError(f"{self.name!r} is no column type; known: {', '.join(TYPE_NAMES)}.")
        if self.name != "decimal":
            if self.precision is not None or self.scale is not None:
                raise ConfigurationError(f"{self.name} takes no precision.")
            return
        if self.precision is None or self.scale is None:
            raise ConfigurationError("decimal needs a precision and a scale.")
        if not (1 <= self.precision <= MAX_PRECISION and 0 <= self.scale <= self.precision):
            raise ConfigurationError(
                f"decimal({self.precision},{self.scale}) does not fit: 1 <= precision <= {MAX_PRECISION}, "
                "0 <= scale <= precision."
            )

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})" if self.name == "decimal" else self.name

    @classmethod
    def parse(cls, text: str) -> ColumnType:
        """Read what ``str()`` wrote."""
        if match := _DECIMAL.fullmatch(text):
            return cls("decimal", int(match[1]), int(match[2]))
        return cls(text)  # type: ignore[arg-type]  # __post_init__ checks the name


BOOLEAN: Final = ColumnType("boolean")
SMALLINT: Final = ColumnType("smallint")
INT: Final = ColumnType("int")
BIGINT: Final = ColumnType("bigint")
FLOAT: Final = ColumnType("float")
DOUBLE: Final = ColumnType("double")
STRING: Final = ColumnType("string")
BINARY: Final = ColumnType("binary")
DATE: Final = ColumnType("date")
TIMESTAMP_NTZ: Final = ColumnType("timestamp_ntz")
TIMESTAMP: Final = ColumnType("timestamp")


def decimal(precision: int, scale: int) -> ColumnType:
    return ColumnType("decimal", precision, scale)
