"""One client of the workspace's API for a process, bounded in time, and its errors told apart.

Only paths of the REST API are used, by the SDK's own HTTP client: a Databricks runtime brings an SDK of its own (17.3
LTS: 0.49) that lacks the newer services' methods.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from dataloader_core.redaction import redact_known
from dataloader_core.settings import mask_url

if TYPE_CHECKING:
    from databricks.sdk.core import ApiClient, Config

Kind = Literal[
    "unconfigured",
    "unauthenticated",
    "forbidden",
    "missing",
    "refused",
    "throttled",
    "unavailable",
    "unreachable",
    "silent",
    "tokenless",
    "stranger",
    "full",
]
CALL_SECONDS: Final = 10
RETRY_SECONDS: Final = 20
"""For how long the SDK repeats what is throttled or does not answer; whoever waits may be a sensor's tick."""

_PHRASES: Final[Mapping[Kind, str]] = {
    "unconfigured": "is not named, or no credentials for it were found",
    "unauthenticated": "does not accept the credentials",
    "forbidden": "does not allow it",
    "missing": "has nothing of that name",
    "refused": "refused the request",
    "throttled": "is throttling requests",
    "unavailable": "cannot answer now",
    "unreachable": "cannot be reached",
    "silent": "was not logged in to in time",
    "tokenless": "was not logged in to: whoever issues its tokens gives none now",
    "stranger": "does not answer a login as a workspace does",
    "full": "has no room for more now",
}
_CURES: Final[Mapping[Kind, str]] = {
    "unconfigured": "Set DATABRICKS_HOST with DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET (or DATABRICKS_TOKEN), "
    "or DATABRICKS_CONFIG_PROFILE.",
    "unauthenticated": "Renew what DATABRICKS_TOKEN or DATABRICKS_CLIENT_SECRET holds, or log in again.",
    "forbidden": "Grant it to the identity of DATABRICKS_CLIENT_ID or DATABRICKS_TOKEN.",
    "missing": "Correct the name.",
    "refused": "Correct what it names.",
    "throttled": "Try again later; fewer processes at once help.",
    "unavailable": "Try again later.",
    "unreachable": "Check DATABRICKS_HOST, the network and its proxies.",
    "silent": "Try again later. Whoever issues the tokens does not answer it, or throttles or fails for so long; else "
    "check DATABRICKS_HOST, the network and its proxies.",
    "tokenless": "Try again later; it throttles or fails. The login itself was not refused.",
    "stranger": "Correct DATABRICKS_HOST.",
    "full": "Try again when less runs, let fewer runs go at a time, or have the quota raised.",
}
_OAUTH: Final = re.compile(r"(?:invalid|unauthorized|unsupported|access)_[a-z_]+\b")
"""Codes of a refusal (RFC 6749, 5.2)."""
_OAUTH_OTHER: Final = re.compile(r"(?!unknown\b)[a-z_]+(?=: )")
_FULL: Final = re.compile("(?:QUOTA|RESOURCE_LIMIT)_EXCEEDED")
"""By a status 400, though nothing is wrong with what was asked for."""
_NAMED_ENVIRONMENT: Final = ("DATABRICKS_", "ARM_", "GOOGLE_")


