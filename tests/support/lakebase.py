"""A Lakebase for tests: a real PostgreSQL behind TLS, whose passwords are the tokens of a stand-in workspace."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.logins import control_login
from dataloader_core.interfaces.control_login import ControlLogin
from dataloader_core.plugins.manager import default_registry
from tests.conftest import PostgresServer
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.credentials import Lakebase
from tests.support.tls import PostgresTlsFront, certificate

USER = "someone@example.com"
"""Whose token ``workspace.token`` is."""
INSTANCE = "crm-control"
ENDPOINT = "projects/crm/branches/production/endpoints/primary"


class World:
    """An instance and an endpoint that lead to one database; ``user`` may log in there by token only."""

    def __init__(self, server: PostgresServer, workspace: Workspace, folder: Path, database: str) -> None:
        self.server = server
        self.workspace = workspace
        self.database = database
        self.api = workspace.state(Lakebase)
        self.api.on_issue = self.set_password
        self.api.add_instance(INSTANCE, "localhost")
        self.api.add_endpoint(ENDPOINT, "localhost")
        self.root, key = certificate(folder, "localhost")
        self.front = PostgresTlsFront((server.host, server.port), self.root, key)
        self.front.start()
        self._admin(
            sql.SQL("DO $$ BEGIN CREATE ROLE {} LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
            .format(sql.Identifier(USER))
        )  # fmt: skip

    def url(self, instance: str = INSTANCE, **parameters: str) -> str:
        given = {"port": str(self.front.port), "sslrootcert": str(self.root)} | parameters
        return f"lakebase://{instance}/{self.database}?{'&'.join(f'{k}={v}' for k, v in given.items())}"

    def login(self, instance: str = INSTANCE, **parameters: str) -> ControlLogin:
        return control_login(self.url(instance, **parameters), default_registry())

    @contextmanager
    def control(self, instance: str = INSTANCE, **parameters: str) -> Iterator[ControlDatabase]:
        with ControlDatabase(self.login(instance, **parameters)) as control:
            yield control

    def set_password(self, user: str, token: str) -> None:
        """What makes a token a password: the one before it is worth nothing from here on."""
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        self._admin(statement.format(sql.Identifier(user), sql.Literal(token)))

    def revoke_tokens(self) -> None:
        self.set_password(USER, secrets.token_hex(16))

    def cut_connections(self) -> None:
        self._admin(
            sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}")
            .format(sql.Literal(USER))
        )  # fmt: skip

    def let_tokens_last(self, seconds: float) -> None:
        self.api.lifetime = timedelta(seconds=seconds)

    def close(self) -> None:
        self.front.stop()

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute(statement)
