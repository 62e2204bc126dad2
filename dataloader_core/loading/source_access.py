"""From a source's row to an open session: secrets are resolved here, as late as possible."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from dataloader_core.errors import ConfigurationError, UnknownNameError
from dataloader_core.interfaces.source import SessionOptions, SourceDialect, SourceMemory, SourceSession
from dataloader_core.plugins.manager import Registry
from dataloader_core.secrets import resolve
from dataloader_core.settings import Settings
from dataloader_core.table import SourceConfig
from dataloader_core.values import Distance


class SourceAccess:
    """Opens sessions on one source. Holds the resolved connection, never shows it."""

    def __init__(
        self, source: SourceConfig, registry: Registry, settings: Settings, memory: SourceMemory | None = None
    ) -> None:
        self.source = source
        self._memory = memory
        self.dialect: SourceDialect = registry.source(source.db_type)()
        self._connection: BaseModel = resolve(source, registry, settings, self.dialect.connection_model)

    def session(self, application_name: str) -> SourceSession:
        """A new read-only session. Raises what :meth:`SourceDialect.connect` raises."""
        options = session_options(self.source, application_name)
        return self.dialect.connect(self._connection, replace(options, memory=self._memory))


def connections_of(source: SourceConfig) -> int:
    """Connections that one load opens at most: its session, its snapshot, and the readers of that."""
    return 2 + session_options(source, "").parallel


_PARALLEL = SessionOptions().parallel
_SPANS = ("login_timeout", "statement_timeout", "lock_timeout")


def session_options(source: SourceConfig, application_name: str) -> SessionOptions:
    """The session options of a source's row: its ``options``, as far as they are ours."""
    unknown = sorted(set(source.options) - {*_SPANS, "init_statement", "parallel"})
    if unknown:
        known = [*_SPANS, "init_statement", "parallel"]
        raise UnknownNameError(f"option of source {source.db_config_key!r}", unknown[0], known)
    given: dict[str, Any] = {}
    for name in _SPANS:
        if (text := source.options.get(name)) is not None:
            given[name] = _span(source, name, str(text))
    if (statement := source.options.get("init_statement")) is not None:
        given["init_statement"] = str(statement)
    given["parallel"] = max(1, min(_PARALLEL, source.max_connections - 2))
    if (parallel := source.options.get("parallel")) is not None:
        if not isinstance(parallel, int) or not 1 <= parallel <= 64:
            raise ConfigurationError(
                f"Source {source.db_config_key!r}: option 'parallel' is {parallel!r}; allowed: 1 to 64."
            )
        given["parallel"] = parallel
    return SessionOptions(application_name=application_name, **given)


def _span(source: SourceConfig, name: str, text: str) -> timedelta:
    distance = Distance.parse(text)
    if distance.span is not None:
        return distance.span
    if distance.number is not None:
        return timedelta(seconds=float(distance.number))
    raise ConfigurationError(f"Source {source.db_config_key!r}: option {name!r} is {text!r}; give seconds.")
