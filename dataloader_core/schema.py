"""The schema policy: what a changed source may do to a Delta table. Pure: nothing here reads or writes.

Names are compared without case, as Delta does; the table's spelling wins. A *wider* type is one that holds
every value of the old one unchanged; only such a change is carried out, by rewriting the table's files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dataloader_core.commit import TargetColumn
from dataloader_core.errors import SchemaChangeError
from dataloader_core.plan import Column, Merge, Write
from dataloader_core.types import BIGINT, DATE, DOUBLE, FLOAT, INT, SMALLINT, TIMESTAMP_NTZ, ColumnType

SchemaPolicy = Literal["evolve", "freeze", "fail"]

_WIDER: Final[Mapping[ColumnType, tuple[ColumnType, ...]]] = {
    SMALLINT: (INT, BIGINT, FLOAT, DOUBLE),
    INT: (BIGINT, DOUBLE),
    FLOAT: (DOUBLE,),
    DATE: (TIMESTAMP_NTZ,),
}
_INTEGER_DIGITS: Final[Mapping[ColumnType, int]] = {SMALLINT: 5, INT: 10, BIGINT: 19}


@dataclass(frozen=True, slots=True)
class Widening:
    """A column whose type grows."""

    name: str
    old: ColumnType
    new: ColumnType

    def __str__(self) -> str:
        return f"{self.name}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What a load does to the table's schema.

    Attributes:
        columns: The table's columns afterwards, the old ones first unless the source's schema is taken whole.
        read: The columns to read, with ``target`` in the table's spelling.
        added: Columns that the table gets.
        dropped: Columns of the table that the source lacks; they stay and are NULL in what is written.
        widened: Columns whose files are rewritten in the load's commit.
        ignored: Columns of the source that are not read (``freeze``).
        whole: The source's schema is taken as it is, with all that is written anew.
        retyped: Columns whose type becomes another one, of any kind, because the schema is taken whole.
    """

    columns: tuple[TargetColumn, ...]
    read: tuple[Column, ...]
    added: tuple[TargetColumn, ...] = ()
    dropped: tuple[str, ...] = ()
    widened: tuple[Widening, ...] = ()
    ignored: tuple[str, ...] = ()
    whole: bool = False
    retyped: tuple[Widening, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each kind of change, for people."""
        added = ", ".join(f"{c.name} {c.type}" for c in self.added)
        dropped = ", ".join(self.dropped)
        lines = (
            (added, f"Columns added: {added}" + ("." if self.whole else "; NULL for rows not read again.")),
            (
                dropped,
                f"Columns that the source no longer has: {dropped}"
                + ("; gone from the table." if self.whole else "; they stay, NULL for rows read from now on."),
            ),
            (self.retyped, f"Types changed: {', '.join(map(str, self.retyped))}."),
            (self.widened, f"Types widened, files rewritten: {', '.join(map(str, self.widened))}."),
            (self.ignored, f"New columns ignored (schema_policy = freeze): {', '.join(self.ignored)}."),
        )
        return tuple(text for found, text in lines if found)


def target_column(column: Column) -> TargetColumn:
    return TargetColumn(column.target, column.type, column.comment)


def is_wider(old: ColumnType, new: ColumnType) -> bool:
    """Whether every value of ``old`` is a value of ``new``, unchanged."""
    if new in _WIDER.get(old, ()):
        return True
    if new.name != "decimal":
        return False
    assert new.precision is not None
    assert new.scale is not None
    if old in _INTEGER_DIGITS:
        return new.precision - new.scale >= _INTEGER_DIGITS[old]
    if old.name != "decimal" or old == new:
        return False
    assert old.precision is not None
    assert old.scale is not None
    return new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale


def compare_schemas(
    source: Sequence[Column], table: Sequence[TargetColumn], policy: SchemaPolicy, *, replace: bool
) -> SchemaChange:
    """What loading ``source`` into ``table`` changes.

    ``replace``: the load overwrites everything, so under ``evolve`` the source's schema is taken whole.

    Raises:
        SchemaChangeError: the policy forbids the change; names old, new and the cure.
    """
    there = {c.name.casefold(): c for c in table}
    here = {c.target.casefold(): c for c in source}
    added = tuple(target_column(c) for name, c in here.items() if name not in there)
    dropped = tuple(c.name for name, c in there.items() if name not in here)
    changed = tuple(
        Widening(there[name].name, there[name].type, c.type)
        for name, c in here.items()
        if name in there and there[name].type != c.type
    )
    if policy == "evolve" and replace:
        return SchemaChange(
            tuple(map(target_column, source)), tuple(source), added, dropped, whole=True, retyped=changed
        )  # files of another type vanish with the same commit
    _refuse(policy, added, dropped, changed)
    if policy == "freeze":
        read = tuple(c for name, c in here.items() if name in there)
        return SchemaChange(_merged(there, here, ()), _spelled(read, there), ignored=tuple(c.name for c in added))
    columns = (*_merged(there, here, changed), *added)
    return SchemaChange(columns, _spelled(source, there), added, dropped, changed)


def check_compared(write: Write, change: SchemaChange, table: Sequence[TargetColumn], *, has_rows: bool) -> None:
    """That what a merge compares with is in the table. The old rows of a column that it gets only now match nothing.

    Raises:
        SchemaChangeError: it was renamed or dropped there; trying again would not bring it back.
    """
    if not isinstance(write, Merge):
        return
    there = {c.name.casefold() for c in (table if has_rows else change.columns)}
    named = {c.name.casefold(): c.target for c in change.read}
    compared = (*write.keys, *(c.column for c in (*write.delete_where, *write.delete_missing_where)))
    wanted = dict.fromkeys(named.get(name.casefold(), name) for name in compared)
    missing = [name for name in wanted if name.casefold() not in there]
    if missing:
        raise SchemaChangeError(
            f"The table has no column {', '.join(missing)}, by which its rows are compared with the source's; it has "
            f"{', '.join(c.name for c in table)}.",
            cure="Give the column its name back, or set load_full to write the table anew.",
        )


def _refuse(
    policy: SchemaPolicy, added: Sequence[TargetColumn], dropped: Sequence[str], changed: Sequence[Widening]
) -> None:
    faults = [f"{c.name}: {c.old} in the table, {c.new} at the source" for c in changed]
    if policy == "evolve":
        faults = [text for text, c in zip(faults, changed, strict=True) if not is_wider(c.old, c.new)]
    else:
        faults += [f"{name}: in the table, not at the source" for name in dropped]
    if policy == "fail":
        faults += [f"{c.name}: {c.type} at the source, not in the table" for c in added]
    if not faults:
        return
    way = "Set load_full to take the source's schema whole" if policy == "evolve" else "Set schema_policy to 'evolve'"
    raise SchemaChangeError(
        f"schema_policy = {policy} forbids: {'; '.join(faults)}.",
        cure=f"{way}, or leave the columns out with `columns` or cast them in a `query`.",
    )


def _merged(
    there: Mapping[str, TargetColumn], here: Mapping[str, Column], widened: Sequence[Widening]
) -> tuple[TargetColumn, ...]:
    """The table's columns with their new types, and the source's comments where it has any."""
    types = {w.name: w.new for w in widened}
    return tuple(
        TargetColumn(c.name, types.get(c.name, c.type), (here[key].comment if key in here else None) or c.comment)
        for key, c in there.items()
    )


def _spelled(columns: Sequence[Column], there: Mapping[str, TargetColumn]) -> tuple[Column, ...]:
    from dataclasses import replace

    return tuple(
        replace(c, target=there[c.target.casefold()].name) if c.target.casefold() in there else c for c in columns
    )
