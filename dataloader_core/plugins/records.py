"""What a plugin's hook yields: small records that name an implementation without importing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pydantic import BaseModel

from dataloader_core.interfaces.control_login import ControlLogin
from dataloader_core.interfaces.engine import Engine
from dataloader_core.interfaces.launcher import Launcher
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.interfaces.source import SourceDialect
from dataloader_core.interfaces.strategy import LoadStrategy

API_VERSION: Final = 1

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class PluginRecord(Generic[T_co]):
    """One implementation.

    Attributes:
        name: What settings and the control database select it by. Lower case.
        summary: One line for ``plugins list``.
        load: Imports and returns the implementation's class; called only when it is selected. Drivers are
            imported in here or later, never at the top of the module with the hook.
        aliases: Other names that select it.
        settings: Its settings model, if it has one.
        extra: The extra that installs its drivers, for the install hint.
        api_version: Of this contract. A record of another version is refused by name.
    """

    name: str
    summary: str
    load: Callable[[], type[T_co]]
    aliases: tuple[str, ...] = ()
    settings: type[BaseModel] | None = None
    extra: str | None = None
    api_version: int = API_VERSION


class SourceRecord(PluginRecord[SourceDialect]):
    """A source dialect; ``name`` is the ``db_type``."""


class StrategyRecord(PluginRecord[LoadStrategy]):
    """A load strategy; ``name`` is the ``load_strategy``."""


@dataclass(frozen=True)
class SecretBackendRecord(PluginRecord[SecretBackend]):
    """A secret backend; ``name`` is what ``db_kv_scope`` starts with.

    Attributes:
        canonical: The one spelling of a scope (what follows the colon) that may be written in several ways, so that
            what a deployment says of a scope holds however a row spells it. Must do no I/O.
        bare_scopes: For a backend that takes a ``db_kv_scope`` without a backend's name as a scope of its own: None
            where it does so in this process, else what is missing, as a cure. Must do no I/O but a look at the
            environment.
    """

    canonical: Callable[[str], str] | None = None
    bare_scopes: Callable[[], str | None] | None = None


class EngineRecord(PluginRecord[Engine]):
    """An engine; selected by ``DATALOADER_ENGINE``."""


class LauncherRecord(PluginRecord[Launcher]):
    """A launcher; selected by ``DATALOADER_LAUNCHER``."""


class ControlLoginRecord(PluginRecord[ControlLogin]):
    """A way to log in to the control database; ``name`` is the scheme of ``DATALOADER_CONTROL_URL``."""
