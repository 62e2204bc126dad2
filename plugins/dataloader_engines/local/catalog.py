"""Unity Catalog, over REST by the Databricks SDK: external tables registered, columns and comments kept in step."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from dataloader_core.errors import DestinationRefusedError, MissingDriverError
from dataloader_core.interfaces.source import Check
from dataloader_engines.local.catalog_entry import Described, Entry, location_url, new_entry
from dataloader_engines.local.catalog_errors import catalog_errors, no_login
from dataloader_engines.local.settings import LocalSettings

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_TABLES: Final = "/api/2.1/unity-catalog/tables"


class UnityCatalog:
    """One workspace's catalog, shared by the threads of a process. Nothing is asked before the first table.

    The SDK renews the tokens of a service principal, and repeats what is throttled for as long as the settings say.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self._patience = settings.unity_catalog_patience_seconds
        self._lock = threading.Lock()
        self._made: WorkspaceClient | None = None

    def find(self, names: tuple[str, str, str], uri: str) -> Entry | None:
        """The table's entry, or None where its schema has none of that name.

        Raises:
            DestinationRefusedError: there is no such schema, no grant to see it, or the name is another table's.
        """
        full, schema = ".".join(names), ".".join(names[:2])
        grants = f"USE CATALOG on {names[0]}, USE SCHEMA on {schema} and SELECT on {full}"
        with catalog_errors(f"show {full}", grants=grants):
            client = self._client()
            from databricks.sdk.errors import NotFound

            try:
                entry = Entry(client.tables.get(full))
            except NotFound:
                self._must_exist(client, schema)
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
        grants = (
            f"USE CATALOG on {names[0]}; USE SCHEMA, CREATE TABLE and EXTERNAL USE SCHEMA on {schema}; "
            "CREATE EXTERNAL TABLE and EXTERNAL USE LOCATION on the external location of DATALOADER_LAKE"
        )
        with catalog_errors(f"register {full}", grants=grants):
            client = self._client()
            from databricks.sdk.errors import ResourceConflict
            from databricks.sdk.errors.base import DatabricksError
            from databricks.sdk.service.catalog import TableInfo

            try:
                # Released SDKs that dagster-databricks allows have no method for it.
                made = client.api_client.do("POST", _TABLES, body=new_entry(names, location_url(uri), described))
                assert isinstance(made, dict)
                return Entry(TableInfo.from_dict(made))
            except DatabricksError as error:
                exists = isinstance(error, ResourceConflict) or "ALREADY_EXISTS" in (error.error_code or "")
                found = self.find(names, uri) if exists else None
                if found is None:
                    raise
                return found

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
        with catalog_errors(f"change columns and comments of {full}", grants=f"MODIFY on {full}, or its ownership"):
            client = self._client()
            client.api_client.do("PATCH", f"{_TABLES}/{full}", body=body)
            entry = Entry(client.tables.get(full))
        if not entry.shows(described):
            raise DestinationRefusedError(
                f"Unity Catalog took the change of {full} and does not show it.", cure=_repair(full)
            )
        return entry

    def check(self) -> Check:
        """Whether the workspace answers this login and has a catalog."""
        with catalog_errors("say which metastore the workspace has", grants="a login to the workspace"):
            assigned = self._client().metastores.current()
        return Check("unity catalog", True, f"{self._client().config.host}, metastore {assigned.metastore_id}")

    def _must_exist(self, client: WorkspaceClient, schema: str) -> None:
        from databricks.sdk.errors import NotFound

        try:
            client.schemas.get(schema)
        except NotFound:
            raise DestinationRefusedError(
                f"Unity Catalog has no schema {schema}.", cure=f"Create it: CREATE SCHEMA {schema}."
            ) from None

    def _client(self) -> WorkspaceClient:
        with self._lock:
            if self._made is None:
                self._made = _connect(self._patience)
            return self._made


def _connect(patience: int) -> WorkspaceClient:
    try:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.config import Config
    except ImportError:
        raise MissingDriverError(
            "DATALOADER_UNITY_CATALOG is on, and databricks-sdk is not installed.",
            cure="Install with: pip install 'dataloader-core[databricks]'",
        ) from None
    try:
        config = Config(retry_timeout_seconds=patience, http_timeout_seconds=30, product="dataloader")
        return WorkspaceClient(config=config)
    except ValueError:
        # Its text quotes the whole configuration.
        raise no_login() from None


def _repair(full: str) -> str:
    return f"Run REPAIR TABLE {full} SYNC METADATA on a SQL warehouse."
