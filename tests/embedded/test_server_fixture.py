"""The PostgreSQL that all tests share keeps what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.conftest import PostgresServer


def test_the_socket_lets_the_superuser_in(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.new_database("spare")) as connection:
        row = connection.execute("SELECT current_setting('server_version_num')::int / 10000, current_user").fetchone()
    assert row == (18, "postgres")


def test_tcp_asks_for_the_right_password(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.tcp_dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.tcp_dsn(password="wrong"))


def test_it_comes_back_after_a_restart(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.new_database("kept")
    postgres_server.restart()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
