"""Fixtures of the PostgreSQL source: a database of one's own, and a session on it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from reading import connect

from dataloader_sources.postgresql.session import PostgresSession


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection]:
    """A writer beside the session, in autocommit."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def session(database: str) -> Iterator[PostgresSession]:
    with connect(database) as opened:
        yield opened
