"""The merge: only files that hold touched rows are written anew, in one commit that swaps them.

1. Statistics leave the files that may hold touched rows (:mod:`.candidates`).
2. A semi join over the key columns alone finds the touched rows by file and row number.
3. Each touched file is copied without them, together with the new rows that belong there, several at once.

New rows replace old ones in the file where they were, and others join the touched file whose range they are in, so
that files stay ranges of keys and later merges cheap. Rows are counted before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataloader_core import failpoints
from dataloader_core.commit import TargetColumn
from dataloader_core.errors import DestinationRefusedError, DestinationUnavailableError
from dataloader_core.plan import Merge
from dataloader_engines.local import candidates
from dataloader_engines.local.duck import DataFile, Duck, condition_sql, projection, quote, text
from dataloader_engines.local.look import Handle, TargetFile
from dataloader_engines.local.staging import parquet
from dataloader_engines.local.storage import Storage

_NEW: Final = -1
_LARGE: Final = 256 << 20
"""A file that no further rows join."""
_CRUMB: Final = 8 << 20
"""A file that is written anew together with new rows rather than left beside another small one."""
_I, _ROW, _MATCHED = "__dataloader_file", "__dataloader_row", "__dataloader_matched"


@dataclass(frozen=True)
class Rewrite:
    """Files that one commit takes out and puts in; rows that went without being replaced."""

    removed: Sequence[TargetFile] = ()
    added: Sequence[DataFile] = ()
    deleted: int = 0
    updated: int = 0


class Rewriter:
    """Works on one handle.

    ``columns`` is the table's schema with the commit. ``names`` is casefolded and also knows source names.
    """

    def __init__(
        self,
        duck: Duck,
        storage: Storage,
        handle: Handle,
        columns: Sequence[TargetColumn],
        names: Mapping[str, TargetColumn],
        new_path: Callable[[object], Path],
    ) -> None:
        self._duck = duck
        self._handle = handle
        self._columns = columns
        self._names = dict(names)
        self._new_path = new_path
        self._storage = storage
        self._local: dict[int, Path] = {}
        self._present: dict[int, dict[str, str]] = {}

    def cast_all(self) -> Rewrite:
        """Every file in the new schema."""
        every = range(len(self._handle.files))
        self._load(every)
        self._duck.run(f"CREATE OR REPLACE TABLE hit ({_I} INTEGER, {_ROW} BIGINT, {_MATCHED} BOOLEAN)")
        added = self._write_touched(list(every), {}, {})
        return Rewrite(self._handle.files, added)

    def merge(
        self, write: Merge, staged: Sequence[DataFile], *, everything: bool, check: Callable[[int], None]
    ) -> Rewrite:
        """The files to swap.

        ``everything``: every file is written anew, because the schema changes with the commit. ``check`` is told how
        many rows go without being replaced, before anything is written, and may raise.
        """
        self._refuse_own_names()
        keys = [self._names[k.casefold()] for k in write.keys]
        self._register_staged(staged, keys)
        found = self._candidates(write, keys)
        self._load(sorted(found | (set(range(len(self._handle.files))) if everything else set())))
        self._find_hits(write, keys, sorted(found))
        failpoints.hit("engine.merge_found")
        counts = {i: (n, m) for i, n, m in self._duck.run(
            f"SELECT {_I}, count(*), count(*) FILTER ({_MATCHED}) FROM hit GROUP BY 1"
        )}  # fmt: skip
        updated = sum(m for _, m in counts.values())
        deleted = sum(n for n, _ in counts.values()) - updated
        check(deleted)
        touched = sorted(set(counts) | (set(self._present) if everything else set()))
        if not touched and staged:
            touched = self._crumb(staged)
            self._load(touched)
        if not touched:
            return Rewrite(added=staged)
        routed = self._route(staged, keys, touched)
        added = self._write_touched(touched, {i: n for i, (n, _) in counts.items()}, routed)
        failpoints.hit("engine.merge_written")
        return Rewrite([self._handle.files[i] for i in touched], added, deleted, updated)

    def _refuse_own_names(self) -> None:
        """DuckDB numbers the rows of a file in a column of this name, and cannot where the file has one."""
        for column in self._columns:
            if column.name.casefold() == "file_row_number" or column.name.casefold().startswith("__dataloader_"):
                raise DestinationRefusedError(
                    f"The local engine cannot merge into a table with a column called {column.name!r}.",
                    cure="Rename it in a `query`, or leave it out with `columns`, and order load_full.",
                )

    def _register_staged(self, staged: Sequence[DataFile], keys: Sequence[TargetColumn]) -> None:
        wanted = ", ".join(quote(k.name) for k in keys)
        if staged:
            rows = f"SELECT {projection(keys, {k.name.casefold(): k.name for k in keys})} FROM {_files(staged)}"
        else:
            rows = f"SELECT {projection(keys, {})} WHERE false"
        self._duck.run(f"CREATE OR REPLACE TABLE incoming AS SELECT {wanted}, true AS {_MATCHED} FROM ({rows})")

    def _candidates(self, write: Merge, keys: Sequence[TargetColumn]) -> set[int]:
        found = candidates.by_keys(self._duck, self._handle, keys, "incoming")
        for where in (write.delete_where, write.delete_missing_where):
            if where:
                found |= candidates.by_conditions(self._duck, self._handle, where, self._names)
        return found

    def _load(self, files: Sequence[int] | range) -> None:
        """Bring files here and learn which columns each has."""
        new = [i for i in files if i not in self._local]
        for i in new:
            self._local[i] = self._storage.fetch(self._handle.files[i].path)
            self._present[i] = {}
        by_path = {str(self._local[i]): i for i in new}
        if not by_path:
            return
        listed = ", ".join(map(text, by_path))
        # The first row of each file is the schema's root, the only one with children.
        for path, name in self._duck.run(
            f"SELECT file_name, name FROM parquet_schema([{listed}]) WHERE num_children IS NULL"
        ):
            self._present[by_path[path]][name.casefold()] = name

    def _find_hits(self, write: Merge, keys: Sequence[TargetColumn], files: Sequence[int]) -> None:
        """The table ``hit``: touched rows by file and row number, their keys, whether a new row replaces them."""
        conditions = [
            condition_sql(where, self._names) for where in (write.delete_where, write.delete_missing_where) if where
        ]
        names = ", ".join(quote(k.name) for k in keys)
        used = {c.column for c in (*write.delete_where, *write.delete_missing_where)}
        needed = list({c.name: c for c in (*keys, *(self._names[name.casefold()] for name in used))}.values())
        target = self._rows_of(files, needed)
        join, test = f"SEMI JOIN incoming s USING ({names})", ""
        matched = "true"
        if conditions:
            join, matched = f"LEFT JOIN incoming s USING ({names})", f"s.{_MATCHED} IS NOT NULL"
            test = f"WHERE {' OR '.join((matched, *conditions))}"
        self._duck.run(
            f"CREATE OR REPLACE TABLE hit AS SELECT t.{_I}, t.{_ROW}, {matched} AS {_MATCHED}, {names} "
            f"FROM ({target}) t {join} {test}"
        )

    def _rows_of(self, files: Sequence[int], columns: Sequence[TargetColumn]) -> str:
        """These columns of the files' rows, with file and row number. Files of the same columns are one scan."""
        groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for i in files:
            groups.setdefault(tuple(sorted(self._present[i].items())), []).append(i)
        parts = []
        for present, members in groups.items():
            paths = [self._local[i] for i in members]
            numbers = ", ".join(f"({text(self._local[i])}, {i})" for i in members)
            parts.append(
                f"SELECT n.{_I}, file_row_number AS {_ROW}, {projection(columns, dict(present))} "
                f"FROM read_parquet([{', '.join(map(text, paths))}], filename = '__dataloader_path', "
                f"file_row_number = true) r "
                f"JOIN (VALUES {numbers}) n(__dataloader_known, {_I}) "
                f"ON r.__dataloader_path = n.__dataloader_known"
            )
        if not parts:
            return f"SELECT 0 AS {_I}, 0 AS {_ROW}, {projection(columns, {})} WHERE false"
        return " UNION ALL ".join(parts)

    def _crumb(self, staged: Sequence[DataFile]) -> list[int]:
        """A small file to write anew with a few new rows, so that increments do not leave a file each."""
        if sum(f.bytes for f in staged) > _CRUMB:
            return []
        small = [(f.bytes, i) for i, f in enumerate(self._handle.files) if f.bytes < _CRUMB]
        return [min(small)[1]] if small else []

    def _route(
        self, staged: Sequence[DataFile], keys: Sequence[TargetColumn], touched: Sequence[int]
    ) -> dict[int, int]:
        """The table ``routed``: new rows with the file that they go to. Returns rows by file."""
        if not staged:
            self._duck.run(
                f"CREATE OR REPLACE TABLE routed AS SELECT 0 AS {_I}, {projection(self._columns, {})} WHERE false"
            )
            return {}
        names = ", ".join(quote(k.name) for k in keys)
        present = {c.name.casefold(): c.name for c in self._names.values()}
        rows = f"SELECT {projection(self._columns, self._staged_present(staged, present))} FROM {_files(staged)}"
        open_files = [i for i in touched if self._handle.files[i].bytes < _LARGE]
        home = f"SELECT {names}, min({_I}) AS __dataloader_home FROM hit WHERE {_MATCHED} GROUP BY ALL"
        ranged, other = self._ranges(keys[0], open_files)
        columns = ", ".join(f"a.{quote(c.name)}" for c in self._columns)
        self._duck.run(
            f"CREATE OR REPLACE TABLE routed AS SELECT coalesce(a.__dataloader_home, {other}) AS {_I}, {columns} "
            f"FROM (SELECT * FROM ({rows}) LEFT JOIN ({home}) USING ({names})) a {ranged} ORDER BY 1"
        )
        return dict(self._duck.run(f"SELECT {_I}, count(*) FROM routed GROUP BY 1"))

    def _staged_present(self, staged: Sequence[DataFile], names: Mapping[str, str]) -> dict[str, str]:
        here = self._duck.present(staged[0].path)
        return {key: here[key][0] for key in names if key in here}

    def _ranges(self, key: TargetColumn, files: Sequence[int]) -> tuple[str, str]:
        """A join to the file with the next lower bound, and the expression for rows that were nowhere before."""
        if not files:
            return "", str(_NEW)
        if not candidates.has_bounds(self._handle, key):
            return "", str(files[0])
        candidates.make_bounds(self._duck, self._handle, key, files)
        join = f"ASOF LEFT JOIN (SELECT i, lo FROM bounds WHERE lo IS NOT NULL) r ON a.{quote(key.name)} >= r.lo"
        return join, f"coalesce(r.i, {files[0]})"

    def _write_touched(
        self, touched: Sequence[int], gone: Mapping[int, int], routed: Mapping[int, int]
    ) -> list[DataFile]:
        expected: list[int] = []
        jobs: list[tuple[str, Path]] = []
        names = ", ".join(quote(c.name) for c in self._columns)
        for i in touched:
            kept = self._count(i) - gone.get(i, 0)
            parts = [self._kept(i, filtered=bool(gone.get(i)))] if kept else []
            if routed.get(i):
                parts.append(f"SELECT {names} FROM routed WHERE {_I} = {i}")
            if parts:
                jobs.append((" UNION ALL ".join(parts), self._new_path(i)))
                expected.append(kept + routed.get(i, 0))
        if routed.get(_NEW):
            jobs.append((f"SELECT {names} FROM routed WHERE {_I} = {_NEW}", self._new_path("new")))
            expected.append(routed[_NEW])
        failpoints.hit("engine.before_rewrite")
        written = self._duck.parallel(jobs, self._columns)
        if [f.rows for f in written] != expected:
            raise DestinationUnavailableError(
                "A file of the table holds other rows than its log says.", cure="Check the table; nothing was changed."
            )
        return written

    def _kept(self, i: int, *, filtered: bool) -> str:
        path, columns = text(self._local[i]), projection(self._columns, self._present[i])
        if not filtered:
            return f"SELECT {columns} FROM read_parquet({path})"
        return (
            f"SELECT {columns} FROM read_parquet({path}, file_row_number=true) t "
            f"ANTI JOIN (SELECT {_ROW} FROM hit WHERE {_I} = {i}) h ON t.file_row_number = h.{_ROW}"
        )

    def _count(self, i: int) -> int:
        known = self._handle.files[i].rows
        if known is not None:
            return known
        [(rows,)] = self._duck.run(f"SELECT count(*) FROM read_parquet({text(self._local[i])})")
        return int(rows)


def _files(staged: Sequence[DataFile]) -> str:
    return parquet([f.path for f in staged])
