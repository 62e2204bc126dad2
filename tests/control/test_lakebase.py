"""The control database on Lakebase: who logs in, with what, and what is said when nobody can."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from dataloader_control.lakebase import tokens
from dataloader_control.lakebase.address import trusted_roots
from dataloader_core.control import pool
from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.logins import control_login
from dataloader_core.errors import ConfigurationError, ControlLoginError, ControlUnavailableError, DataLoaderError
from dataloader_core.loading.patience import patiently
from dataloader_core.plugins.manager import default_registry
from dataloader_core.table import SourceConfig
from dataloader_databricks import workspace as client
from tests.conftest import PostgresServer
from tests.databricks.conftest import workspace
from tests.databricks.workspace import Workspace
from tests.support.lakebase import ENDPOINT, INSTANCE, USER, World

__all__ = ["workspace"]


@pytest.fixture
def world(
    postgres_server: PostgresServer, dsn: str, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setattr(client, "RETRY_SECONDS", 2)
    monkeypatch.setattr(pool, "WAIT_SECONDS", 4)
    made = World(postgres_server, workspace, tmp_path, dsn.rpartition("/")[2].partition("?")[0])
    yield made
    made.close()


def refused(world: World, instance: str = INSTANCE, **parameters: str) -> DataLoaderError:
    """The error of whoever opens the control database."""
    with world.control(instance, **parameters) as control, pytest.raises(DataLoaderError) as caught:
        control.sources()
    assert all(token not in str(caught.value) for token in (*world.api.tokens, world.workspace.token))
    return caught.value


def session_user(control: ControlDatabase) -> tuple[str, bool]:
    """Who is logged in, and whether the connection is encrypted."""
    with control._connections.transaction() as connection:
        row = connection.execute("SELECT session_user").fetchone()
        assert row is not None
        return row["session_user"], connection.pgconn.ssl_in_use


# who logs in


@pytest.mark.parametrize("instance", [INSTANCE, ENDPOINT])
def test_a_token_of_the_processs_own_identity_is_the_password(world: World, instance: str) -> None:
    with world.control(instance) as control:
        control.put_source(SourceConfig("crm", "postgresql", {"host": {"value": "db"}}, "env"))
        assert [source.db_config_key for source in control.sources()] == ["crm"]
        assert session_user(control) == (USER, True)
    assert len(world.api.tokens) == 1


def untrusted(world: World, **parameters: str) -> ConfigurationError:
    error = refused(world, **parameters)
    assert isinstance(error, ConfigurationError)
    assert "is not trusted" in error.problem
    assert "sslrootcert=FILE" in str(error.cure)
    return error


def test_the_servers_certificate_is_checked_without_being_told(world: World) -> None:
    """It is signed by nobody who is known publicly; the token must not reach it."""
    error = untrusted(world, sslrootcert=trusted_roots())
    assert "certificate verify failed" in error.problem
    assert trusted_roots() in str(error.cure)


def test_who_else_is_trusted_can_be_told_by_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    url = world.url().replace(f"&sslrootcert={world.root}", "")
    assert "sslrootcert" not in url
    for variable in ("SSL_CERT_FILE", "PGSSLROOTCERT"):
        with monkeypatch.context() as environ:
            environ.setenv(variable, str(world.root))
            with ControlDatabase(control_login(url, default_registry())) as control:
                assert session_user(control) == (USER, True)


def test_a_certificate_of_another_host_is_not_trusted(world: World) -> None:
    error = untrusted(world, host="127.0.0.1")
    assert "does not match host name" in error.problem
    assert "hostaddr" in str(error.cure)
    with world.control(host="localhost", hostaddr="127.0.0.1") as control:
        control.sources()


def test_a_file_of_certificates_that_is_not_there_is_named(world: World, tmp_path: Path) -> None:
    assert "none.pem" in str(untrusted(world, sslrootcert=str(tmp_path / "none.pem")))


def test_who_asks_for_encryption_alone_gets_it(world: World) -> None:
    with world.control(sslmode="require", sslrootcert="") as control:
        assert session_user(control) == (USER, True)


def test_another_role_is_one_of_the_url(world: World) -> None:
    error = refused(world, user="a_group")
    assert "refused a_group with a token that was just issued" in str(error)


def test_a_service_principal_logs_in_by_its_application_id(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "6c1e3b5c-0000-0000-0000-000000000000"
    world.server.new_login(name, "none yet", "SUPERUSER")
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", name)
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", world.workspace.identity.new_client(name))
    with world.control() as control:
        assert session_user(control) == (name, True)


# renewal


def test_a_token_that_has_ended_is_replaced_for_the_next_connection(world: World) -> None:
    world.let_tokens_last(1.5)
    with world.control() as control:
        control.sources()
        time.sleep(1.6)
        world.revoke_tokens()
        assert control.sources() == []  # the open connection outlives its token
        assert len(world.api.tokens) == 1
        world.cut_connections()
        assert control.sources() == []
    assert len(world.api.tokens) == 2


def test_a_token_is_renewed_before_it_ends(world: World) -> None:
    world.let_tokens_last(4)
    with world.control() as control:
        control.sources()
        time.sleep(3.1)
        world.cut_connections()
        control.sources()
    assert len(world.api.tokens) == 2


def test_a_token_that_is_revoked_is_replaced_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PAUSE_SECONDS", 0)
    with world.control() as control:
        control.sources()
        world.revoke_tokens()
        world.cut_connections()
        assert control.sources() == []
    assert len(world.api.tokens) == 2


def test_while_the_workspace_is_silent_the_token_at_hand_serves(world: World) -> None:
    world.let_tokens_last(4)
    with world.control() as control:
        control.sources()
        world.workspace.faults.add("POST", "credentials", 500)
        time.sleep(3.1)
        world.cut_connections()
        assert control.sources() == []
    assert len(world.api.tokens) == 1


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_workspace_whose_clock_differs_renews_as_often(
    world: World, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    world.api.clock_ahead = timedelta(hours=hours)

    def date_time_string(self: BaseHTTPRequestHandler, timestamp: float | None = None) -> str:
        return formatdate(time.time() + hours * 3600, usegmt=True)

    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", date_time_string)
    world.let_tokens_last(4)
    with world.control() as control:
        control.sources()
        world.cut_connections()
        control.sources()
        assert len(world.api.tokens) == 1
        time.sleep(3.1)
        world.cut_connections()
        control.sources()
    assert len(world.api.tokens) == 2


# nobody can log in


def test_an_unknown_instance_is_named(world: World) -> None:
    error = refused(world, "not-there")
    assert isinstance(error, ConfigurationError)
    assert "no Lakebase instance 'not-there'" in error.problem
    assert "DATALOADER_CONTROL_URL" in str(error.cure)
    assert "no Lakebase endpoint" in str(refused(world, ENDPOINT.replace("primary", "none")))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state": "STOPPED"}, "is stopped"),
        ({"effective_stopped": True}, "is stopped"),
        ({"state": "STARTING"}, "is starting"),
        ({"read_write_dns": None}, "no address yet"),
    ],
)
def test_an_instance_that_does_not_run_is_said_to(world: World, state: dict[str, Any], words: str) -> None:
    world.api.instances[INSTANCE] |= state
    error = refused(world)
    assert isinstance(error, ControlUnavailableError)
    assert words in str(error)
    assert world.api.tokens == []


def test_a_disabled_endpoint_is_said_to_be_and_a_sleeping_one_is_woken(world: World) -> None:
    status = world.api.endpoints[ENDPOINT]["status"]
    status["disabled"] = True
    assert "is disabled" in str(refused(world, ENDPOINT))
    status |= {"disabled": False, "current_state": "IDLE"}
    with world.control(ENDPOINT) as control:
        assert control.sources() == []


def test_an_instance_that_is_stopped_in_mid_work_is_named_instead_of_its_port(world: World) -> None:
    with world.control() as control:
        control.sources()
        world.cut_connections()
        world.front.stop()
        world.api.instances[INSTANCE]["state"] = "STOPPED"
        with pytest.raises(ControlUnavailableError, match="is stopped"):
            control.sources()


def test_an_instance_that_moved_is_found_again(world: World) -> None:
    world.api.instances[INSTANCE]["read_write_dns"] = "old.invalid"
    with world.control() as control:
        with pytest.raises(ControlUnavailableError, match="out of reach"):
            control.sources()
        world.api.instances[INSTANCE]["read_write_dns"] = "localhost"
        assert control.sources() == []


@pytest.mark.parametrize(
    ("path", "status", "kind", "words"),
    [
        ("credentials", 403, ConfigurationError, "does not allow it"),
        ("instances", 403, ConfigurationError, "Can use"),
        ("Me", 403, ConfigurationError, "does not allow it"),
        ("credentials", 401, ConfigurationError, "does not accept the credentials"),
        ("credentials", 429, ControlUnavailableError, "throttling"),
        ("credentials", 500, ControlUnavailableError, "cannot answer now"),
        ("instances", 503, ControlUnavailableError, "cannot answer now"),
    ],
)
def test_what_the_workspace_refuses_is_told_with_the_cure(
    world: World, path: str, status: int, kind: type[DataLoaderError], words: str
) -> None:
    for method in ("GET", "POST"):
        world.workspace.faults.add(method, path, status, retry_after=1 if status in (429, 503) else None)
    error = refused(world)
    assert isinstance(error, kind)
    assert words in str(error)
    assert error.cure


def test_a_workspace_that_throttles_for_a_moment_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRY_SECONDS", 20)
    world.workspace.faults.add("POST", "credentials", 429, times=1, retry_after=1)
    with world.control() as control:
        assert control.sources() == []


def test_an_expired_token_of_the_workspace_is_an_error_of_its_own(world: World) -> None:
    world.workspace.identity.expire(world.workspace.token)
    assert "DATABRICKS_TOKEN" in str(refused(world).cure)


def test_an_unreachable_workspace_is_told_in_time(world: World) -> None:
    world.workspace.stop_listening()
    began = time.monotonic()
    error = refused(world)
    assert isinstance(error, ControlUnavailableError)
    assert "cannot be reached" in str(error)
    assert time.monotonic() - began < 10


def test_without_a_workspace_the_cure_names_the_variables(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABRICKS_HOST")
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    error = refused(world)
    assert isinstance(error, ConfigurationError)
    assert "DATABRICKS_HOST" in str(error.cure)


def test_an_identity_without_a_role_is_told_how_to_get_one(world: World) -> None:
    world.api.on_issue = lambda user, token: None
    world.revoke_tokens()
    error = refused(world)
    assert isinstance(error, ControlUnavailableError)
    assert f"refused {USER} with a token that was just issued: " in error.problem
    assert "databricks_create_role" in str(error.cure)
    assert len(world.api.tokens) == 1


def test_why_no_connection_could_be_opened_is_told_by_every_later_call(world: World) -> None:
    world.let_tokens_last(1)
    with world.control() as control:
        control.sources()
        world.workspace.faults.add("POST", "credentials", 403)
        time.sleep(1.1)
        world.cut_connections()
        with pytest.raises(ConfigurationError, match="does not allow it"):
            control.sources()


def test_a_login_that_is_refused_for_a_moment_does_not_lose_what_a_load_has_to_say(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workspace's own token has expired at the end of a load, and whoever renews it is a second late."""
    world.let_tokens_last(1)
    renewed = threading.Timer(2, lambda: monkeypatch.setenv("DATABRICKS_TOKEN", world.workspace.identity.new_token()))
    with world.control() as control:
        control.sources()
        time.sleep(1.1)
        world.cut_connections()
        world.workspace.identity.expire(world.workspace.token)
        with pytest.raises(ControlLoginError, match="does not accept the credentials"):
            control.sources()
        renewed.start()
        assert patiently(control.sources, lambda: None) == []
    renewed.join()


def test_a_login_that_stays_refused_is_told_after_the_wait(world: World) -> None:
    world.workspace.faults.add("POST", "credentials", 403)
    with world.control() as control, pytest.raises(ControlLoginError, match="Can use"):
        patiently(control.sources, lambda: None, patience=1)


# secrecy


def test_no_log_at_any_level_shows_a_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.let_tokens_last(1)
    with world.control() as control:
        control.sources()
        time.sleep(1.1)
        world.cut_connections()
        control.sources()
        shown = f"{control!r}{control._connections!r}{world.login()!r}{control._connections._pool!r}"
    assert len(world.api.tokens) == 2
    assert any("credentials" in record.getMessage() for record in caplog.records)
    said = caplog.text + shown
    assert not any(part in said for token in world.api.tokens for part in (token, token[:40], token[-40:]))
    assert world.workspace.token not in said
