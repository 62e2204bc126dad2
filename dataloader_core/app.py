"""What every process needs, opened when it is first asked for: settings, plugins, control database, engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property

from dataloader_core.control.database import ControlDatabase
from dataloader_core.control.logins import control_login
from dataloader_core.interfaces.engine import Engine
from dataloader_core.plugins.manager import Registry, default_registry
from dataloader_core.settings import Settings, read_settings


class App:
    """One process's view of its deployment. Nothing is opened, imported or resolved before it is used."""

    def __init__(self, settings: Settings, registry: Registry, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self.registry = registry
        self._environ = environ

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> App:
        environ = os.environ if environ is None else environ
        return cls(Settings.from_environment(environ), default_registry(), environ)

    @cached_property
    def control(self) -> ControlDatabase:
        """The control database, its schema checked.

        Raises:
            ConfigurationError: no control database is configured; with both cures.
            ControlUnavailableError: it does not answer.
            SchemaVersionError: its schema is not of this program's version.
        """
        control = self.open_control()
        control.check_schema()
        return control

    def open_control(self) -> ControlDatabase:
        """The control database as it is, with whatever schema (for ``init``).

        Raises:
            ConfigurationError: its URL cannot be understood, or no plugin offers its scheme.
        """
        return ControlDatabase(control_login(self.settings.resolve_control_url(), self.registry))

    @cached_property
    def engine(self) -> Engine:
        record = self.registry.engine_record(self.settings.engine)
        engine_class = self.registry.engine(self.settings.engine)
        assert record.settings is not None, f"engine {record.name} has no settings model"
        return engine_class(read_settings(record.settings, self._environ))

    def close(self) -> None:
        if "control" in self.__dict__:
            self.control.close()
