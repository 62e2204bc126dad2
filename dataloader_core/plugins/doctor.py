"""What ``dataloader doctor`` looks at: settings, broken plugins, names offered twice, missing drivers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final

from pydantic import BaseModel

from dataloader_core.embedded.folder import find_folder
from dataloader_core.errors import DataLoaderError
from dataloader_core.failpoints import LOG_VARIABLE, POINTS_VARIABLE
from dataloader_core.interfaces.source import Check, JdbcDriver
from dataloader_core.plugins.manager import Kind, PluginOffer, Registry, default_registry
from dataloader_core.settings import EMBEDDED, PREFIX, Settings, mask_url, read_settings, variable

_SECRETS: Final = "DATALOADER_SECRET_"
"""By custom the names of secrets in the environment, which are anybody's choice."""
_OTHER_VARIABLES: Final = (POINTS_VARIABLE, LOG_VARIABLE)
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def checks(registry: Registry | None = None, environ: Mapping[str, str] | None = None) -> Sequence[Check]:
    """All checks, in the order in which they should be read. Connects to nothing but the engine's storage."""
    registry = registry or default_registry()
    environ = os.environ if environ is None else environ
    return [
        *_settings(registry, environ),
        *_variables(registry, environ),
        *_problems(registry),
        *_conflicts(registry),
        *_implementations(registry, environ),
    ]


def _settings(registry: Registry, environ: Mapping[str, str]) -> Iterator[Check]:
    try:
        settings = read_settings(Settings, environ)
    except DataLoaderError as e:
        yield _failed("settings", e)
        return
    yield Check("settings", True, "all values can be read")
    yield _control(registry, settings)
    yield from _engine(registry, settings, environ)
    yield _selected(registry, "launcher", settings.launcher)


def _control(registry: Registry, settings: Settings) -> Check:
    url = settings.control_url.get_secret_value() if settings.control_url else None
    if url and url != EMBEDDED:
        return _reached(registry, url)
    if found := find_folder():
        return Check("control database", True, f"embedded in {found.home}")
    if url == EMBEDDED:
        return Check("control database", True, "embedded, made in this folder when it is first used")
    return Check(
        "control database",
        False,
        "DATALOADER_CONTROL_URL is not set, and there is no .dataloader/ in this folder or above.",
        "Run `dataloader init`, or set DATALOADER_CONTROL_URL.",
    )


def _reached(registry: Registry, url: str) -> Check:
    from dataloader_core.control.database import ControlDatabase
    from dataloader_core.control.logins import control_login

    try:
        with ControlDatabase(control_login(url, registry), pool_size=1) as control:
            control.check_schema()
    except DataLoaderError as e:
        return _failed("control database", e)
    return Check("control database", True, mask_url(url))