class WorkspaceError(Exception):
    """A call that failed. Plugins make an error of their own of it; no secret is in it.

    Attributes:
        kind: What happened.
        said: The workspace's own words, or nothing.
        problem: One sentence for people.
        cure: What to do, where the caller knows nothing better.
    """

    def __init__(self, kind: Kind, host: str, said: str = "") -> None:
        self.kind = kind
        self.said = said
        self.problem = (
            f"The Databricks workspace {host} {_PHRASES[kind]}{f': {said}' if said else ''}".rstrip(".") + "."
        )
        self.cure = _CURES[kind]
        super().__init__(self.problem)

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later, with nothing changed."""
        return self.kind in ("throttled", "unavailable", "unreachable", "silent", "tokenless", "full")


def is_configured(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process runs on Databricks or has a workspace named; asks nobody."""
    environ = os.environ if environ is None else environ
    if any(environ.get(f"DATABRICKS_{name}") for name in ("RUNTIME_VERSION", "HOST", "CONFIG_PROFILE")):
        return True
    return os.path.isfile(os.path.expanduser(environ.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg"))


def call(
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Sequence[str] = (),
) -> dict[str, Any]:
    """Call the workspace's API; the answer's fields, with the response headers asked for beside them.

    Raises:
        WorkspaceError: it could not be called, or answered with an error.
    """
    client = _client()
    try:
        answer = client.do(
            method,
            path,
            query=dict(query) if query else None,
            body=dict(body) if body else None,
            headers={"Accept": "application/json"},
            response_headers=list(headers),
        )
    except Exception as error:  # noqa: BLE001  # errors of requests, of token sources (ValueError) and the SDK's own
        raise explained(error, str(client._cfg.host)) from None
    return answer if isinstance(answer, dict) else {}


_lock = threading.Lock()
_clients: dict[object, ApiClient] = {}


def _client() -> ApiClient:
    """The client of this process and environment: making one may cost a token, and a fork must not share sockets."""
    named = {k: v for k, v in os.environ.items() if k.startswith(_NAMED_ENVIRONMENT)}
    key = (os.getpid(), tuple(sorted(named.items())))
    with _lock:
        if key not in _clients:
            _clients.clear()
            _clients[key] = _new_client()
        return _clients[key]


def _new_client() -> ApiClient:
    from databricks.sdk.core import ApiClient

    return ApiClient(new_config(CALL_SECONDS, RETRY_SECONDS))


def new_config(call_seconds: int, retry_seconds: int) -> Config:
    """The SDK's own configuration, as its environment variables and profiles have it.

    Raises:
        WorkspaceError: no workspace or no credentials are set, or the login's own endpoint is out of reach.
    """
    from databricks.sdk.core import Config

    from dataloader_databricks import login

    hush()
    host = os.environ.get("DATABRICKS_HOST", "")
    try:
        return Config(
            credentials_strategy=login.BoundedCredentials(login.LOGIN_SECONDS),
            http_timeout_seconds=call_seconds,
            retry_timeout_seconds=retry_seconds,
            product="dataloader",
            # Threads of the SDK that renew tokens keep a process from ending for as long as they hang.
            disable_async_token_refresh=True,
        )
    except (login.LoginTimeoutError, login.LoginFailedError) as error:
        raise explained(error, host) from None
    except Exception as error:  # noqa: BLE001  # every way to log in raises its own, all meaning that it is not set up
        # Their text lists the configuration; which part of it is secret is not for us to guess.
        raise WorkspaceError("unreachable" if _has(error, OSError) else "unconfigured", host) from None


class _NoSecrets(logging.Filter):
    """At level DEBUG the SDK logs what it was answered: tokens for databases, reasons with a URL and its password."""

    def filter(self, record: logging.LogRecord) -> bool:
        first, *rest = record.getMessage().split("\n")
        if rest and "/credentials" in first:
            rest = []
        record.msg, record.args = "\n".join(map(mask_url, [first, *rest])), None
        return True


_no_secrets: Final = _NoSecrets()


def hush() -> None:
    """Keep secrets out of the SDK's debug log. Harmless if called twice."""
    logging.getLogger("databricks.sdk").addFilter(_no_secrets)


def explained(error: BaseException, host: str) -> WorkspaceError:
    """What an error of the SDK, or of what it stands on, means."""
    from databricks.sdk.errors.base import DatabricksError
    from requests import RequestException

    from dataloader_databricks.login import LoginFailedError, LoginTimeoutError

    if isinstance(error, LoginTimeoutError):
        return WorkspaceError("silent", host, str(error))
    if isinstance(error, LoginFailedError):
        return _of_login(error, host)
    if isinstance(error, TimeoutError) and error.__cause__ is not None:
        # What was tried again until the time was over.
        error = error.__cause__
    said = _first_line(error)
    if isinstance(error, DatabricksError):
        return WorkspaceError(_kind(error), host, said)
    if isinstance(error, RequestException | OSError):
        # Their texts repeat the URL in full and say little else.
        return WorkspaceError("unreachable", host, type(error).__name__)
    return WorkspaceError("unavailable", host, type(error).__name__)


def _of_login(error: BaseException, host: str) -> WorkspaceError:
    """What stands behind a login that failed. Texts of those who issue tokens are not repeated, but for OAuth's codes:
    they may hold anything, a page of HTML among it."""
    from databricks.sdk.errors.base import DatabricksError
    from requests import RequestException

    root: BaseException = error
    while root.__cause__ is not None and not isinstance(root, DatabricksError | RequestException):
        root = root.__cause__
    if isinstance(root, DatabricksError):
        found = explained(root, host)
        return WorkspaceError("stranger", host) if found.kind in ("missing", "refused") else found
    if isinstance(root, RequestException):
        return WorkspaceError("unreachable", host, type(root).__name__)
    if isinstance(root, OSError):
        # A program such as az, which nobody has logged in with.
        return WorkspaceError("unconfigured", host)
    said = _first_line(root)
    if _OAUTH.match(said):
        return WorkspaceError("unauthenticated", host, said)
    other = _OAUTH_OTHER.match(said)
    return WorkspaceError("tokenless", host, other[0] if other else "")


def _kind(error: BaseException) -> Kind:
    from databricks.sdk import errors

    if _FULL.search(f"{getattr(error, 'error_code', '')}"):
        return "full"

    kinds: Sequence[tuple[type[Exception], Kind]] = (
        (errors.Unauthenticated, "unauthenticated"),
        (errors.PermissionDenied, "forbidden"),
        (errors.NotFound, "missing"),
        (errors.TooManyRequests, "throttled"),
        (errors.BadRequest, "refused"),
        (errors.ResourceConflict, "refused"),
    )
    return next((kind for cls, kind in kinds if isinstance(error, cls)), "unavailable")


def _first_line(error: BaseException) -> str:
    lines = [line for line in mask_url(redact_known(str(error))).splitlines() if line.strip()]
    return lines[0].strip()[:300] if lines else ""


def _has(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
