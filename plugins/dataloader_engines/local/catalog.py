"""Unity Catalog over REST: external tables registered, their columns and comments kept in step."""

from __future__ import annotations

from typing import Final

from dataloader_core.errors import (
    ConfigurationError,
    DataLoaderError,
    DestinationRefusedError,
    DestinationUnavailableError,
    MissingDriverError,
)
from dataloader_core.interfaces.source import Check
from dataloader_databricks.workspace import WorkspaceError, call
from dataloader_engines.local.catalog_entry import Described, Entry, location_url, new_entry

_API: Final = "/api/2.1/unity-catalog"
_TABLES: Final = f"{_API}/tables"


class UnityCatalog:
    """The tables of the workspace that the environment names, by the client that all parts of DataLoader share."""

    def __init__(self) -> None:
        try:
            import databricks.sdk  # noqa: F401  # is it there?
        except ImportError:
            raise MissingDriverError(
                "DATALOADER_UNITY_CATALOG is on, and databricks-sdk is not installed.",
                cure="Install with: pip install 'dataloader-core[databricks]'",
            ) from None

    def find(self, names: tuple[str, str, str], uri: str) -> Entry | None:
        """The table's entry, or None where its schema has none of that name.

        Raises:
            DestinationRefusedError: there is no such schema, no grant to see it, or the name is another table's.
        """
        full, schema = ".".join(names), ".".join(names[:2])
        grants = f"USE CATALOG on {names[0]}, USE SCHEMA on {schema} and SELECT on {full}"
        try:
            entry = Entry(call("GET", f"{_TABLES}/{full}"))
        except WorkspaceError as error:
            if error.kind != "missing":
                raise _told(f"show {full}", grants, error) from None
            self._must_exist(schema, grants)
            return None
        if obstacle := entry.obstacle(location_url(uri)):
            raise DestinationRefusedError(
                f"{full} is in Unity Catalog already, and {obstacle}.",
                cure="Choose another destination, rename or drop that table, or correct DATALOADER_LAKE.",
            )
        return entry

    def create(self, names: tuple[str, str, str], uri: str, described: Described) -> Entry:
        """Register the table; where somebody did meanwhile, theirs is taken if it is this very table."""
        full, schema = ".".join(names), ".".join(names[:2])
        try:
            return Entry(call("POST", _TABLES, body=new_entry(names, location_url(uri), described)))
        except WorkspaceError as error:
            # It may be there: by another load, or by a request of this one whose answer was lost.
            found = self.find(names, uri) if error.kind == "refused" else None
            if found is not None:
                return found
            grants = (
                f"USE CATALOG on {names[0]}; USE SCHEMA, CREATE TABLE and EXTERNAL USE SCHEMA on {schema}; "
                "CREATE EXTERNAL TABLE and EXTERNAL USE LOCATION on the external location of DATALOADER_LAKE"
            )
            raise _told(f"register {full}", grants, error) from None

    def follow(self, names: tuple[str, str, str], entry: Entry, described: Described) -> Entry:
        """Bring columns and comments of the entry to what the Delta table has.

        Raises:
            DestinationRefusedError: it may not be changed so, or the catalog did not take it.
        """
        full = ".".join(names)
        body = entry.changes(described)
        if "columns" in body and entry.masked:
            raise DestinationRefusedError(
                f"{full} has masks in Unity Catalog (on {', '.join(entry.masked)}), which rewriting its columns could "
                "lose.",
                cure=_repair(full),
            )
        try:
            call("PATCH", f"{_TABLES}/{full}", body=body)
            entry = Entry(call("GET", f"{_TABLES}/{full}"))
        except WorkspaceError as error:
            grants = f"MODIFY on {full}, or its ownership"
            raise _told(f"change columns and comments of {full}", grants, error) from None
        if not entry.shows(described):
            raise DestinationRefusedError(
                f"Unity Catalog took the change of {full} and does not show it.", cure=_repair(full)
            )
        return entry

    def check(self) -> Check:
        """Whether the workspace answers this login and has a catalog."""
        try:
            assigned = call("GET", f"{_API}/current-metastore-assignment")
        except WorkspaceError as error:
            return Check("unity catalog", False, error.problem, error.cure)
        return Check("unity catalog", True, f"metastore {assigned.get('metastore_id')}")

    def _must_exist(self, schema: str, grants: str) -> None:
        try:
            call("GET", f"{_API}/schemas/{schema}")
        except WorkspaceError as error:
            if error.kind != "missing":
                raise _told(f"show the schema {schema}", grants, error) from None
            raise DestinationRefusedError(
                f"Unity Catalog has no schema {schema}.", cure=f"Create it: CREATE SCHEMA {schema}."
            ) from None


def _told(doing: str, grants: str, error: WorkspaceError) -> DataLoaderError:
    """What a load says. ``doing`` ends "Unity Catalog refuses to ..."; ``grants`` are those that it takes."""
    if error.kind == "unconfigured":
        return ConfigurationError(f"DATALOADER_UNITY_CATALOG is on. {error.problem}", cure=error.cure)
    if error.transient:
        return DestinationUnavailableError(f"Unity Catalog could not {doing}. {error.problem}", cure=error.cure)
    # A token that was revoked is answered by 403, as a missing grant is.
    if error.kind == "unauthenticated" or "access token" in error.said:
        return DestinationRefusedError(
            error.problem, cure="Renew what DATABRICKS_TOKEN or DATABRICKS_CLIENT_SECRET holds."
        )
    said = error.said.rstrip(".") or error.problem.rstrip(".")
    cure = f"It takes {grants}." if error.kind == "forbidden" else f"Correct what it names. The call takes {grants}."
    return DestinationRefusedError(f"Unity Catalog refuses to {doing}: {said}.", cure=cure)


def _repair(full: str) -> str:
    return f"Run REPAIR TABLE {full} SYNC METADATA on a SQL warehouse."
