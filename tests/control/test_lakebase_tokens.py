"""When a token is renewed, and what a ``lakebase://`` URL may say."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dataloader_control.lakebase.address import parse, trusted_roots
from dataloader_control.lakebase.login import Lakebase
from dataloader_control.lakebase.tokens import MARGIN_SECONDS, PAUSE_SECONDS, Tokens
from dataloader_core.errors import ConfigurationError, ControlUnavailableError
from dataloader_core.redaction import redact_known


@dataclass
class Issuer:
    """Issues numbered tokens by a clock that the test turns; while ``broken``, none."""

    lifetime: float = 3600.0
    now: float = 0.0
    broken: bool = False
    asked: int = 0
    ends: dict[str, float] = field(default_factory=dict)

    def __call__(self) -> tuple[SecretStr, float]:
        self.asked += 1
        if self.broken:
            raise ControlUnavailableError("No token today.")
        name = f"token-number-{self.asked}"
        self.ends[name] = self.now + self.lifetime
        return SecretStr(name), self.lifetime

    def tokens(self) -> Tokens:
        return Tokens(self, lambda: self.now)


@given(
    lifetime=st.floats(min_value=1, max_value=3600),
    steps=st.lists(st.tuples(st.floats(min_value=0, max_value=4000), st.booleans()), max_size=30),
)
def test_a_token_that_is_handed_out_still_works(lifetime: float, steps: list[tuple[float, bool]]) -> None:
    issuer = Issuer(lifetime)
    tokens = issuer.tokens()
    for step, broken in steps:
        issuer.now += step
        issuer.broken = broken
        try:
            token = tokens.current().get_secret_value()
        except ControlUnavailableError:
            assert broken
            assert all(end <= issuer.now for end in issuer.ends.values())
        else:
            assert issuer.ends[token] > issuer.now


def test_one_token_serves_until_five_minutes_before_its_end() -> None:
    issuer = Issuer()
    tokens = issuer.tokens()
    first = tokens.current()
    issuer.now = 3600 - MARGIN_SECONDS - 1
    assert tokens.current() == first
    issuer.now += 1
    assert tokens.current() != first
    assert issuer.asked == 2


def test_while_it_cannot_be_renewed_it_is_asked_for_every_half_minute() -> None:
    issuer = Issuer()
    tokens = issuer.tokens()
    first = tokens.current()
    issuer.broken, issuer.now = True, 3600 - MARGIN_SECONDS
    assert [tokens.current() for _ in range(10)] == [first] * 10
    assert issuer.asked == 2
    issuer.now += PAUSE_SECONDS
    assert tokens.current() == first
    assert issuer.asked == 3
    issuer.now = 3600
    with pytest.raises(ControlUnavailableError):
        tokens.current()


def test_a_refused_token_is_replaced_unless_it_was_just_issued() -> None:
    issuer = Issuer()
    tokens = issuer.tokens()
    first = tokens.current()
    assert not tokens.replace(first)
    issuer.now = PAUSE_SECONDS
    assert tokens.replace(first)
    second = tokens.current()
    assert second != first
    assert tokens.replace(first)  # somebody else replaced it already
    assert tokens.current() == second


def test_many_threads_cost_one_token() -> None:
    issuer = Issuer()
    tokens = issuer.tokens()
    barrier, found = threading.Barrier(16), []

    def ask() -> None:
        barrier.wait()
        found.append(tokens.current())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert issuer.asked == 1
    assert len(set(found)) == 1


def test_a_token_is_masked_until_it_has_ended() -> None:
    issuer = Issuer()
    tokens = issuer.tokens()
    first = tokens.current().get_secret_value()
    issuer.now = 3500
    second = tokens.current().get_secret_value()
    assert redact_known(f"{first} {second}") == "*** ***"
    issuer.now = 3500 + 3500
    tokens.current()
    assert redact_known(f"{first} {second}") == f"{first} ***"


@pytest.mark.parametrize(
    ("url", "instance", "database", "autoscaling"),
    [
        ("lakebase://crm-control/control", "crm-control", "control", False),
        ("lakebase://crm-control", "crm-control", "databricks_postgres", False),
        ("lakebase://crm/odd%20name", "crm", "odd name", False),
        ("lakebase://projects/p/branches/b/endpoints/e/db", "projects/p/branches/b/endpoints/e", "db", True),
        (
            "lakebase://projects/p/branches/b/endpoints/e",
            "projects/p/branches/b/endpoints/e",
            "databricks_postgres",
            True,
        ),
    ],
)
def test_a_url_names_an_instance_or_an_endpoint(url: str, instance: str, database: str, autoscaling: bool) -> None:
    made = parse(url)
    assert (made.instance, made.database, made.autoscaling) == (instance, database, autoscaling)
    assert made.parameters == {"sslmode": "verify-full", "sslrootcert": trusted_roots()}
    assert Lakebase(url).where.startswith(f"{database} at the Lakebase ")


def test_parameters_of_libpq_stand_behind_the_question_mark() -> None:
    assert parse("lakebase://crm/db?user=a+b%40c.com").parameters["user"] == "a+b@c.com", "libpq keeps a plus sign"
    made = parse("lakebase://crm/db?user=a%40b.com&port=1&sslmode=verify-ca&sslrootcert=x.pem")
    assert made.parameters == {"user": "a@b.com", "port": "1", "sslmode": "verify-ca", "sslrootcert": "x.pem"}


@pytest.mark.parametrize(
    "url", ["lakebase://", "lakebase:///db", "lakebase://a/b/c", "lakebase://me:hunter2@crm/db", "lakebase://me@crm"]
)
def test_a_url_of_another_form_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no lakebase:// URL of a known form") as caught:
        parse(url)
    assert "hunter2" not in str(caught.value)


@given(st.text(min_size=6, alphabet=st.characters(codec="ascii", min_codepoint=33)))
def test_a_password_in_a_url_is_refused_and_never_repeated(password: str) -> None:
    password = f"Zq7{password}9xY"
    for url in (f"lakebase://me:{password}@crm/db", f"lakebase://crm/db?password={quote(password)}"):
        with pytest.raises(ConfigurationError) as caught:
            parse(url)
        assert password not in str(caught.value)


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", ""])
def test_a_token_never_travels_in_the_clear(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="in the clear"):
        parse(f"lakebase://crm/db?sslmode={mode}")


def test_a_parameter_that_libpq_does_not_know_is_named() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        parse("lakebase://crm/db?colour=blue")


def test_a_machine_without_certificates_of_its_own_has_those_of_certifi(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=None))
    assert trusted_roots() == certifi.where()
    monkeypatch.undo()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "not there"))
    assert Path(trusted_roots()).is_file()


def test_encryption_alone_names_no_certificates() -> None:
    assert parse("lakebase://crm/db?sslmode=require").parameters == {"sslmode": "require"}
