"""Secrets of a Databricks secret scope: by ``dbutils`` on a cluster, by the REST API elsewhere."""

from __future__ import annotations

import base64
import binascii
import importlib.util
import os
import re
from typing import Any, Final

from pydantic import SecretStr

from dataloader_core.errors import DataLoaderError, SecretError, SecretUnavailableError
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_databricks.workspace import WorkspaceError, call

_NAME = re.compile(r"[\w.@/-]{1,128}", re.ASCII)
"""What Databricks allows for scopes and keys."""
_READ: Final = "Give the identity that loads READ on the scope: `databricks secrets put-acl SCOPE IDENTITY READ`."


class DatabricksScope(SecretBackend):
    """A name is a key of the scope. A scope may be kept by Databricks, or be a view of an Azure Key Vault."""

    name = "databricks"

    def __init__(self, scope: str | None) -> None:
        super().__init__(scope)
        if not scope or not _NAME.fullmatch(scope):
            raise SecretError(
                f"{scope!r} is no name of a Databricks secret scope.", cure="Write 'databricks:SCOPE' for db_kv_scope."
            )
        self._scope = scope

    def get(self, name: str) -> SecretStr:
        if not _NAME.fullmatch(name):
            raise SecretError(
                f"{name!r} is no name of a secret in the Databricks scope {self._scope!r}.",
                cure="Keys have up to 128 letters, digits and the characters - _ . @ /.",
            )
        dbutils = _dbutils()
        data = self._ask_api(name) if dbutils is None else self._ask_cluster(dbutils, name)
        try:
            value = data.decode("utf-8")
        except UnicodeDecodeError:
            raise SecretError(
                f"The secret {name!r} in the Databricks scope {self._scope!r} is not UTF-8 text.",
                cure="Store it as text, with `databricks secrets put-secret`; binary content as base64.",
            ) from None
        if not value:
            raise SecretError(
                f"The secret {name!r} in the Databricks scope {self._scope!r} is empty.", cure="Write a value into it."
            )
        return SecretStr(value)

    def _ask_api(self, name: str) -> bytes:
        try:
            answer = call("GET", "/api/2.0/secrets/get", query={"scope": self._scope, "key": name})
        except WorkspaceError as error:
            raise self._explained(name, error) from None
        try:
            return base64.b64decode(str(answer.get("value", "")), validate=True)
        except binascii.Error:
            raise SecretError(f"The workspace's answer for the secret {name!r} is not base64.") from None

    def _explained(self, name: str, error: WorkspaceError) -> DataLoaderError:
        if error.kind == "missing":
            return self._missing(name, error.said)
        if error.transient:
            return SecretUnavailableError(f"{self._not_read(name)}: {error.problem}", cure=error.cure)
        cure = _READ if error.kind == "forbidden" else error.cure
        return SecretError(f"{self._not_read(name)}: {error.problem}", cure=cure)

    def _ask_cluster(self, dbutils: Any, name: str) -> bytes:
        try:
            return bytes(dbutils.secrets.getBytes(self._scope, name))
        except Exception as error:  # noqa: BLE001  # classes of the JVM's bridge
            # Errors of the JVM, in classes of Py4J or of Spark Connect: only their text tells them apart, and it is
            # not repeated, since nobody promises what is in it.
            said = str(error)
        if "does not exist" in said:
            raise self._missing(name, said)
        if re.search("permission|forbidden|not authorized|403", said, re.IGNORECASE):
            raise SecretError(f"{self._not_read(name)}: the identity that loads may not read it.", cure=_READ)
        raise SecretUnavailableError(f"{self._not_read(name)}: dbutils failed.", cure="Try again later.")

    def _missing(self, name: str, said: str) -> SecretError:
        if re.search(r"\bscope\b.*does not exist", said, re.IGNORECASE) and "with scope" not in said:
            return SecretError(
                f"There is no Databricks secret scope {self._scope!r}.",
                cure="Correct db_kv_scope, or create it: `databricks secrets create-scope`.",
            )
        return SecretError(
            f"There is no secret {name!r} in the Databricks scope {self._scope!r}.",
            cure=f"Write it there: `databricks secrets put-secret {self._scope} {name}`.",
        )

    def _not_read(self, name: str) -> str:
        return f"The secret {name!r} in the Databricks scope {self._scope!r} cannot be read"


def _dbutils() -> Any:
    """The cluster's own ``dbutils``, or None elsewhere: the SDK's copy of it starts sessions when it is imported."""
    if not os.environ.get("DATABRICKS_RUNTIME_VERSION") or importlib.util.find_spec("dbruntime") is None:
        return None
    from databricks.sdk import runtime

    return None if runtime.is_local_implementation else getattr(runtime, "dbutils", None)
