"""``unity-catalog``: catalogs, schemas and tables with owners, comments and the grants that calls take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.databricks.workspace.routing import ApiError, Request, route

if TYPE_CHECKING:
    from tests.databricks.workspace.server import Workspace

_API = "/api/2.1/unity-catalog"
_CREATES = ("catalog_name", "schema_name", "name", "table_type", "data_source_format")
_CHANGES = ("comment", "columns", "owner", "properties")
_KINDS = ("Catalog", "Schema", "Table")


class UnityCatalog:
    """Everything is granted to everybody until it is denied.

    Attributes:
        tables: By full name in lower case, as a table's information is answered.
        deaf: Updates are answered with success and forgotten.
    """

    def __init__(self, _: Workspace) -> None:
        self.schemas: set[str] = {"bronze.crm"}
        self.tables: dict[str, dict[str, Any]] = {}
        self.deaf = False
        self._denied: set[tuple[str, str]] = set()

    def deny(self, privilege: str, securable: str) -> None:
        self._denied.add((privilege, securable))

    def grant(self, privilege: str, securable: str) -> None:
        self._denied.discard((privilege, securable))

    def need(self, privilege: str, securable: str) -> None:
        if (privilege, securable) in self._denied:
            kind = _KINDS[securable.count(".")]
            raise ApiError(403, "PERMISSION_DENIED", f"User does not have {privilege} on {kind} '{securable}'.")

    def enter(self, schema: str) -> None:
        """What every call below a schema takes."""
        catalog = schema.partition(".")[0]
        if not any(name.partition(".")[0] == catalog for name in self.schemas):
            raise ApiError(404, "CATALOG_DOES_NOT_EXIST", f"Catalog '{catalog}' does not exist.")
        self.need("USE CATALOG", catalog)
        if schema not in self.schemas:
            raise ApiError(404, "SCHEMA_DOES_NOT_EXIST", f"Schema '{schema}' does not exist.")
        self.need("USE SCHEMA", schema)

    def table(self, full: str) -> dict[str, Any]:
        full = full.lower()
        self.enter(full.rpartition(".")[0])
        if full not in self.tables:
            raise ApiError(404, "TABLE_DOES_NOT_EXIST", f"Table '{full}' does not exist.")
        return self.tables[full]

    def put(self, full: str, **fields: Any) -> dict[str, Any]:
        """A table that somebody else made."""
        catalog, schema, name = full.split(".")
        entry = {
            "catalog_name": catalog, "schema_name": schema, "name": name, "full_name": full, "owner": "somebody",
            "table_type": "EXTERNAL", "data_source_format": "DELTA", "columns": [], **fields,
        }  # fmt: skip
        self.tables[full] = entry
        return entry


@route("GET", f"{_API}/current-metastore-assignment")
def metastore(workspace: Workspace, request: Request) -> dict[str, Any]:
    return {"metastore_id": "11111111-2222-3333-4444-555555555555", "workspace_id": 1}


@route("GET", f"{_API}/schemas/{{full}}")
def get_schema(workspace: Workspace, request: Request) -> dict[str, Any]:
    full = request.parts["full"].lower()
    workspace.state(UnityCatalog).enter(full)
    catalog, _, name = full.partition(".")
    return {"full_name": full, "catalog_name": catalog, "name": name}


@route("GET", f"{_API}/tables/{{full}}")
def get_table(workspace: Workspace, request: Request) -> dict[str, Any]:
    catalog = workspace.state(UnityCatalog)
    found = catalog.table(request.parts["full"])
    catalog.need("SELECT", found["full_name"])
    return found


@route("POST", f"{_API}/tables")
def create_table(workspace: Workspace, request: Request) -> dict[str, Any]:
    catalog, body = workspace.state(UnityCatalog), request.json()
    if missing := [name for name in _CREATES if not body.get(name)]:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Missing required fields: {', '.join(missing)}.")
    schema = f"{body['catalog_name']}.{body['schema_name']}".lower()
    full = f"{schema}.{body['name']}".lower()
    catalog.enter(schema)
    for privilege in ("CREATE TABLE", "EXTERNAL USE SCHEMA"):
        catalog.need(privilege, schema)
    if full in catalog.tables:
        raise ApiError(409, "TABLE_ALREADY_EXISTS", f"Table '{full}' already exists.")
    location = _location(body)
    if other := next((n for n, t in catalog.tables.items() if t.get("storage_location") == location), None):
        raise ApiError(400, "LOCATION_OVERLAP", f"Input path url '{location}' overlaps with table '{other}'.")
    made = body | {"full_name": full, "name": body["name"].lower(), "owner": request.user, "columns": _columns(body)}
    catalog.tables[full] = made
    return made


@route("PATCH", f"{_API}/tables/{{full}}")
def update_table(workspace: Workspace, request: Request) -> dict[str, Any]:
    catalog, body = workspace.state(UnityCatalog), request.json()
    found = catalog.table(request.parts["full"])
    catalog.need("MODIFY", found["full_name"])
    if not catalog.deaf:
        if "columns" in body:
            _columns(body)
        found.update({name: body[name] for name in _CHANGES if name in body})
    return found


def _location(body: dict[str, Any]) -> str:
    location = str(body.get("storage_location") or "")
    if body["table_type"] != "EXTERNAL" or "://" not in location:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", "Only external tables with a storage location can be created.")
    return location


def _columns(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The columns, if Spark could read them: the real service does not check, and fails when somebody reads."""
    columns: list[dict[str, Any]] = body.get("columns") or []
    for position, column in enumerate(columns):
        field = json.loads(column["type_json"])
        if (field["name"], column["position"]) != (column["name"], position) or not column["type_text"]:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Column {column['name']} contradicts itself.")
    return columns
