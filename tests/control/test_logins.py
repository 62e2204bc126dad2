"""Logins of the control database that a package brings: selected by the URL's scheme, asked for each connection."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from dataloader_core.app import App
from dataloader_core.control import pool
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.logins import LibpqLogin, control_login
from dataloader_core.errors import ConfigurationError, ControlUnavailableError, UnknownNameError
from dataloader_core.interfaces.control_login import ControlLogin, Parameters
from dataloader_core.plugins.manager import Registry
from dataloader_core.settings import Settings
from tests.conftest import LOGIN, PASSWORD, PostgresServer

VAULT = """
from dataloader_core.control.logins import LibpqLogin
from dataloader_core.interfaces.control_login import ControlLogin
from dataloader_core.plugins import ControlLoginRecord, hookimpl

class Rented(ControlLogin):
    name = "rented"

    def __init__(self, url):
        super().__init__(url)
        self._inner = LibpqLogin(url.replace("rented://", "postgresql://"))

    @property
    def where(self):
        return "a rented database"

    def parameters(self):
        return self._inner.parameters()

@hookimpl
def dataloader_control_logins():
    yield ControlLoginRecord("rented", "A rented database", load=lambda: Rented)
"""


class Rotating(ControlLogin):
    """Passwords in turn, one for each time it is asked; says of a refusal what the test wants."""

    name = "rotating"

    def __init__(self, dsn: str, passwords: list[str], *, again: bool = False) -> None:
        super().__init__("rotating://")
        self.given = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
        self.passwords = passwords
        self.again = again
        self.refusals = 0

    @property
    def where(self) -> str:
        return "somewhere"

    def parameters(self) -> Parameters:
        return {**self.given, "password": SecretStr(self.passwords.pop(0))}

    def refused(self, parameters: Parameters, error: psycopg.OperationalError) -> bool:
        self.refusals += 1
        return self.again


@pytest.fixture
def by_password(postgres_server: PostgresServer, dsn: str) -> str:
    return postgres_server.tcp_dsn(str(conninfo_to_dict(dsn)["dbname"]))


def test_the_scheme_of_the_url_selects_it(plugin: Callable[..., EntryPoint], by_password: str) -> None:
    registry = Registry([plugin("rented", VAULT)])
    url = by_password.replace("postgresql://", "rented://")
    app = App(Settings(control_url=SecretStr(url)), registry, {})
    assert app.control.sources() == []
    assert app.control._connections.where == "a rented database"
    app.close()


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgres://u@h/d", "host=h dbname=d user=u"])
def test_what_libpq_understands_needs_no_plugin(url: str) -> None:
    made = control_login(url, Registry([]))
    assert isinstance(made, LibpqLogin)
    assert made.where == "d at h"
    assert made.parameters() == {"host": "h", "dbname": "d", "user": "u"}


def test_an_unknown_scheme_lists_what_there_is(plugin: Callable[..., EntryPoint]) -> None:
    registry = Registry([plugin("rented", VAULT)])
    with pytest.raises(UnknownNameError, match="Unknown control login 'rentd'; known: 'rented'") as caught:
        control_login("rentd://me:hunter2@h/d", registry)
    assert "hunter2" not in str(caught.value)


def test_a_password_of_a_url_is_in_no_repr() -> None:
    parameters = LibpqLogin("postgresql://me:hunter2@h/d").parameters()
    assert parameters["password"] == SecretStr("hunter2")
    assert "hunter2" not in repr(parameters)


def test_it_is_asked_for_every_new_connection_and_told_of_each_refusal(by_password: str) -> None:
    login = Rotating(by_password, ["wrong", PASSWORD, PASSWORD, "never asked for"], again=True)
    with ControlDatabase(login) as control:
        assert control.sources() == []
    assert login.refusals == 1
    assert login.passwords == ["never asked for"]


def test_a_refusal_is_tried_again_once_and_no_more(by_password: str) -> None:
    login = Rotating(by_password, ["wrong-1", "wrong-2", PASSWORD], again=True)
    with ControlDatabase(login) as control, pytest.raises(ControlUnavailableError, match="password authentication"):
        control.sources()
    assert login.refusals == 1


def test_a_login_that_has_nothing_new_is_not_asked_again(by_password: str) -> None:
    login = Rotating(by_password, ["wrong", PASSWORD])
    with ControlDatabase(login) as control, pytest.raises(ControlUnavailableError) as caught:
        control.sources()
    assert login.passwords == [PASSWORD]
    assert "wrong" not in str(caught.value)


def test_a_server_that_refuses_later_is_quoted_and_not_called_slow(
    postgres_server: PostgresServer, by_password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS", 3)
    login = Rotating(by_password, [PASSWORD, PASSWORD, *["changed meanwhile"] * 20])
    with ControlDatabase(login) as control:
        assert control.sources() == []
        with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [LOGIN])
        with pytest.raises(ControlUnavailableError, match="password authentication failed"):
            control.sources()


def test_a_url_of_libpq_that_is_nonsense_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        control_login("postgresql://me:hunter2@h:port:x/db?what", Registry([]))
    assert "hunter2" not in str(caught.value)
