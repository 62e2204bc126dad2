"""Finds plugins, keeps broken ones apart, and selects implementations by name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal, get_args

import pluggy

from dataloader_core.errors import MissingDriverError, PluginError, UnknownNameError
from dataloader_core.interfaces.control_login import ControlLogin
from dataloader_core.interfaces.engine import Engine
from dataloader_core.interfaces.launcher import Launcher
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.interfaces.source import SourceDialect
from dataloader_core.interfaces.strategy import LoadStrategy
from dataloader_core.plugins.hookspecs import ENTRY_POINT_GROUP, NAMESPACE, Hooks
from dataloader_core.plugins.records import (
    API_VERSION,
    ControlLoginRecord,
    EngineRecord,
    LauncherRecord,
    PluginRecord,
    SecretBackendRecord,
    SourceRecord,
    StrategyRecord,
)

Kind = Literal["source", "strategy", "secret backend", "engine", "launcher", "control login"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True)
class _Contract:
    """What belongs to a kind: its hook, its record, its interface."""

    hook: str
    record: type[PluginRecord[Any]]
    interface: type[Any]


_CONTRACTS: Final[Mapping[Kind, _Contract]] = {
    "source": _Contract("dataloader_sources", SourceRecord, SourceDialect),
    "strategy": _Contract("dataloader_strategies", StrategyRecord, LoadStrategy),
    "secret backend": _Contract("dataloader_secret_backends", SecretBackendRecord, SecretBackend),
    "engine": _Contract("dataloader_engines", EngineRecord, Engine),
    "launcher": _Contract("dataloader_launchers", LauncherRecord, Launcher),
    "control login": _Contract("dataloader_control_logins", ControlLoginRecord, ControlLogin),
}
# A scope, a tag and an environment variable's value are made of names: no blanks, colons or dots.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class PluginOffer:
    """One name that one package offers.

    ``entry_point`` is the plugin's name in the group, ``package`` and ``version`` the distribution's.
    """

    kind: Kind
    record: PluginRecord[Any]
    entry_point: str
    package: str
    version: str

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that selects it, its name first."""
        return (self.record.name, *self.record.aliases)

    @property
    def origin(self) -> str:
        """For messages: package, version and entry point."""
        return f"{self.package} {self.version} (entry point {self.entry_point!r})"


@dataclass(frozen=True)
class PluginProblem:
    """A plugin that is left out, and why. Nothing of it can be selected."""

    entry_point: str
    package: str
    version: str
    cause: str

    def __str__(self) -> str:
        return f"{self.entry_point!r} of {self.package} {self.version}: {self.cause}"


