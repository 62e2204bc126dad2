"""The secret backend ``key_vault``, as a plugin."""

from __future__ import annotations

from collections.abc import Iterable

from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.plugins import SecretBackendRecord, hookimpl
from dataloader_secrets.key_vault.address import canonical
from dataloader_secrets.key_vault.settings import KeyVaultSettings


@hookimpl
def dataloader_secret_backends() -> Iterable[SecretBackendRecord]:
    yield SecretBackendRecord(
        "key_vault",
        "Azure Key Vault (scope: key_vault:NAME)",
        load=_load,
        settings=KeyVaultSettings,
        extra="key-vault",
        canonical=canonical,
    )


def _load() -> type[SecretBackend]:
    import azure.identity
    import azure.keyvault.secrets  # noqa: F401  # says what is missing

    from dataloader_secrets.key_vault.backend import KeyVault

    return KeyVault
