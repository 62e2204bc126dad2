"""Settings of the backend ``key_vault``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class KeyVaultSettings(BaseModel):
    """Read from ``DATALOADER_KEY_VAULT_...``.

    Attributes:
        key_vault_cache_seconds: How long a value is kept in memory; a rotated secret is seen after that.
        key_vault_hosts: Hosts of vaults beyond those of Azure's public clouds; ``*`` stands for anything. Tokens of
            this deployment are sent to them.
    """

    model_config = ConfigDict(frozen=True)

    key_vault_cache_seconds: float = Field(default=300.0, ge=0)
    key_vault_hosts: tuple[str, ...] = ()
