"""From a scope to the vault's URL: nothing but vaults, since each host named here is sent a token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from dataloader_core.errors import SecretError

PUBLIC: Final = "vault.azure.net"
CLOUDS: Final = (PUBLIC, "vault.azure.cn", "vault.usgovcloudapi.net")
"""Azure's public cloud, China and US Government. A private endpoint keeps the vault's name there."""
_NAME = re.compile(r"(?=.{3,24}$)[a-z](?:-?[a-z0-9])+")
"""What Azure allows for vaults; a doubled hyphen it does not."""
_HTTPS: Final = "https://"


def canonical(scope: str) -> str:
    """The one spelling: a vault of the public cloud by its name, another one by its URL without a slash at the end."""
    text = scope.lower().removesuffix("/")
    name = text.removeprefix(_HTTPS).removesuffix(f".{PUBLIC}")
    return name if text in (name, f"{_HTTPS}{name}.{PUBLIC}") else text


def vault_url(scope: str | None, more_hosts: Sequence[str] = ()) -> str:
    """The URL of the vault that a scope names.

    Raises:
        SecretError: it is no name of a vault, or a URL of a host that is none.
    """
    text = canonical(scope or "")
    if _NAME.fullmatch(text):
        return f"{_HTTPS}{text}.{PUBLIC}"
    host = text.removeprefix(_HTTPS)
    if text.startswith(_HTTPS) and _is_host(host) and (_of_a_cloud(host) or _allowed(host, more_hosts)):
        return text
    raise SecretError(
        f"{scope!r} is no Azure Key Vault.",
        cure="Write key_vault:NAME, or key_vault:https://NAME.HOST with a HOST of "
        f"{', '.join(CLOUDS)}; others must be listed in DATALOADER_KEY_VAULT_HOSTS.",
    )


def _is_host(text: str) -> bool:
    """Whether this is a bare host: no user, port, path or query, which could lead elsewhere."""
    try:
        parts = urlsplit(f"{_HTTPS}{text}")
    except ValueError:
        return False
    return parts.hostname == text and re.fullmatch(r"[a-z0-9.-]+", text) is not None


def _of_a_cloud(host: str) -> bool:
    name, _, domain = host.partition(".")
    return domain in CLOUDS and _NAME.fullmatch(name) is not None


def _allowed(host: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(host, pattern.lower()) for pattern in patterns)
