"""Secrets by azure-keyvault-secrets: one client for each vault, values kept for a while."""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from dataloader_core.errors import DataLoaderError, SecretError, SecretUnavailableError
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.settings import read_settings
from dataloader_secrets.key_vault.address import vault_url
from dataloader_secrets.key_vault.cache import Cache
from dataloader_secrets.key_vault.errors import explained
from dataloader_secrets.key_vault.settings import KeyVaultSettings

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.keyvault.secrets import KeyVaultSecret, SecretClient

    from dataloader_secrets.key_vault.identity import Identity

ATTEMPTS: Final = 3
LONGEST_PAUSE_SECONDS: Final = 8.0
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 10
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
"""What Key Vault allows for secrets."""


class KeyVault(SecretBackend):
    """A name is a secret's name in the vault; its newest version is read.

    Who asks is what Azure's DefaultAzureCredential finds: a service principal in ``AZURE_...`` variables, a workload or
    managed identity, a login of the Azure CLI.
    """

    name = "key_vault"

    def __init__(self, scope: str | None) -> None:
        super().__init__(scope)
        self._settings = read_settings(KeyVaultSettings)
        self._vault = vault_url(scope, self._settings.key_vault_hosts)

    def get(self, name: str) -> SecretStr:
        if not _NAME.fullmatch(name):
            raise SecretError(
                f"{name!r} is no name of a secret in an Azure Key Vault.",
                cure="Names there have 1 to 127 letters, digits and hyphens; write a hyphen for an underscore.",
            )
        if (kept := _cache.get(self._vault, name)) is not None:
            return kept
        found, now = self._fetch(name)
        value = self._usable(found, name, now)
        _cache.put(self._vault, name, value, self._keep_for(found, now))
        return value

    def _fetch(self, name: str) -> tuple[KeyVaultSecret, datetime]:
        """The secret, and what time it is by the vault's clock: this computer's may be wrong."""
        from azure.core.exceptions import AzureError

        clocks: list[datetime] = []
        client, identity = _client(self._vault)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = client.get_secret(name, raw_response_hook=lambda answer: clocks.append(_time_of(answer)))
            except (AzureError, ValueError) as error:
                reason = explained(error, self._vault, name, identity.trouble())
                if not isinstance(reason, SecretUnavailableError) or attempt == ATTEMPTS:
                    break
                time.sleep(_pause(error, attempt))
            else:
                return found, clocks[-1]
        # Outside the handler: the client's error knows the request, and must not travel along.
        raise reason

    def _usable(self, found: KeyVaultSecret, name: str, now: datetime) -> SecretStr:
        """The value, unless its dates forbid it: the service hands out expired secrets, "for recovery"."""
        begins, ends = found.properties.not_before, found.properties.expires_on
        if ends is not None and ends <= now:
            raise self._refused(name, f"expired on {ends:%Y-%m-%d %H:%M} UTC", "Write a new version of it.")
        if begins is not None and begins > now:
            raise self._refused(
                name, f"is not valid before {begins:%Y-%m-%d %H:%M} UTC", "Correct its activation date."
            )
        if not found.value:
            raise self._refused(name, "is empty", "Write a value into it.")
        return SecretStr(found.value)

    def _keep_for(self, found: KeyVaultSecret, now: datetime) -> float:
        """Seconds that the value may be kept: never beyond its own end."""
        longest = self._settings.key_vault_cache_seconds
        ends = found.properties.expires_on
        return longest if ends is None else min(longest, (ends - now) / timedelta(seconds=1))

    def _refused(self, name: str, why: str, cure: str) -> DataLoaderError:
        return SecretError(f"The secret {name!r} in {self._vault} {why}.", cure=cure)


_cache: Final = Cache()
_lock = threading.Lock()
_clients: dict[tuple[int, str], tuple[SecretClient, Identity]] = {}


def _client(vault: str) -> tuple[SecretClient, Identity]:
    """The vault's client in this process: it keeps the token, and a fork must not share its sockets."""
    from azure.keyvault.secrets import SecretClient

    from dataloader_secrets.key_vault.identity import Identity

    key = (os.getpid(), vault)
    with _lock:
        if key not in _clients:
            # Its own retries wait for as long as Retry-After says; ours are bounded. Bodies are never logged.
            identity = Identity()
            client = SecretClient(
                vault,
                identity,
                retry_total=0,
                connection_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                logging_enable=False,
            )
            _clients[key] = client, identity
        return _clients[key]


def forget_everything() -> None:
    """Drop values and clients, as a new process would start."""
    with _lock:
        _clients.clear()
    _cache.clear()


def _time_of(answer: Any) -> datetime:
    date = answer.http_response.headers.get("Date")
    return parsedate_to_datetime(date) if date else datetime.now().astimezone()


def _pause(error: AzureError | ValueError, attempt: int) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    return min(float(asked) if asked.isdigit() else 2.0 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
