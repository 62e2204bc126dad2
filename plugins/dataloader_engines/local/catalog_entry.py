"""A table's entry in Unity Catalog, compared with the Delta table that it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataloader_core.commit import TargetColumn
from dataloader_engines.local.types import delta_field

_TYPE_NAMES: Final = {"smallint": "SHORT", "bigint": "LONG"}
_SCHEMES: Final = {"s3a": "s3", "s3n": "s3", "abfs": "abfss"}


@dataclass(frozen=True)
class Described:
    """What a Delta table says of itself."""

    columns: Sequence[TargetColumn]
    comment: str | None


@dataclass(frozen=True)
class Entry:
    """What Unity Catalog says, as its API answers it. Owner, properties, tags and grants are never sent back."""

    info: Mapping[str, Any]

    def obstacle(self, location: str) -> str | None:
        """Why a load of the table at ``location`` may not have this entry as its own; None: it may."""
        kind, form = self.info.get("table_type"), self.info.get("data_source_format")
        if kind != "EXTERNAL":
            return f"is {kind or 'of an unknown kind'} there, not an external table"
        if form != "DELTA":
            return f"has the format {form or 'unknown'} there, not DELTA"
        place = str(self.info.get("storage_location") or "nowhere")
        if _plain(place) != _plain(location):
            return f"lies at {place} there, and this load writes to {location}"
        return None

    @property
    def masked(self) -> tuple[str, ...]:
        """Columns with a mask."""
        return tuple(column["name"] for column in self._columns if column.get("mask"))

    def shows(self, described: Described) -> bool:
        """Whether columns, types and comments are the Delta table's. A comment that only people wrote stays."""
        return not self.changes(described)

    def changes(self, described: Described) -> dict[str, Any]:
        """The body of an update: only what differs, with people's own comments kept."""
        body: dict[str, Any] = {}
        if described.comment and described.comment != self.info.get("comment"):
            body["comment"] = described.comment
        if not self._shows_columns(described.columns):
            body["columns"] = column_bodies(described.columns, self._comments)
        return body

    def _shows_columns(self, columns: Sequence[TargetColumn]) -> bool:
        # Names are told apart without case by both, and a catalog may keep its own spelling.
        shown = [(c["name"].casefold(), _type_text(c)) for c in self._columns]
        return shown == [(c.name.casefold(), str(c.type)) for c in columns] and all(
            not c.comment or c.comment == self._comments[c.name.casefold()] for c in columns
        )

    @property
    def _columns(self) -> Sequence[Mapping[str, Any]]:
        return self.info.get("columns") or ()

    @property
    def _comments(self) -> dict[str, str | None]:
        return {column["name"].casefold(): column.get("comment") for column in self._columns}


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


def column_bodies(columns: Sequence[TargetColumn], comments: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Columns as the API takes them; ``comments``, by case-folded names, are for those that have none of their own."""
    return [_body(column, position, comments.get(column.name.casefold())) for position, column in enumerate(columns)]


def _body(column: TargetColumn, position: int, comment: str | None) -> dict[str, Any]:
    kind = column.type
    body: dict[str, Any] = {
        "name": column.name,
        "position": position,
        "nullable": True,
        "type_text": str(kind),
        "type_name": _TYPE_NAMES.get(kind.name, kind.name.upper()),
        # The service does not check it, and Spark reads it: it is the field as the Delta log has it.
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


def _type_text(column: Mapping[str, Any]) -> str:
    return str(column.get("type_text") or "").casefold().replace(" ", "")
