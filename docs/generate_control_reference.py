"""Writes ``docs/reference/control-database.md`` from a control database's own catalog.

    python docs/generate_control_reference.py [libpq URI]

The database must have been made ready by ``dataloader init``; without a URI an embedded one is made for the moment. A
test compares the file with what this makes, so the page cannot drift from ``sql/``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from dataloader_core.settings import EMBEDDED, Settings

PAGE = Path(__file__).parent / "reference" / "control-database.md"
INTRODUCTION = """\
# Control database

Made by `docs/generate_control_reference.py` from the comments in `sql/`; change those, not this page.

The schema `control`. `dataloader init` makes it; the files can be run by `psql` as well
([Deploy](../how-to/deploy.md)). Whoever writes rows by SQL gets everything that the command line gives. What may not be
written is refused by constraints and triggers, with the cure as the error's HINT.

A row of `table_control` that SQL adds needs only these:

```sql title="control database"
INSERT INTO control.table_control (
    db_config_key, source_table_schema, source_table_name,
    destination_table_catalog, destination_table_name, load_strategy, control_key
) VALUES ('crm', 'public', 'countries', 'bronze', 'lands', 'full', 'lands');
```

```console
$ dataloader load lands
Succeeded lands: 4 rows, ...
1 of 1 tables loaded.
```
"""

_RELATIONS = """
SELECT c.oid, c.relname, c.relkind = 'v', pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c WHERE c.relnamespace = 'control'::regnamespace AND c.relkind IN ('r', 'v')
ORDER BY c.relkind, c.relname
"""
_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attidentity <> '' THEN 'generated'
            WHEN d.adbin IS NOT NULL THEN '`' || pg_catalog.pg_get_expr(d.adbin, d.adrelid) || '`'
            WHEN a.attnotnull THEN 'required' END, pg_catalog.col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_FUNCTIONS = """
SELECT p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
       pg_catalog.obj_description(p.oid, 'pg_proc')
FROM pg_catalog.pg_proc p
WHERE p.pronamespace = 'control'::regnamespace AND p.prorettype <> 'trigger'::regtype ORDER BY 1
"""


def page(connection: psycopg.Connection[Any]) -> str:
    """The whole page."""
    return "\n".join(_lines(connection)) + "\n"


def _lines(connection: psycopg.Connection[Any]) -> Iterator[str]:
    yield INTRODUCTION.rstrip("\n")
    for oid, name, is_view, comment in connection.execute(_RELATIONS).fetchall():
        yield from ("", f"## {name}", "", f"{'A view. ' if is_view else ''}{_cell(comment)}", "")
        yield from _columns(connection, oid, is_view)
    yield from ("", "## Functions", "", "| function | |", "|---|---|")
    for signature, comment in connection.execute(_FUNCTIONS).fetchall():
        yield f"| `{signature}` | {_cell(comment)} |"


def _columns(connection: psycopg.Connection[Any], oid: int, is_view: bool) -> Iterator[str]:
    found = connection.execute(_COLUMNS, (oid,)).fetchall()
    if is_view:
        yield "Columns: " + ", ".join(f"`{name}`" for name, *_ in found) + "."
        return
    yield from ("| column | type | default | |", "|---|---|---|---|")
    for name, kind, default, comment in found:
        yield f"| `{name}` | {kind} | {_cell(default)} | {_cell(comment)} |"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def write(url: str) -> None:
    with psycopg.connect(url) as connection:
        PAGE.write_text(page(connection), encoding="utf-8")


def main() -> None:
    if len(sys.argv) > 1:
        write(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DATALOADER_CONTROL_URL": EMBEDDED}
        command = [sys.executable, "-m", "dataloader_core.cli.main", "init"]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        write(Settings(control_url=SecretStr(EMBEDDED)).resolve_control_url(Path(folder)))


if __name__ == "__main__":
    main()
