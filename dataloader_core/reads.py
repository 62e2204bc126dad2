"""What strategies make their steps from: reads of the configured relation, and a table's own loss policy.

Shared by all strategies, from this project and from elsewhere; pure, like everything around a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataloader_core.errors import ConfigurationError
from dataloader_core.interfaces.strategy import PlanInput
from dataloader_core.plan import Column, Condition, LossPolicy, Merge, Read, Split
from dataloader_core.values import Value


def read_all(given: PlanInput, where: Iterable[Condition] = ()) -> Read:
    """Every chosen column of the relation under the table's own filter, limit and policies.

    ``where`` names columns as the source's catalog does.
    """
    table = given.table
    return Read(
        relation=given.source.relation,
        columns=given.source.columns,
        where=tuple(where),
        filter=table.filter,
        row_limit=table.row_limit,
        split=split_of(given),
        on_unrepresentable=table.on_unrepresentable,
    )


def split_of(given: PlanInput) -> Split | None:
    """The wish for parallel ranges that the table states, if it states one."""
    table = given.table
    if not table.partition_column or not table.num_partitions or table.num_partitions < 2:
        return None
    return Split(table.partition_column, table.num_partitions, table.lower_bound, table.upper_bound)


def loss_of(given: PlanInput) -> LossPolicy:
    """What a step may take away, as the table's settings say."""
    return LossPolicy(given.table.allow_empty, given.table.max_delete_fraction)


def unproven_keys(given: PlanInput) -> tuple[str, ...]:
    """``primary_key_cols`` as the destination calls them, unless a key of the source is among them.

    For a step that overwrites where later ones merge: doubled keys would come in here, and stay.
    """
    columns = _key_columns(given)
    return () if _proven(given, columns) else tuple(c.target for c in columns)


def _key_columns(given: PlanInput) -> list[Column]:
    return [given.source.column(name) for name in given.table.primary_key_cols]


def _proven(given: PlanInput, columns: Sequence[Column]) -> bool:
    """Whether a key of the source is among them, of columns that have no NULL and get none on the way.

    Every type arrives exact, or as text that tells values apart: what is unique there is unique here.
    """
    emptied = given.table.on_unrepresentable == "null" and any(c.guards for c in columns)
    keys = {c.name for c in columns if not c.nullable}
    return not emptied and any(set(key) <= keys for key in given.source.keys)


def merge_by_keys(
    given: PlanInput, *, delete_where: tuple[Condition, ...] = (), delete_missing_where: tuple[Condition, ...] = ()
) -> Merge:
    """An upsert by ``primary_key_cols``, as they are called in the destination.

    The conditions are about rows of the destination: they name its columns.
    """
    columns = _key_columns(given)
    return Merge(tuple(c.target for c in columns), delete_where, delete_missing_where, _proven(given, columns))


def constant_column(given: PlanInput, name: str, value: Value) -> Column:
    """A column of one value for all rows of a read, such as the time of the load. Add it to ``Read.columns``.

    Raises:
        ConfigurationError: the source has a column that would be called so in the destination.
    """
    for column in given.source.columns:
        if column.target.casefold() == name.casefold():
            raise ConfigurationError(
                f"{given.table.control_key} has a column {column.name!r} already.",
                cure="Choose another name, or leave that one out with `columns`.",
            )
    return Column(name, name, value.type, "NULL", "constant", nullable=False, constant=value)
