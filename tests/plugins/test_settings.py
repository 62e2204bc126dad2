"""Settings come from variables; what is wrong is named by its variable."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from dataloader_core.errors import ConfigurationError
from dataloader_core.settings import Settings, is_secret, mask_url, read_settings


class Plugin(BaseModel):
    lake: str
    threads: int = Field(default=2, ge=1)
    wait: timedelta = timedelta(seconds=1)
    folders: list[str] | None = None
    labels: dict[str, str] = {}
    token: SecretStr | None = None


def test_without_variables_the_defaults_hold() -> None:
    made = Settings.from_environment({})
    assert (made.engine, made.launcher, made.tables_per_tick, made.tables_per_run) == ("local", "subprocess", 10, 12)
    assert made.secret_scopes == ("env", "file:/run/secrets")
    assert made.control_url is None


def test_every_plugin_model_is_read_by_the_same_rule() -> None:
    environ = {"DATALOADER_LAKE": "/lake", "DATALOADER_THREADS": " 4 ", "DATALOADER_WAIT": "PT5S", "LAKE": "no"}
    made = read_settings(Plugin, environ)
    assert (made.lake, made.threads, made.wait) == ("/lake", 4, timedelta(seconds=5))


def test_an_empty_value_is_not_set() -> None:
    assert read_settings(Plugin, {"DATALOADER_LAKE": "/lake", "DATALOADER_THREADS": ""}).threads == 2


@pytest.mark.parametrize("text", ["a, b", '["a", "b"]', "a,b,"])
def test_lists_are_text_or_json(text: str) -> None:
    assert read_settings(Plugin, {"DATALOADER_LAKE": "x", "DATALOADER_FOLDERS": text}).folders == ["a", "b"]


def test_mappings_are_text_or_json() -> None:
    text = Settings.from_environment({"DATALOADER_SECRET_PATTERNS": "env=A_*,env=B_*,file:/run/secrets=crm"})
    assert text.secret_patterns == {"env": ("A_*", "B_*"), "file:/run/secrets": ("crm",)}
    json = Settings.from_environment({"DATALOADER_SECRET_PATTERNS": '{"env": ["A_*"]}'})
    assert json.secret_patterns == {"env": ("A_*",)}
    assert read_settings(Plugin, {"DATALOADER_LAKE": "x", "DATALOADER_LABELS": "a=1"}).labels == {"a": "1"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("DATALOADER_TABLES_PER_TICK", "many", "DATALOADER_TABLES_PER_TICK: Input should be a valid integer"),
        ("DATALOADER_TABLES_PER_TICK", "0", "DATALOADER_TABLES_PER_TICK: Input should be greater than"),
        ("DATALOADER_SECRET_PATTERNS", "A_*", r"DATALOADER_SECRET_PATTERNS has 'A_\*'"),
        ("DATALOADER_SECRET_SCOPES", '["env"', "DATALOADER_SECRET_SCOPES is not valid JSON"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings.from_environment({name: text})


def test_a_missing_value_is_named_by_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="DATALOADER_LAKE: is not set"):
        read_settings(Plugin, {})


def test_no_secret_shows_in_an_error_or_repr() -> None:
    environ = {"DATALOADER_TOKEN": "hunter2", "DATALOADER_THREADS": "x", "DATALOADER_LAKE": "y"}
    with pytest.raises(ConfigurationError) as caught:
        read_settings(Plugin, environ)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
    made = Settings.from_environment({"DATALOADER_CONTROL_URL": "postgresql://me:hunter2@db/x"})
    assert "hunter2" not in f"{made!r}{made}{made.model_dump_json()}"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:pw@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("postgresql://me@db/x?password=pw&sslmode=require", "postgresql://me@db/x?password=***&sslmode=require"),
        ("postgresql://me:p:w@db/x", "postgresql://me:***@db/x"),
        ("postgresql://me@/control?host=%2Frun", "postgresql://me@/control?host=%2Frun"),
        ("host=db user=me password=pw dbname=x", "host=db user=me password=*** dbname=x"),
        (r"password = 'p w\' x' host=db", "password = *** host=db"),
        ("host=db sslpassword=pw", "host=db sslpassword=***"),
    ],
)
def test_connection_strings_are_masked(text: str, masked: str) -> None:
    assert mask_url(text) == masked


@given(
    st.text(alphabet=st.characters(codec="ascii", exclude_characters="/@ \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"), min_size=1)
)
def test_no_password_survives_the_mask(password: str) -> None:
    assert mask_url(f"postgresql://me:{password}@db/x") == "postgresql://me:***@db/x"


@pytest.mark.parametrize(
    ("annotation", "secret"), [(SecretStr, True), (SecretStr | None, True), (str, False), (list[SecretStr], True)]
)
def test_secret_fields_are_known_by_their_type(annotation: object, secret: bool) -> None:
    assert is_secret(annotation) is secret


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:top/Secret99@h/x", "postgresql://me:top Secret99@h/x", "postgres:/me:topSecret99@h/x"],
)
def test_a_password_that_is_not_encoded_is_masked_all_the_same(url: str) -> None:
    assert "Secret99" not in mask_url(url)


def test_a_password_that_hides_the_host_is_refused_and_not_shown() -> None:
    settings = Settings.from_environment({"DATALOADER_CONTROL_URL": "postgresql://me:top/Secret99@h/x"})
    with pytest.raises(ConfigurationError, match="percent-encoded") as refused:
        settings.resolve_control_url()
    assert "Secret99" not in str(refused.value)
