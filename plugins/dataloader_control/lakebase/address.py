"""What a ``lakebase://`` URL names.

- ``lakebase://INSTANCE/DATABASE``: a provisioned instance;
- ``lakebase://projects/P/branches/B/endpoints/E/DATABASE``: a compute endpoint of an autoscaling project, by the name
  that Databricks itself gives it.

Behind ``?`` stand parameters of libpq: ``user`` (another role than the token's own identity: a group), ``host``,
``port``, ``sslmode``, ``sslrootcert`` ...
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from dataloader_core.errors import ConfigurationError

DEFAULT_DATABASE: Final = "databricks_postgres"
"""What every Lakebase instance and project begins with."""
_ENDPOINT = re.compile(r"(projects/[^/]+/branches/[^/]+/endpoints/[^/]+)(?:/([^/]*))?")
_INSTANCE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)(?:/([^/]*))?")
_CURE: Final = (
    "Write lakebase://INSTANCE/DATABASE or lakebase://projects/P/branches/B/endpoints/E/DATABASE, with a user, if "
    "any, as ?user=NAME."
)
_CHECKED: Final = "verify-full"
_ENCRYPTED: Final = ("require", "verify-ca", _CHECKED)
_ROOTS: Final = "PGSSLROOTCERT"
_NOT_OURS: Final = ("password", "passfile", "service", "dbname", "sslpassword")


@dataclass(frozen=True)
class Address:
    """``autoscaling``: ``instance`` is the resource name of an endpoint, ``projects/...``."""

    instance: str
    database: str
    autoscaling: bool
    parameters: Mapping[str, str]


def parse(url: str) -> Address:
    """The parts of a ``lakebase://`` URL.

    Raises:
        ConfigurationError: it is of another form, holds a password, or would send the token unencrypted.
    """
    path, _, query = url.partition("://")[2].partition("?")
    endpoint, instance = _ENDPOINT.fullmatch(path), _INSTANCE.fullmatch(path)
    match = endpoint or instance
    if match is None or "@" in path:
        # Not repeated: what stands there may be a password.
        raise ConfigurationError("DATALOADER_CONTROL_URL is no lakebase:// URL of a known form.", cure=_CURE)
    # As libpq reads it, and no form: a plus sign is one.
    parameters = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    _check(parameters)
    return Address(
        instance=unquote(match[1]),
        database=unquote(match[2] or DEFAULT_DATABASE),
        autoscaling=endpoint is not None,
        parameters=_with_roots({"sslmode": _CHECKED} | parameters),
    )


def _with_roots(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """With the certificates that a server's is checked against, where the URL and libpq's own variable name none.

    A file and not libpq's ``system``: that takes libpq 16, and the OpenSSL inside of psycopg's wheels looks for the
    system's in a folder that no machine has.
    """
    if not parameters["sslmode"].startswith("verify-") or "sslrootcert" in parameters or os.environ.get(_ROOTS):
        return parameters
    return {**parameters, "sslrootcert": trusted_roots()}


def trusted_roots() -> str:
    """The file of public authorities: the machine's, which ``SSL_CERT_FILE`` names if it is set, else certifi's, which
    the SDK brings."""
    if found := ssl.get_default_verify_paths().cafile:
        return found
    import certifi

    return certifi.where()


def _check(parameters: Mapping[str, str]) -> None:
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    if found := sorted(set(_NOT_OURS) & set(parameters)):
        raise ConfigurationError(
            f"DATALOADER_CONTROL_URL gives {', '.join(found)}; on Lakebase the password is a token that is fetched.",
            cure="Leave it out.",
        )
    if (mode := parameters.get("sslmode", _CHECKED)) not in _ENCRYPTED:
        raise ConfigurationError(
            f"DATALOADER_CONTROL_URL has sslmode={mode}; the token would travel in the clear.",
            cure=f"Write one of {', '.join(_ENCRYPTED)}, or leave it out.",
        )
    try:
        make_conninfo(**parameters)
    except ProgrammingError as error:
        raise ConfigurationError(
            f"DATALOADER_CONTROL_URL: {str(error).strip()}.", cure="Behind ? stand parameters of libpq."
        ) from None
