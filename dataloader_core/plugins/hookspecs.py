"""The hooks, one a kind. Each yields records; the docstrings are the reference."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from dataloader_core.plugins.records import (
    ControlLoginRecord,
    EngineRecord,
    LauncherRecord,
    SecretBackendRecord,
    SourceRecord,
    StrategyRecord,
)

NAMESPACE = "dataloader"
ENTRY_POINT_GROUP = "dataloader.plugins"

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


class Hooks:
    """A plugin is a module on the entry-point group ``dataloader.plugins`` that implements some of these."""

    @hookspec
    def dataloader_sources(self) -> Iterable[SourceRecord]:
        """Source dialects. Selected by ``table_control_dbconfig.db_type``.

        Must not import a driver, open a connection or read settings.

        Example::

            @hookimpl
            def dataloader_sources():
                yield SourceRecord("mysql", "MySQL 8 and MariaDB", load=_load, aliases=("mariadb",), extra="mysql")


            def _load():
                from dataloader_mysql.dialect import MySQL

                return MySQL
        """
        raise NotImplementedError

    @hookspec
    def dataloader_strategies(self) -> Iterable[StrategyRecord]:
        """Load strategies. Selected by ``table_control.load_strategy``.

        Must do no I/O: a strategy is told what the source answered.

        Example::

            @hookimpl
            def dataloader_strategies():
                yield StrategyRecord("snapshot_append", "Everything, each time", load=lambda: SnapshotAppend)
        """
        raise NotImplementedError

    @hookspec
    def dataloader_secret_backends(self) -> Iterable[SecretBackendRecord]:
        """Secret backends. Selected by what ``table_control_dbconfig.db_kv_scope`` starts with.

        Must not resolve anything yet, nor log names together with values ever.

        Example::

            @hookimpl
            def dataloader_secret_backends():
                yield SecretBackendRecord("vault", "HashiCorp Vault", load=lambda: Vault, extra="vault")
        """
        raise NotImplementedError

    @hookspec
    def dataloader_engines(self) -> Iterable[EngineRecord]:
        """Engines. Selected by the setting ``DATALOADER_ENGINE``.

        Must not start anything (a JVM, a session) when listed.

        Example::

            @hookimpl
            def dataloader_engines():
                yield EngineRecord("local", "DuckDB and delta-rs on this machine", load=_load, extra="local")
        """
        raise NotImplementedError

    @hookspec
    def dataloader_launchers(self) -> Iterable[LauncherRecord]:
        """Launchers. Selected by the setting ``DATALOADER_LAUNCHER``.

        Must not import Dagster when listed.

        Example::

            @hookimpl
            def dataloader_launchers():
                yield LauncherRecord("subprocess", "A process of its own on this machine", load=_load)
        """
        raise NotImplementedError

    @hookspec
    def dataloader_control_logins(self) -> Iterable[ControlLoginRecord]:
        """Ways to log in to the control database. Selected by the scheme of ``DATALOADER_CONTROL_URL``.

        Must not ask for credentials or connect when listed.

        Example::

            @hookimpl
            def dataloader_control_logins():
                yield ControlLoginRecord("rds", "Amazon RDS with IAM", load=_load, extra="rds")
        """
        raise NotImplementedError
