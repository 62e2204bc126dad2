"""A vault whose name leads to this machine, and an identity that may read it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.keyvault.secrets._shared import HttpChallengeCache

from dataloader_secrets.key_vault import backend
from tests.databricks.conftest import workspace
from tests.secrets.vault_stand_in import Vault

__all__ = ["workspace"]

HOST = "crm-vault.vault.azure.net"
_OF_AZURE = ("AZURE_", "IDENTITY_", "MSI_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy")


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    folder = tmp_path / "vault"
    folder.mkdir()
    made = Vault(folder, HOST)
    for name in [name for name in os.environ if name.startswith(_OF_AZURE)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IDENTITY_ENDPOINT", made.identity_url)
    monkeypatch.setenv("IDENTITY_HEADER", made.identity_header)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.cert))
    _lead_here(made, monkeypatch)
    backend.forget_everything()
    HttpChallengeCache.clear()
    yield made
    backend.forget_everything()
    made.close()


def _lead_here(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the vault, and no other, is an address of this machine."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host == vault.host:
            return resolve("127.0.0.1", vault.port, *more, **options)
        return resolve(host, port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
