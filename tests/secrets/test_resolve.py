"""From a source's row to a connection: what may be named, what may be literal, and what no message shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator

from dataloader_core.errors import ConfigurationError, PluginError, SecretError, UnknownNameError
from dataloader_core.plugins.manager import Registry, default_registry
from dataloader_core.secrets import Resolver, resolve
from dataloader_core.settings import Settings
from dataloader_core.table import SourceConfig

VALUE = "s3cret-Pa55word"


class Connection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    host: str
    port: int = 5432
    user: str = Field("me", validation_alias=AliasChoices("user", "username"))
    database: str = "postgres"
    password: SecretStr | None = None

    @field_validator("user")
    @classmethod
    def _not_root(cls, user: str) -> str:
        if user.startswith("root"):
            raise ValueError(f"{user} may not be used")
        return user


def connect(value: Any, scope: str = "env", settings: Settings | None = None) -> Connection:
    source = SourceConfig("crm", "postgresql", value, scope)
    return resolve(source, default_registry(), settings or Settings(), Connection)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_SECRET_CRM_PASSWORD", VALUE)
    monkeypatch.setenv("CRM_PASSWORD", VALUE)


def test_strings_are_names_and_values_are_literals() -> None:
    made = connect({"host": {"value": "db"}, "port": {"value": 5433}, "password": "DATALOADER_SECRET_CRM_PASSWORD"})
    assert (made.host, made.port) == ("db", 5433)
    assert made.password is not None
    assert made.password.get_secret_value() == VALUE
    assert VALUE not in repr(made)


def test_any_field_may_come_from_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_SECRET_HOST", "hidden.example")
    monkeypatch.setenv("DATALOADER_SECRET_PORT", "6000")
    made = connect({"host": "DATALOADER_SECRET_HOST", "port": "DATALOADER_SECRET_PORT"})
    assert (made.host, made.port) == ("hidden.example", 6000)


@pytest.mark.parametrize("name", ["database", "service_name"])
def test_the_database_has_two_names(name: str) -> None:
    assert connect({"host": {"value": "db"}, name: {"value": "shop"}}).database == "shop"


def test_an_alias_of_the_model_is_accepted() -> None:
    assert connect({"host": {"value": "db"}, "username": {"value": "you"}}).user == "you"


def test_a_field_under_both_its_names_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="given twice"):
        connect({"host": {"value": "db"}, "database": {"value": "a"}, "service_name": {"value": "b"}})


@pytest.mark.parametrize("form", ["whole", "field"])
def test_a_bundle_is_one_secret_with_all_fields(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = {"host": "db", "port": 1, "service_name": "shop", "password": VALUE, "owner": "team x"}
    monkeypatch.setenv("DATALOADER_SECRET_CRM", json.dumps(bundle))
    name = "DATALOADER_SECRET_CRM"
    made = connect(name if form == "whole" else {"bundle": name, "port": {"value": 2}})
    assert (made.host, made.port, made.database) == ("db", 1 if form == "whole" else 2, "shop")
    assert made.password == SecretStr(VALUE)


@pytest.mark.parametrize("text", ["s3cret-Pa55word", '["s3cret-Pa55word"]', '{"password": {"x": "s3cret-Pa55word"}}'])
def test_a_bundle_that_is_none_is_refused_without_its_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_SECRET_CRM", text)
    with pytest.raises(SecretError) as caught:
        connect("DATALOADER_SECRET_CRM")
    assert VALUE not in str(caught.value)
    assert VALUE not in str(caught.value.__context__ or "")


def test_a_literal_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="'password' holds a secret") as caught:
        connect({"host": {"value": "db"}, "password": {"value": VALUE}})
    assert VALUE not in str(caught.value)


def test_a_password_inside_a_literal_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'host' holds a secret") as caught:
        connect({"host": {"value": f"postgresql://me:{VALUE}@db/x"}})
    assert VALUE not in str(caught.value)


def test_an_unknown_field_is_named_with_its_neighbour() -> None:
    with pytest.raises(UnknownNameError, match=r"'pasword'.*Did you mean 'password'"):
        connect({"host": {"value": "db"}, "pasword": "DATALOADER_SECRET_CRM_PASSWORD"})


@pytest.mark.parametrize("entry", [5, None, ["a"], {"value": 1, "more": 2}, {}])
def test_an_entry_of_another_form_is_refused(entry: object) -> None:
    with pytest.raises(ConfigurationError, match="neither the name of a secret"):
        connect({"host": entry})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'crm': host is missing"):
        connect({})


def test_a_secret_of_the_wrong_form_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_SECRET_USER", "root-" + VALUE)
    with pytest.raises(ConfigurationError, match="user: what its secret holds is wrong") as caught:
        connect({"host": {"value": "db"}, "user": "DATALOADER_SECRET_USER"})
    assert VALUE not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_name_outside_the_patterns_is_refused_though_it_exists() -> None:
    with pytest.raises(SecretError, match=r"may not use the secret 'CRM_PASSWORD'.*DATALOADER_SECRET_\*"):
        connect({"host": {"value": "db"}, "password": "CRM_PASSWORD"})


def test_a_deployment_may_allow_other_names() -> None:
    settings = Settings.from_environment({"DATALOADER_SECRET_PATTERNS": "env=DATALOADER_SECRET_*,env=CRM_*"})
    made = connect({"host": {"value": "db"}, "password": "CRM_PASSWORD"}, settings=settings)
    assert made.password == SecretStr(VALUE)


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(SecretError, match="'DATALOADER_SECRET_NONE' is not set"):
        connect({"host": {"value": "db"}, "password": "DATALOADER_SECRET_NONE"})


def test_the_default_scope_without_its_backend_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown secret backend 'azure-keyvault'; known: .*'env'"):
        connect({"host": "HOST"}, "azure-keyvault")


def test_a_source_of_literals_needs_no_backend() -> None:
    assert connect({"host": {"value": "db"}}, "azure-keyvault").host == "db"


def test_a_folder_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "crm").write_text(VALUE)
    with pytest.raises(SecretError, match=r"may not use the secret scope.*allowed: 'env', 'file:/run/secrets'"):
        connect({"host": {"value": "db"}, "password": "crm"}, f"file:{tmp_path}")


def test_a_listed_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "crm").write_text(VALUE + "\n")
    settings = Settings(secret_scopes=(f"file:{tmp_path}",))
    made = connect({"host": {"value": "db"}, "password": "crm"}, f"file:{tmp_path}", settings)
    assert made.password == SecretStr(VALUE)


def test_a_wildcard_for_folders_is_not_left_by_dots(tmp_path: Path) -> None:
    settings = Settings(secret_scopes=(f"file:{tmp_path}/*",))
    with pytest.raises(SecretError, match="may not use the secret scope"):
        connect({"host": {"value": "db"}, "password": "passwd"}, f"file:{tmp_path}/../../etc", settings)


def test_patterns_of_a_folder_hold_for_that_folder(tmp_path: Path) -> None:
    (tmp_path / "crm").write_text(VALUE)
    (tmp_path / "erp").write_text(VALUE)
    scope = f"file:{tmp_path}"
    settings = Settings(secret_scopes=(scope,), secret_patterns={scope: ("crm*",)})
    connect({"host": {"value": "db"}, "password": "crm"}, scope, settings)
    with pytest.raises(SecretError, match="may not use the secret 'erp'"):
        connect({"host": {"value": "db"}, "password": "erp"}, scope, settings)


@pytest.mark.parametrize("spelling", ["{0}/", "{0}//", "//{1}", "/.{0}", "{0}/."])
def test_another_spelling_of_a_folder_gains_nothing(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "erp").write_text(VALUE)
    settings = Settings(secret_scopes=("file:/*",), secret_patterns={f"file:{tmp_path}": ("crm*",)})
    scope = "file:" + spelling.format(tmp_path, str(tmp_path)[1:])
    with pytest.raises(SecretError, match="may not use the secret 'erp'"):
        connect({"host": {"value": "db"}, "password": "erp"}, scope, settings)


BARE = """
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.plugins import SecretBackendRecord, hookimpl
from pydantic import SecretStr

