"""Secrets of an Azure Key Vault, by the real client over TLS."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dataloader_core.errors import DataLoaderError, SecretError, SecretUnavailableError
from dataloader_core.plugins.manager import default_registry
from dataloader_core.secrets import Resolver
from dataloader_core.settings import Settings
from dataloader_secrets.key_vault import backend
from dataloader_secrets.key_vault.address import CLOUDS, canonical, vault_url
from dataloader_secrets.key_vault.backend import KeyVault
from dataloader_secrets.key_vault.cache import Cache
from tests.secrets.conftest import HOST
from tests.secrets.vault_stand_in import Vault
from tests.support.tls import certificate

VALUE = "s3cret-Pa55word-of-the-vault"
SCOPE = HOST.partition(".")[0]
NOW = int(time.time())


def value(name: str, scope: str = SCOPE) -> str:
    return KeyVault(scope).get(name).get_secret_value()


def refused(name: str = "crm-password", scope: str = SCOPE) -> DataLoaderError:
    with pytest.raises(DataLoaderError) as caught:
        value(name, scope)
    assert VALUE not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("scope", [SCOPE, f"https://{HOST}", f"https://{HOST}/", SCOPE.upper()])
def test_a_secret_is_read_by_its_name(vault: Vault, scope: str) -> None:
    vault.put("crm-password", VALUE)
    assert value("crm-password", scope) == VALUE


def test_the_value_is_kept_for_a_while_and_a_rotated_one_seen_after_it(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALOADER_KEY_VAULT_CACHE_SECONDS", "1")
    vault.put("crm-password", VALUE)
    assert [value("crm-password") for _ in range(50)] == [VALUE] * 50
    vault.put("crm-password", "rotated")
    assert len(vault.requests) == 1
    time.sleep(1.05)
    assert value("crm-password") == "rotated"
    assert len(vault.tokens) == 1


def test_it_is_not_kept_where_the_deployment_says_so(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_KEY_VAULT_CACHE_SECONDS", "0")
    vault.put("crm-password", VALUE)
    assert value("crm-password") == VALUE
    vault.put("crm-password", "rotated")
    assert value("crm-password") == "rotated"


def test_it_is_never_kept_beyond_its_own_end(vault: Vault) -> None:
    vault.put("crm-password", VALUE, exp=int(time.time()) + 2)
    assert value("crm-password") == VALUE
    time.sleep(3)
    assert "expired" in str(refused())


def test_failures_are_not_kept(vault: Vault) -> None:
    assert "does not exist" in str(refused())
    vault.put("crm-password", VALUE)
    assert value("crm-password") == VALUE


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "get"]), st.sampled_from("ab"), st.floats(min_value=0, max_value=9)),
        max_size=40,
    )
)
def test_the_cache_never_gives_what_has_ended_nor_anothers_value(steps: list[tuple[str, str, float]]) -> None:
    clock = [0.0]
    cache, truth = Cache(lambda: clock[0]), {}
    for number, (step, name, seconds) in enumerate(steps):
        if step == "put":
            cache.put("vault", name, SecretStr(str(number)), seconds)
            if seconds > 0:
                truth[name] = (str(number), clock[0] + seconds)
        else:
            clock[0] += seconds
            expected, ends = truth.get(name, (None, 0.0))
            found = cache.get("vault", name)
            assert (found.get_secret_value() if found else None) == (expected if clock[0] < ends else None)
            assert cache.get("another vault", name) is None


# what may be wrong


@pytest.mark.parametrize(
    ("inner", "words", "cure"),
    [
        ("ForbiddenByRbac", "has no access", "Key Vault Secrets User"),
        ("AccessDenied", "has no access", "access policy"),
        ("ForbiddenByFirewall", "firewall does not admit", "firewall"),
        ("ForbiddenByConnection", "connections from this network", "private endpoint"),
        ("SecretDisabled", "is disabled", "Enable it"),
        ("SecretExpired", "has expired", "new version"),
    ],
)
def test_each_kind_of_refusal_has_its_own_cure(vault: Vault, inner: str, words: str, cure: str) -> None:
    vault.fail("crm-password", 403, inner)
    error = refused()
    assert isinstance(error, SecretError)
    assert words in error.problem
    assert cure in str(error.cure)
    assert len(vault.requests) == 1


def test_a_disabled_secret_is_said_to_be(vault: Vault) -> None:
    vault.put("crm-password", VALUE, enabled=False)
    assert "is disabled" in str(refused())


@pytest.mark.parametrize(
    ("attributes", "words"),
    [({"exp": NOW - 60}, "expired on 20"), ({"nbf": NOW + 3600}, "is not valid before 20")],
)
def test_a_secret_outside_its_dates_is_refused_though_the_vault_gives_it(
    vault: Vault, attributes: dict[str, int], words: str
) -> None:
    vault.put("crm-password", VALUE, **attributes)
    assert words in str(refused())


def test_a_missing_and_an_empty_secret_are_named(vault: Vault) -> None:
    assert "'crm-password'" in str(refused())
    assert "does not exist" in str(refused())
    vault.put("crm-password", "")
    assert "is empty" in str(refused())


def test_throttling_is_waited_for_and_then_told(vault: Vault) -> None:
    vault.put("crm-password", VALUE)
    vault.fail("crm-password", 429, times=2, headers={"Retry-After": "1"})
    assert value("crm-password") == VALUE
    backend.forget_everything()
    vault.fail("crm-password", 429, headers={"Retry-After": "1"})
    error = refused()
    assert isinstance(error, SecretUnavailableError)
    assert "throttling" in str(error)
    assert error.transient


def test_no_answer_makes_it_wait_for_an_hour(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LONGEST_PAUSE_SECONDS", 0.1)
    vault.fail("crm-password", 429, headers={"Retry-After": "3600"})
    began = time.monotonic()
    refused()
    assert time.monotonic() - began < 5
    assert len(vault.requests) == backend.ATTEMPTS


@pytest.mark.parametrize("status", [500, 503])
def test_a_vault_that_cannot_answer_is_asked_again(vault: Vault, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LONGEST_PAUSE_SECONDS", 0.1)
    vault.put("crm-password", VALUE)
    vault.fail("crm-password", status, times=2)
    assert value("crm-password") == VALUE
    backend.forget_everything()
    vault.fail("crm-password", status)
    assert isinstance(refused(), SecretUnavailableError)


def test_an_unreachable_vault_is_told(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LONGEST_PAUSE_SECONDS", 0.1)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr(Vault, "port", nobody.getsockname()[1])
        error = refused()
    assert isinstance(error, SecretUnavailableError)
    assert "cannot be reached" in str(error)


def test_a_vault_that_does_not_exist_is_told_from_one_that_is_away(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **options: Any) -> Any:
        if host == HOST:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = refused()
    assert isinstance(error, SecretError)
    assert f"There is no vault https://{HOST}" in error.problem


def test_a_certificate_of_somebody_else_is_refused(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other, _ = certificate(tmp_path, HOST)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    error = refused()
    assert "certificate" in error.problem
    assert "REQUESTS_CA_BUNDLE" in str(error.cure)
    assert vault.requests == []


def test_a_token_is_not_sent_where_the_challenge_is_of_another_resource(vault: Vault) -> None:
    vault.resource = "https://vault.evil.example"
    assert "does not answer as an Azure Key Vault does" in str(refused())
    assert vault.tokens == []


def test_a_token_that_the_vault_does_not_know_is_told(vault: Vault) -> None:
    vault.fail("crm-password", 401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    assert "does not accept the token" in str(refused())


def test_without_credentials_the_cure_names_them(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.delenv("IDENTITY_HEADER")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    error = refused()
    assert isinstance(error, SecretError)
    assert "No Azure credentials" in error.problem
    assert "AZURE_CLIENT_ID" in str(error.cure)


@pytest.mark.parametrize(("status", "words"), [(429, "throttles"), (500, "fails (status 500)"), (503, "status 503")])
def test_an_identity_provider_that_throttles_or_fails_is_no_missing_login(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    """And it does not decide how long a load waits for it."""
    monkeypatch.setattr(backend, "LONGEST_PAUSE_SECONDS", 0.1)
    vault.put("crm-password", VALUE)
    vault.identity_faults = [status] * 100
    error = refused()
    assert isinstance(error, SecretUnavailableError)
    assert "the identity provider" in error.problem
    assert words in error.problem
    vault.identity_faults = []
    backend.forget_everything()
    assert value("crm-password") == VALUE


def test_an_identity_provider_that_is_away_is_no_missing_login(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LONGEST_PAUSE_SECONDS", 0.1)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}/token")
        error = refused()
    assert isinstance(error, SecretUnavailableError)
    assert "the identity provider cannot be reached" in error.problem


@pytest.mark.parametrize("name", ["", "crm_password", "a/b", "a" * 128, "é", "a?b", "../x"])
def test_a_name_that_key_vault_does_not_allow_is_refused_before_it_is_asked(vault: Vault, name: str) -> None:
    assert "hyphen" in str(refused(name).cure)
    assert vault.tokens == []


# which hosts


@pytest.mark.parametrize(
    ("scope", "url"),
    [
        ("crm", "https://crm.vault.azure.net"),
        ("https://crm.vault.azure.net", "https://crm.vault.azure.net"),
        ("https://crm.vault.azure.cn/", "https://crm.vault.azure.cn"),
        ("https://crm.vault.usgovcloudapi.net", "https://crm.vault.usgovcloudapi.net"),
    ],
)
def test_a_vault_is_a_name_or_a_url_of_azures_clouds(scope: str, url: str) -> None:
    assert vault_url(scope) == url


@pytest.mark.parametrize(
    "scope",
    [
        None, "", "ab", "a--b", "1abc", "a" * 25, "crm/x", "crm.vault.azure.net",
        "http://crm.vault.azure.net", "https://evil.example", "https://vault.azure.net",
        "https://crm.vault.azure.net.evil.example", "https://evil.example/.vault.azure.net",
        "https://me@crm.vault.azure.net", "https://crm.vault.azure.net:8443", "https://crm.vault.azure.net/secrets",
        "https://evil.example#.vault.azure.net", "https://evil.example?x=.vault.azure.net", "https://a.b.vault.azure.net",
        "https://evil.example\\.vault.azure.net", "https://[::1].vault.azure.net",
    ],
)  # fmt: skip
def test_nothing_else_is_sent_a_token(scope: str | None) -> None:
    with pytest.raises(SecretError, match="is no Azure Key Vault"):
        vault_url(scope)


@given(st.text(max_size=40))
def test_no_text_leads_out_of_the_vaults(text: str) -> None:
    for scope in (text, f"https://{text}", f"https://crm.vault.azure.net{text}", f"https://{text}.vault.azure.net"):
        try:
            url = vault_url(scope)
        except SecretError:
            continue
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert (parts.hostname or "").partition(".")[2] in CLOUDS
        assert (parts.path, parts.query, parts.fragment, parts.username, parts.port) == ("", "", "", None, None)


def test_a_deployment_may_add_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_KEY_VAULT_HOSTS", "*.vault.stack.example")
    assert KeyVault("https://crm.vault.stack.example")._vault == "https://crm.vault.stack.example"
    with pytest.raises(SecretError):
        KeyVault("https://crm.vault.other.example")


@given(st.sampled_from(["crm", "CRM", "https://crm.vault.azure.net", "https://crm.vault.azure.net/"]))
def test_every_spelling_of_a_vault_is_one(scope: str) -> None:
    assert canonical(scope) == "crm"


def test_another_spelling_does_not_escape_what_a_deployment_allows(vault: Vault) -> None:
    settings = Settings(
        secret_scopes=("key_vault:*",), secret_patterns={f"key_vault:https://{HOST}": ("crm-*",), "env": ("X",)}
    )
    vault.put("other", VALUE)
    for scope in (f"key_vault:{SCOPE}", f"key_vault:https://{HOST}", f"key_vault:https://{HOST}/"):
        with pytest.raises(SecretError, match="may not use the secret 'other'"):
            Resolver(scope, default_registry(), settings).get("other")
    assert vault.requests == []


def test_no_vault_is_allowed_until_a_deployment_says_so(vault: Vault) -> None:
    with pytest.raises(SecretError, match="may not use the secret scope"):
        Resolver(f"key_vault:{SCOPE}", default_registry(), Settings()).get("crm-password")


# secrecy


def test_no_log_at_any_level_shows_a_value_or_a_token(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vault.put("crm-password", VALUE)
    made = KeyVault(SCOPE)
    secret = made.get("crm-password")
    vault.fail("other", 403, "ForbiddenByRbac")
    refused("other")
    assert any("secrets/crm-password" in record.getMessage() for record in caplog.records)
    said = f"{caplog.text}{secret!r}{made!r}{vars(made)!r}{backend._cache!r}"
    assert VALUE not in said
    assert not any(token in said for token in vault.tokens)
