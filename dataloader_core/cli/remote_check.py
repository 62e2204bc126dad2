"""``apply --check``: whether the sources have the tables and columns that a file names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dataloader_core.errors import DataLoaderError
from dataloader_core.plan import Relation
from dataloader_core.tables_file import Entry, Known, Problem, TablesFileError
from dataloader_core.tables_file.checking import merged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dataloader_core.app import App
    from dataloader_core.interfaces.source import SourceSession

_SINGLE = ("incremental_column", "rolling_column", "partition_column")


def check_sources(app: App, entries: Sequence[Entry], file: str) -> None:
    """Raises TablesFileError with every table and column that is not there."""
    from dataloader_core.loading.source_access import SourceAccess

    sources = {source.db_config_key: source for source in app.control.sources()}
    known = Known(app.registry, sources, app.control.rows())
    rows = [(entry, merged(entry, known)) for entry in entries]
    problems: list[Problem] = []
    for name in dict.fromkeys(row["db_config_key"] for _, row in rows):
        access = SourceAccess(sources[name], app.registry, app.settings)
        with access.session(f"dataloader apply --check {name}") as session:
            for entry, row in rows:
                if row["db_config_key"] == name:
                    problems.extend(_problems(session, entry, row))
    if problems:
        raise TablesFileError(file, problems)


def _problems(session: SourceSession, entry: Entry, row: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        table = session.describe(_relation(row), row.get("columns") or None)
    except DataLoaderError as error:
        yield entry.problem(str(error), "source_table_name")
        return
    wanted = [(field, row[field]) for field in _SINGLE if row.get(field)]
    wanted += [("primary_key_cols", name) for name in row.get("primary_key_cols") or ()]
    for field, name in wanted:
        try:
            table.column(name)
        except DataLoaderError as error:
            yield entry.problem(str(error), field)


def _relation(row: Mapping[str, Any]) -> Relation:
    if row.get("query"):
        return Relation(query=row["query"])
    return Relation(row.get("source_table_schema") or "", row["source_table_name"], row.get("source_table_catalog"))
