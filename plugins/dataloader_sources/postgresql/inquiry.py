"""Questions about a read, asked in a snapshot: what its columns hold, and why reading it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import errors as pg

from dataloader_core.errors import DataLoaderError
from dataloader_core.interfaces.source import ColumnStats, Tally, Unrepresentable
from dataloader_core.plan import Column, HighestRead, Read
from dataloader_core.values import Value
from dataloader_sources.postgresql import probes
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.errors import translate
from dataloader_sources.postgresql.failures import Diagnosis
from dataloader_sources.postgresql.guards import guard_condition
from dataloader_sources.postgresql.statistics import may_hold_unrepresentable

_PROBES_AT_ONCE = 500
"""A SELECT has at most 1,664 columns."""


class Inquiry:
    """Asks through a connection whose transaction sees the snapshot. A failed question leaves it as it was."""

    def __init__(self, dialect: Postgres, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._dialect = dialect
        self._connection = connection

    def ask(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Rows of a question.

        Raises:
            DataLoaderError: what the server's error means.
        """
        try:
            with self._connection.transaction():
                return self._connection.execute(sql.encode(), parameters).fetchall()
        except psycopg.Error as error:
            problem = translate(error)
        raise problem

    def unrepresentable(self, read: Read, stats: Mapping[str, ColumnStats] | None) -> Sequence[Unrepresentable]:
        """See :meth:`~dataloader_core.interfaces.source.SourceSnapshot.unrepresentable`."""
        nulled = read.on_unrepresentable == "null"
        suspicions = [
            probes.Suspicion(column, kind, condition)
            for column in read.columns
            if column.guards
            and (stats is None or may_hold_unrepresentable(column, stats.get(column.target), nulled=nulled))
            for kind, condition in guard_condition(self._dialect, column)
        ]
        found: list[Unrepresentable] = []
        for start in range(0, len(suspicions), _PROBES_AT_ONCE):
            some = suspicions[start : start + _PROBES_AT_ONCE]
            counts = self.ask(probes.count_suspicions(self._dialect, read, some))[0]
            found += [Unrepresentable(s.column.name, s.kind, n) for s, n in zip(some, counts, strict=True) if n]
        return found

    def tally(self, read: Read, rule: HighestRead | None, column: Column | None) -> Tally:
        """One pass over the rows; a second one only where it met a value that cannot be held, to name it.

        Args:
            column: The rule's.
        """
        upto, inclusive = (rule.upto, rule.inclusive) if rule is not None else (None, True)
        [told] = self.ask(probes.tally(self._dialect, read, column, upto, inclusive=inclusive))
        rows, refused, high, above = (*told, None, 0)[:4]
        highest = None if column is None or high is None else Value(column.type, high)
        return Tally(rows, highest, above, self.unrepresentable(read, None) if refused else ())

    def diagnosis(self, read: Read) -> Diagnosis:
        """Ways to find out why reading these rows failed."""
        return Diagnosis(
            replay=self._replay,
            guarded=lambda: self.unrepresentable(replace(read, on_unrepresentable="fail"), None),
            not_text=lambda: self._not_text(read),
        )

    def _replay(self, sql: str) -> DataLoaderError | None:
        """Read the rows again, to nowhere, for the server's own error code; None where that works."""
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                with cursor.copy(f"COPY (\n{sql}\n) TO STDOUT (FORMAT binary)".encode()) as copy:
                    for _ in copy:
                        pass
                return None
        except psycopg.Error as error:
            return translate(error)

    def _not_text(self, read: Read) -> Column | None:
        for column in read.columns:
            if column.type.name != "string":
                continue
            try:
                with self._connection.transaction():
                    self._connection.execute(probes.check_text(self._dialect, read, column).encode())
            except (pg.CharacterNotInRepertoire, pg.UntranslatableCharacter):
                return column
            except psycopg.Error:
                return None
        return None
