"""A table's entry in Unity Catalog, compared with the Delta table that it stands for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataloader_core.commit import TargetColumn
from dataloader_engines.local.types import delta_field

if TYPE_CHECKING:
    from databricks.sdk.service.catalog import ColumnInfo, TableInfo

_TYPE_NAMES: Final = {"smallint": "SHORT", "bigint": "LONG"}
_SCHEMES: Final = {"s3a": "s3", "s3n": "s3", "abfs": "abfss"}


@dataclass(frozen=True)
class Described:
    """What a Delta table says of itself."""

    columns: Sequence[TargetColumn]
    comment: str | None


@dataclass(frozen=True)
class Entry:
    """What Unity Catalog says. Owner, properties, tags and grants are people's and never sent back."""

    info: TableInfo

    def obstacle(self, location: str) -> str | None:
        """Why a load of the table at ``location`` may not have this entry as its own; None: it may."""
        info = self.info
        kind = info.table_type.value if info.table_type else "of an unknown kind"
        if kind != "EXTERNAL":
            return f"is {kind} there, not an external table"
        form = info.data_source_format.value if info.data_source_format else "unknown"
        if form != "DELTA":
            return f"has the format {form} there, not DELTA"
        if _plain(info.storage_location or "") != _plain(location):
            return f"lies at {info.storage_location} there, and this load writes to {location}"
        return None

    @property
    def masked(self) -> tuple[str, ...]:
        """Columns with a mask."""
        return tuple(column.name or "" for column in self.info.columns or () if column.mask)

    def shows(self, described: Described) -> bool:
        """Whether columns, types and comments are the Delta table's. A comment that only people wrote stays."""
        return self._shows_columns(described) and (not described.comment or described.comment == self.info.comment)

    def _shows_columns(self, described: Described) -> bool:
        shown = [(c.name, _type_text(c)) for c in self.info.columns or ()]
        if shown != [(c.name, str(c.type)) for c in described.columns]:
            return False
        comments = self._comments()
        return all(not c.comment or c.comment == comments[c.name] for c in described.columns)

    def changes(self, described: Described) -> dict[str, Any]:
        """The body of an update: only what differs, with people's own comments kept."""
        body: dict[str, Any] = {}
        if described.comment and described.comment != self.info.comment:
            body["comment"] = described.comment
        if not self._shows_columns(described):
            body["columns"] = column_bodies(described.columns, self._comments())
        return body

    def _comments(self) -> dict[str, str | None]:
        return {column.name or "": column.comment for column in self.info.columns or ()}


def new_entry(names: tuple[str, str, str], location: str, described: Described) -> dict[str, Any]:
    """The body that registers an external Delta table."""
    catalog, schema, table = names
    body = {
        "catalog_name": catalog,
        "schema_name": schema,
        "name": table,
        "table_type": "EXTERNAL",
        "data_source_format": "DELTA",
        "storage_location": location,
        "columns": column_bodies(described.columns, {}),
    }
    return body | ({"comment": described.comment} if described.comment else {})


def column_bodies(columns: Sequence[TargetColumn], comments: dict[str, str | None]) -> list[dict[str, Any]]:
    """Columns as the API takes them; ``comments`` are for those that have none of their own."""
    return [_body(column, position, comments.get(column.name)) for position, column in enumerate(columns)]


def _body(column: TargetColumn, position: int, comment: str | None) -> dict[str, Any]:
    kind = column.type
    body: dict[str, Any] = {
        "name": column.name,
        "position": position,
        "nullable": True,
        "type_text": str(kind),
        "type_name": _TYPE_NAMES.get(kind.name, kind.name.upper()),
        "type_json": json.dumps(json.loads(delta_field(column).to_json())),
    }
    if kind.name == "decimal":
        body |= {"type_precision": kind.precision, "type_scale": kind.scale}
    comment = column.comment or comment
    return body | ({"comment": comment} if comment else {})


def location_url(uri: str) -> str:
    """A table's folder as Unity Catalog names it. A folder of this machine becomes ``file://``, which it refuses."""
    if "://" not in uri:
        return Path(uri).as_uri()
    scheme, _, rest = uri.partition("://")
    return f"{_SCHEMES.get(scheme, scheme)}://{rest.rstrip('/')}"


def _plain(url: str) -> str:
    """Locations are the same whatever the spelling of the scheme and of a slash at the end."""
    if url.startswith("file:"):
        return "file:///" + url.removeprefix("file:").strip("/")
    return location_url(url) if "://" in url else url


def _type_text(column: ColumnInfo) -> str:
    return (column.type_text or "").casefold().replace(" ", "")