class Registry:
    """All plugins of this environment. Making one imports every plugin's top module, and no driver.

    Args:
        found: Entry points to use instead of the installed ones.
    """

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        self._manager = pluggy.PluginManager(NAMESPACE)
        self._manager.add_hookspecs(Hooks)
        self._problems: list[PluginProblem] = []
        self._offers: list[PluginOffer] = []
        self._by_name: dict[tuple[Kind, str], list[PluginOffer]] = defaultdict(list)
        for entry_point in entry_points(group=ENTRY_POINT_GROUP) if found is None else found:
            self._take(entry_point)

    @property
    def problems(self) -> Sequence[PluginProblem]:
        """Plugins that were left out."""
        return tuple(self._problems)

    def listing(self) -> Sequence[PluginOffer]:
        """Everything on offer, by kind and name; names that two packages offer are in it twice."""
        return sorted(self._offers, key=lambda o: (KINDS.index(o.kind), o.record.name, o.package))

    def conflicts(self) -> Mapping[tuple[Kind, str], Sequence[PluginOffer]]:
        """Names, aliases included, that are offered more than once and so cannot be selected."""
        return {key: tuple(offers) for key, offers in self._by_name.items() if len(offers) > 1}

    def names(self, kind: Kind) -> Sequence[str]:
        """The names on offer, without aliases."""
        return sorted({o.record.name for o in self._offers if o.kind == kind})

    def source(self, name: str) -> type[SourceDialect]:
        """The dialect for a ``db_type``. Raises as :meth:`select`."""
        return self.load(self.select("source", name))

    def strategy(self, name: str) -> type[LoadStrategy]:
        """The class for a ``load_strategy``. Raises as :meth:`select`."""
        return self.load(self.select("strategy", name))

    def secret_backend(self, name: str) -> type[SecretBackend]:
        """The backend for what a ``db_kv_scope`` starts with. Raises as :meth:`select`."""
        return self.load(self.select("secret backend", name))

    def secret_scope(self, scope: str) -> tuple[PluginOffer, str | None]:
        """Who resolves a ``db_kv_scope``, and what of it that backend is made with, in its one spelling.

        A name of no backend is a scope of the backend that takes such names in this process, if there is one.

        Raises:
            UnknownNameError: nobody does; says what is missing where somebody could.
            PluginError: several do.
        """
        kind, colon, rest = scope.partition(":")
        if colon or (("secret backend", kind) in self._by_name):
            offer = self.select("secret backend", kind)
            return offer, _spelled(offer, rest) if rest else None
        answers = [(offer, ask()) for offer, ask in self._takers_of_bare_scopes()]
        takers = [offer for offer, missing in answers if missing is None]
        if len(takers) > 1:
            raise PluginError(
                f"The secret scope {scope!r} may be one of {' and of '.join(o.origin for o in takers)}.",
                cure=f"Write it as {takers[0].record.name}:{scope}, for instance.",
            )
        if not takers:
            cures = [*(missing for _, missing in answers if missing), self._failed()]
            known = self.names("secret backend")
            raise UnknownNameError("secret backend", scope, known, cure=" ".join(c for c in cures if c) or None)
        return takers[0], _spelled(takers[0], scope)

    def engine(self, name: str) -> type[Engine]:
        """The engine for a value of ``DATALOADER_ENGINE``. Raises as :meth:`select`."""
        return self.load(self.select("engine", name))

    def launcher(self, name: str) -> type[Launcher]:
        """The launcher for a value of ``DATALOADER_LAUNCHER``. Raises as :meth:`select`."""
        return self.load(self.select("launcher", name))

    def control_login(self, scheme: str) -> type[ControlLogin]:
        """The login for a scheme of ``DATALOADER_CONTROL_URL``. Raises as :meth:`select`."""
        return self.load(self.select("control login", scheme))

    def record(self, kind: Kind, name: str) -> PluginRecord[Any]:
        """The record that a name or alias selects; imports nothing. Raises as :meth:`select`."""
        return self.select(kind, name).record

    def engine_record(self, name: str) -> PluginRecord[Engine]:
        """The record of an engine, for its settings model."""
        return self.record("engine", name)

    def select(self, kind: Kind, name: str) -> PluginOffer:
        """The only offer of a name or alias.

        Raises:
            UnknownNameError: nobody offers it; names what is on offer and the plugins that failed.
            PluginError: it is offered more than once; names the packages.
        """
        offers = self._by_name.get((kind, name), [])
        if not offers:
            raise UnknownNameError(kind, name, self.names(kind), cure=self._failed())
        if len(offers) > 1:
            raise PluginError(
                f"The {kind} {name!r} is offered by {' and by '.join(o.origin for o in offers)}.",
                cure="Uninstall all but one of them.",
            )
        return offers[0]

    def load(self, offer: PluginOffer) -> type[Any]:
        """Import an offer's implementation.

        Raises:
            MissingDriverError: a package is missing; the cure installs it.
            PluginError: loading failed otherwise, or gave something that is no implementation.
        """
        interface = _CONTRACTS[offer.kind].interface
        try:
            loaded = offer.record.load()
        except ImportError as e:
            raise _missing(offer, e) from e
        except Exception as e:
            raise PluginError(f"The {offer.kind} {offer.record.name!r} of {offer.origin} failed: {_cause(e)}") from e
        if not (isinstance(loaded, type) and issubclass(loaded, interface)):
            raise PluginError(
                f"The {offer.kind} {offer.record.name!r} of {offer.origin} loads {loaded!r}.",
                cure=f"`load` must return a subclass of {interface.__module__}.{interface.__qualname__}.",
            )
        if missing := sorted(getattr(loaded, "__abstractmethods__", ())):
            raise PluginError(
                f"The {offer.kind} {offer.record.name!r} of {offer.origin} does not implement {', '.join(missing)}.",
                cure=f"Implement what {interface.__module__}.{interface.__qualname__} asks for.",
            )
        return loaded

    def _takers_of_bare_scopes(self) -> list[tuple[PluginOffer, Callable[[], str | None]]]:
        records = [(offer, offer.record) for offer in self._offers]
        return [(o, r.bare_scopes) for o, r in records if isinstance(r, SecretBackendRecord) and r.bare_scopes]

    def _failed(self) -> str | None:
        if not self._problems:
            return None
        return f"These plugins failed to load: {'; '.join(map(str, self._problems))}."

    def _take(self, entry_point: EntryPoint) -> None:
        """Load one plugin whole, or leave it out whole and say why."""
        package, version = _distribution(entry_point)
        try:
            plugin = entry_point.load()
            self._register(plugin, f"{package}:{entry_point.name}")
            offers = [
                PluginOffer(kind, record, entry_point.name, package, version)
                for kind in KINDS
                for record in self._records(kind, plugin)
            ]
        # A plugin that calls sys.exit while it is imported is as broken as one that raises.
        except (Exception, SystemExit) as e:  # noqa: BLE001  # whatever a plugin raises
            self._problems.append(PluginProblem(entry_point.name, package, version, _cause(e)))
            return
        self._offers.extend(offers)
        for offer in offers:
            for name in offer.names:
                self._by_name[offer.kind, name].append(offer)

    def _register(self, plugin: object, name: str) -> None:
        try:
            self._manager.register(plugin, name)
            # After each one: otherwise a misspelt hook goes unnoticed, or would be blamed on the next plugin.
            self._manager.check_pending()
            if not self._manager.get_hookcallers(plugin):
                raise PluginError(
                    "it implements no hook.", cure="Mark its hooks with dataloader_core.plugins.hookimpl."
                )
        except Exception:
            # A name that another plugin holds was never registered for this one.
            if self._manager.get_plugin(name) is plugin:
                self._manager.unregister(plugin)
            raise

    def _records(self, kind: Kind, plugin: object) -> list[PluginRecord[Any]]:
        contract = _CONTRACTS[kind]
        others = [p for p in self._manager.get_plugins() if p is not plugin]
        try:
            yielded = self._manager.subset_hook_caller(contract.hook, others)()
            records = [record for group in yielded for record in group]
            for record in records:
                _check(contract, record)
        except (Exception, SystemExit):
            self._manager.unregister(plugin)
            raise
        return records