class Vault(SecretBackend):
    name = "{name}"

    def get(self, name):
        return SecretStr(f"{{self.scope}} has {{name}}")

@hookimpl
def dataloader_secret_backends():
    yield SecretBackendRecord(
        "{name}", "A vault", load=lambda: Vault, canonical=str.lower, bare_scopes=lambda: {missing!r}
    )
"""


def test_a_bare_name_goes_to_the_backend_that_takes_such_names(plugin: Callable[..., Any]) -> None:
    made = Registry(
        [plugin("one", BARE.format(name="one", missing=None)), plugin("two", BARE.format(name="two", missing="X."))]
    )
    resolver = Resolver("Team-Scope", made, Settings(secret_scopes=("one:*",)))
    assert resolver.get("x").get_secret_value() == "team-scope has x"


def test_a_bare_name_that_two_backends_take_is_refused_naming_both(plugin: Callable[..., Any]) -> None:
    made = Registry([plugin(name, BARE.format(name=name, missing=None)) for name in ("one", "two")])
    with pytest.raises(PluginError, match=r"dataloader-one.*dataloader-two") as caught:
        Resolver("scope", made, Settings(secret_scopes=("*",))).get("x")
    assert caught.value.cure == "Write it as one:scope, for instance."


def test_a_bare_name_that_nobody_takes_here_says_what_is_missing(plugin: Callable[..., Any]) -> None:
    made = Registry([plugin("one", BARE.format(name="one", missing="Set ONE_HOST."))])
    with pytest.raises(UnknownNameError, match="Unknown secret backend 'scope'") as caught:
        Resolver("scope", made, Settings(secret_scopes=("*",))).get("x")
    assert caught.value.cure == "Set ONE_HOST."


def test_what_a_backend_raises_is_not_repeated(plugin: Callable[..., Any]) -> None:
    vault = plugin(
        "vault",
        """
        from pydantic import SecretStr
        from dataloader_core.interfaces.secrets import SecretBackend
        from dataloader_core.plugins import SecretBackendRecord, hookimpl

        class Vault(SecretBackend):
            name = "vault"

            def get(self, name):
                raise RuntimeError("token s3cret-Pa55word was refused")

        @hookimpl
        def dataloader_secret_backends():
            yield SecretBackendRecord("vault", "A vault", load=lambda: Vault)
        """,
    )
    resolver = Resolver("vault", Registry([vault]), Settings(secret_scopes=("vault",)))
    with pytest.raises(SecretError, match="'vault' failed on 'x' with RuntimeError") as caught:
        resolver.get("x")
    assert VALUE not in str(caught.value)
    assert caught.value.__cause__ is None


@given(name=st.text(max_size=40).filter(lambda n: not n.startswith("DATALOADER_SECRET_")))
def test_no_name_without_the_prefix_is_ever_read(name: str) -> None:
    with pytest.raises(SecretError, match="may not use"):
        Resolver("env", default_registry(), Settings()).get(name)
