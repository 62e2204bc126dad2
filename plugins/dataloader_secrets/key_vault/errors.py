"""What an answer of Key Vault, or none, means for whoever configured the source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from dataloader_core.errors import DataLoaderError, SecretError, SecretUnavailableError

_NO_SUCH_HOST = re.compile(r"Failed to resolve .*\[Errno (?:-2|-5|8|11001)\]|Name or service not known")
_FORBIDDEN: Final[Mapping[str, tuple[str, str]]] = {
    "SecretDisabled": ("is disabled", "Enable it in the vault, or name another secret."),
    "SecretExpired": ("has expired", "Write a new version of it."),
    "SecretNotYetValid": ("is not valid yet", "Correct its activation date."),
    "ForbiddenByFirewall": (
        "cannot be read: the vault's firewall does not admit this machine",
        "Add its address or network to the vault's firewall, or use a private endpoint.",
    ),
    "ForbiddenByConnection": (
        "cannot be read: the vault does not admit connections from this network",
        "Use its private endpoint, or allow public access.",
    ),
}
"""By the inner code of a 403."""
_NO_ACCESS: Final = (
    "cannot be read: this identity has no access",
    "Give it the role 'Key Vault Secrets User' on the vault, or the permission 'get' in its access policy.",
)


def explained(error: Exception, vault: str, name: str, trouble: str | None = None) -> DataLoaderError:
    """The error of ours for one of the client's. Its own text is not repeated: it lists what was tried to log in.

    Args:
        trouble: What is wrong with whoever gives the tokens, if anything: an error of the login does not say it.
    """
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    status = getattr(error, "status_code", None)
    if isinstance(error, HttpResponseError) and status is not None:
        return _answered(error, int(status), vault, name)
    if isinstance(error, ClientAuthenticationError) and trouble:
        return SecretUnavailableError(
            f"No login to {vault}: the identity provider {trouble}.",
            cure="Try again later; if it stays, check the network from here to the provider.",
        )
    if isinstance(error, ClientAuthenticationError):
        return SecretError(
            f"No Azure credentials were found for {vault}, or they were refused.",
            cure="Run with a managed or workload identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
            "AZURE_CLIENT_SECRET, or log in with `az login`.",
        )
    if isinstance(error, ValueError):
        # The client does not send a token where the challenge is not of the vault's own cloud.
        return SecretError(f"{vault} does not answer as an Azure Key Vault does.", cure="Correct db_kv_scope.")
    return _unreachable(error, vault)


def _answered(error: Any, status: int, vault: str, name: str) -> DataLoaderError:
    secret = f"The secret {name!r} in {vault}"
    if status == 404:
        return SecretError(f"{secret} does not exist.", cure="Correct the name, or write the secret into the vault.")
    if status == 403:
        why, cure = _FORBIDDEN.get(_inner_code(error), _NO_ACCESS)
        return SecretError(f"{secret} {why}.", cure=cure)
    if status == 401:
        return SecretError(
            f"{vault} does not accept the token of this identity.",
            cure="See that the identity is of the vault's own tenant, and that its credentials have not expired.",
        )
    if status == 429:
        return SecretUnavailableError(f"{vault} is throttling requests.", cure="Try again later.")
    if status >= 500:
        return SecretUnavailableError(f"{vault} cannot answer now (status {status}).", cure="Try again later.")
    return SecretError(f"{secret} was refused with status {status}.", cure="Correct the name or the vault.")


def _inner_code(error: Any) -> str:
    """The code inside the code, for instance ForbiddenByRbac inside Forbidden."""
    inner = getattr(getattr(error, "error", None), "innererror", None)
    return str(inner.get("code", "")) if isinstance(inner, Mapping) else ""


def _unreachable(error: Exception, vault: str) -> DataLoaderError:
    text = str(error)
    if _NO_SUCH_HOST.search(text):
        return SecretError(
            f"There is no vault {vault}: its name cannot be resolved.",
            cure="Correct db_kv_scope; a vault behind a private endpoint needs its private DNS zone.",
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return SecretError(
            f"The certificate of {vault} cannot be verified.",
            cure="Where a proxy opens TLS, name its certificate authority in REQUESTS_CA_BUNDLE.",
        )
    return SecretUnavailableError(f"{vault} cannot be reached.", cure="Check the network, its proxies and the vault.")