@cache
def default_registry() -> Registry:
    """The registry of what is installed, made once for this process."""
    return Registry()


def _check(contract: _Contract, record: Any) -> None:
    if not isinstance(record, contract.record):
        raise PluginError(f"{contract.hook} yields {record!r}, not a {contract.record.__name__}.")
    if record.api_version != API_VERSION:
        raise PluginError(
            f"{contract.hook} offers {record.name!r} for API version {record.api_version!r}; this is {API_VERSION}.",
            cure="Install a version of the plugin that fits this version of dataloader-core.",
        )
    for name in (record.name, *record.aliases):
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise PluginError(
                f"{contract.hook} offers the name {name!r}.",
                cure="A name starts with a-z and goes on with at most 62 of a-z, 0-9, '_' and '-'.",
            )
    if not callable(record.load):
        raise PluginError(f"{contract.hook} offers {record.name!r} with a `load` that cannot be called.")


def _spelled(offer: PluginOffer, scope: str) -> str:
    canonical = offer.record.canonical if isinstance(offer.record, SecretBackendRecord) else None
    return canonical(scope) if canonical else scope


def _distribution(entry_point: EntryPoint) -> tuple[str, str]:
    if entry_point.dist is None:
        return "unknown package", "?"
    return entry_point.dist.name, entry_point.dist.version


def _missing(offer: PluginOffer, error: ImportError) -> PluginError | MissingDriverError:
    """A driver that is not there, told apart from a plugin that misses a part of itself."""
    what = f"The {offer.kind} {offer.record.name!r} of {offer.origin}"
    module = error.name or ""
    if module and module.partition(".")[0] == offer.record.load.__module__.partition(".")[0]:
        return PluginError(f"{what} is incomplete: {_cause(error)}", cure=f"Install {offer.package} again.")
    install = f"{offer.package}[{offer.record.extra}]" if offer.record.extra else module or offer.package
    return MissingDriverError(
        f"{what} needs {module or 'a driver'}, which cannot be imported: {error}.",
        cure=f"Install it with: pip install '{install}'",
    )


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