def _engine(registry: Registry, settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    name = f"engine {settings.engine}"
    selected = _selected(registry, "engine", settings.engine)
    yield selected
    if not selected.ok:
        return
    record = registry.engine_record(settings.engine)
    if record.settings is None:
        return
    try:
        engine = registry.engine(settings.engine)(read_settings(record.settings, environ))
        yield from engine.checks()
        yield from engine.driver_checks(_drivers(registry))
    except DataLoaderError as e:
        yield _failed(f"settings of {name}", e)


def _drivers(registry: Registry) -> dict[str, JdbcDriver]:
    """Of the sources that are installed; what keeps another from being loaded has a line of its own."""
    found = {}
    for offer in registry.listing():
        if offer.kind == "source" and not _missing_requirements(offer):
            with suppress(DataLoaderError):
                found[offer.record.name] = registry.load(offer).jdbc
    return {name: driver for name, driver in found.items() if driver is not None}


def _selected(registry: Registry, kind: Kind, name: str) -> Check:
    title = f"selected {kind}"
    try:
        offer = registry.select(kind, name)
    except DataLoaderError as e:
        return _failed(title, e)
    return Check(title, True, f"{name}, of {offer.package} {offer.version}")


def _variables(registry: Registry, environ: Mapping[str, str]) -> Iterator[Check]:
    """A misspelt variable is not an error anywhere: it is simply not read."""
    models: list[type[BaseModel]] = [Settings, *(o.record.settings for o in registry.listing() if o.record.settings)]
    known = {variable(field) for model in models for field in model.model_fields} | set(_OTHER_VARIABLES)
    for name in sorted(environ):
        near = get_close_matches(name, known, n=1, cutoff=0.8)
        if name.startswith(PREFIX) and not name.startswith(_SECRETS) and name not in known and near:
            yield Check(
                f"variable {name}", False, "Nothing reads it.", f"Did you mean {near[0]}? If not, ignore this line."
            )


def _problems(registry: Registry) -> Iterator[Check]:
    for problem in registry.problems:
        yield Check(
            f"plugin {problem.entry_point}",
            False,
            f"{problem.package} {problem.version} is left out: {problem.cause}",
            f"Update or uninstall {problem.package}, or tell its authors.",
        )


def _conflicts(registry: Registry) -> Iterator[Check]:
    for (kind, name), offers in sorted(registry.conflicts().items()):
        by = " and by ".join(offer.origin for offer in offers)
        yield Check(f"{kind} {name}", False, f"It is offered by {by}; it cannot be used.", "Uninstall all but one.")


def _implementations(registry: Registry, environ: Mapping[str, str]) -> Iterator[Check]:
    selected = _selections(registry, environ)
    for offer in registry.listing():
        # What rows select (sources, strategies) is not known here; a broken setting was reported above.
        by_rows = offer.kind in ("source", "strategy")
        needed = by_rows or selected is None or (offer.kind, offer.record.name) in selected
        yield _implementation(registry, offer, needed=needed)


def _selections(registry: Registry, environ: Mapping[str, str]) -> set[tuple[Kind, str]] | None:
    """What the settings select; None where they cannot be read."""
    try:
        settings = read_settings(Settings, environ)
    except DataLoaderError:
        return None
    url = settings.control_url.get_secret_value() if settings.control_url else ""
    wanted: list[tuple[Kind, str]] = [
        ("engine", settings.engine),
        ("launcher", settings.launcher),
        ("control login", url.partition("://")[0]),
    ]
    chosen = (o for o in registry.listing() if any((o.kind, name) in wanted for name in o.names))
    found: set[tuple[Kind, str]] = {(offer.kind, offer.record.name) for offer in chosen}
    for scope in settings.secret_scopes:
        with suppress(DataLoaderError):
            found.add(("secret backend", registry.secret_scope(scope)[0].record.name))
    return found


def _implementation(registry: Registry, offer: PluginOffer, *, needed: bool) -> Check:
    """Whether an offer can be imported with everything that it needs; what no setting selects may lack a driver."""
    title = f"{offer.kind} {offer.record.name}"
    install = f"pip install '{offer.package}[{offer.record.extra}]'"
    missing = _missing_requirements(offer)
    if missing and not needed:
        return Check(title, True, f"not selected; to use it: {install}")
    try:
        registry.load(offer)
    except DataLoaderError as e:
        return _failed(title, e)
    if missing:
        return Check(
            title,
            False,
            f"{offer.package} {offer.version} needs {', '.join(missing)}, not installed.",
            f"Install with: {install}",
        )
    return Check(title, True, f"{offer.package} {offer.version}")


def _missing_requirements(offer: PluginOffer) -> list[str]:
    """Distributions of the offer's extra that are not installed; drivers are imported later than ``load``."""
    try:
        requires = distribution(offer.package).requires or ()
    except PackageNotFoundError:
        return []
    return [name for line in requires if (name := _requirement(line, offer.record.extra)) and not _installed(name)]


def _requirement(line: str, extra: str | None) -> str | None:
    """The distribution that a line of metadata asks for in this extra, if it does."""
    asked, named = _EXTRA.search(line), _REQUIREMENT.match(line)
    return named[1] if extra and asked and asked[1] == extra and named else None


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _failed(title: str, error: DataLoaderError) -> Check:
    return Check(title, False, error.problem, error.cure)
