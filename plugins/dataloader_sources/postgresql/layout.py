"""How a read is laid out over files and connections, from what the server says about the relation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataloader_core.errors import SourceUnavailableError
from dataloader_core.plan import Read, Relation
from dataloader_core.values import WATERMARK_TYPES, Value
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.probes import lowest_and_highest
from dataloader_sources.postgresql.ranges import Heap, Pages, Piece, Slice, column_ranges, file_count, page_ranges

Ask = Callable[..., Sequence[Sequence[Any]]]
"""Runs SQL with parameters in the snapshot and gives its rows."""

_FIRST_WITH_PAGE_RANGES = 140000
"""Older servers scan the whole table for every ``ctid`` range."""

_HEAPS = """
SELECT n.nspname, c.relname, c.relkind::text, coalesce(a.amname, ''), c.relhassubclass,
       pg_relation_size(c.oid) / current_setting('block_size')::bigint, pg_table_size(c.oid),
       has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid),
       c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam
WHERE c.oid = to_regclass(%(name)s)
   OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(name)s)) WHERE isleaf)
ORDER BY c.oid <> to_regclass(%(name)s), c.oid
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The pieces that a read becomes, which together give every row exactly once, and why."""

    pieces: tuple[Piece, ...]
    reason: str

    def selects(self, dialect: Postgres, read: Read) -> list[str]:
        """A SELECT for each piece. ``read`` is the one that was laid out, or the same rows under other projections."""
        return [piece.select(dialect, read) for piece in self.pieces]


@dataclass(frozen=True, slots=True)
class Part:
    """A relation of the catalog as it was in the snapshot: the one that is read, or a leaf partition of it.

    ``readable``: all of its rows may be read by naming it. ``rewritten``: its file is another one by now.
    """

    relation: Relation
    kind: str
    access_method: str
    has_children: bool
    pages: int
    bytes: int
    readable: bool
    rewritten: bool


def parts_of(dialect: Postgres, read: Read, ask: Ask) -> list[Part]:
    """The relation first, then its leaf partitions; empty for a query.

    Raises:
        SourceUnavailableError: it was truncated or rewritten after the snapshot was taken: its rows of that moment
            are gone, for every snapshot.
    """
    if read.relation.query is not None:
        return []
    name = ".".join(dialect.quote(part) for part in (read.relation.schema, read.relation.name) if part)
    parts = [Part(replace(read.relation, schema=r[0], name=r[1]), *r[2:]) for r in ask(_HEAPS, {"name": name})]
    if any(part.rewritten for part in parts):
        raise SourceUnavailableError(
            f"{read.relation} was truncated or rewritten since the snapshot was taken.", cure="Run the load again."
        )
    return parts


def only_rows(parts: Sequence[Part]) -> bool:
    """Whether the relation is nothing but rows of this server, which every look in a snapshot finds the same.

    Not a view or a query, a foreign table, or one whose rows a policy chooses; nor one with children, which may be
    foreign.
    """
    if not parts:
        return False
    root, *leaves = parts
    return (
        root.readable and (root.kind == "p" or not root.has_children) and all(p.kind in "rmp" for p in leaves or parts)
    )


def lay_out(
    dialect: Postgres, read: Read, parts: Sequence[Part], ask: Ask, version: int, files: int, threads: int
) -> Layout:
    """Decide. Nothing is read but the planner's answer and, for a split, the column's two ends.

    Args:
        parts: See :func:`parts_of`.
        version: The server's, as ``server_version_num``.
        files: About as many files as are wanted of a large table.
        threads: Connections that will read.
    """
    if read.row_limit is not None:
        return Layout((Slice(),), f"one connection, cut at {read.row_limit} rows")
    heaps, why = _heaps(parts, version)
    if heaps:
        return _by_pages(dialect, read, ask, heaps, files, threads)
    if read.split is not None and (slices := _by_column(dialect, read, ask)):
        return Layout(slices, f"{len(slices)} ranges of {read.split.column!r} ({why})")
    return Layout((Slice(),), f"one connection ({why})")


def _heaps(parts: Sequence[Part], version: int) -> tuple[list[Heap], str]:
    """The tables whose pages are cut; none: why not."""
    if not parts:
        return [], "a query has no pages"
    root, *leaves = parts
    if version < _FIRST_WITH_PAGE_RANGES:
        return [], "this server version cannot scan a range of pages"
    if not root.readable:
        return [], "only some columns or rows of it may be read"
    if root.kind == "p":
        if not all(_is_heap(leaf) and leaf.readable for leaf in leaves):
            return [], "not every partition is a plain table that may be read by itself"
        return [_heap(leaf) for leaf in leaves], "it has no partition"
    if not _is_heap(root) or root.has_children:
        return [], "only a plain table has pages of its own"
    return [_heap(root)], ""


def _is_heap(part: Part) -> bool:
    return part.kind in ("r", "m") and part.access_method == "heap"


def _heap(part: Part) -> Heap:
    return Heap(part.relation, int(part.pages), int(part.bytes))


def _by_pages(dialect: Postgres, read: Read, ask: Ask, heaps: Sequence[Heap], files: int, threads: int) -> Layout:
    size = sum(heap.bytes for heap in heaps)
    wanted = file_count(size, files)
    if read.where or read.filter:
        indexed, result = _planned(dialect, read, ask)
        if indexed:
            return Layout((Slice(),), "one connection, by an index")
        wanted = max(file_count(result, files), min(threads, wanted))
    groups = page_ranges(heaps, wanted)
    pieces = tuple(Pages(tuple(group)) for group in groups)
    return Layout(pieces, f"{len(pieces)} range{'s' if len(pieces) > 1 else ''} of the table's pages")


def _planned(dialect: Postgres, read: Read, ask: Ask) -> tuple[bool, int]:
    """Whether the planner takes an index, and how many bytes it expects."""
    answer = ask(f"EXPLAIN (FORMAT JSON) {dialect.render(read)}")[0][0]
    plan = answer[0]["Plan"]
    return _uses_index(plan), int(plan["Plan Rows"]) * int(plan["Plan Width"])


def _uses_index(node: dict[str, Any]) -> bool:
    kind = str(node["Node Type"])
    return "Index" in kind or "Bitmap" in kind or any(_uses_index(child) for child in node.get("Plans", ()))


def _by_column(dialect: Postgres, read: Read, ask: Ask) -> tuple[Slice, ...]:
    """The slices of a wished split; none where the column is not among those read or has no order to cut."""
    split = read.split
    column = next((c for c in read.columns if split is not None and split.column in (c.name, c.target)), None)
    if split is None or split.parts < 2 or column is None:
        return ()
    if column.type.name not in WATERMARK_TYPES or column.type.name == "binary":
        return ()
    low, high = split.lower, split.upper
    if low is None or high is None:
        found_low, found_high = ask(lowest_and_highest(dialect, read, column))[0]
        low, high = low or found_low, high or found_high
    if low is None or high is None:
        return ()
    ranges = column_ranges(column, Value(column.type, low), Value(column.type, high), split.parts)
    return tuple(Slice(conditions) for conditions in ranges)
