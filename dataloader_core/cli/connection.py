"""From ``--set``, ``--secret`` and ``--bundle`` to ``db_config_value``: names of secrets, never secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataloader_core.errors import ConfigurationError, SecretError, UnknownNameError
from dataloader_core.redaction import MASK
from dataloader_core.secrets import BUNDLE, LITERAL, Resolver, field_names
from dataloader_core.settings import is_secret, mask_url

if TYPE_CHECKING:
    from pydantic import BaseModel

    from dataloader_core.plugins.manager import Registry
    from dataloader_core.settings import Settings
    from dataloader_core.table import SourceConfig

_SECRET_LOOKING = re.compile("pass|pwd|secret|token|key", re.IGNORECASE)


def connection_fields(
    registry: Registry, db_type: str, literals: Sequence[str], secrets: Sequence[str], bundle: str | None
) -> dict[str, Any] | str:
    """The row's ``db_config_value``, checked against the dialect's own fields.

    Raises:
        ConfigurationError: not FIELD=VALUE, a field given twice, or a secret given as a literal.
        UnknownNameError: no such type or field.
    """
    model = registry.source(db_type).connection_model
    fields: dict[str, Any] = {}
    for name, text in _assignments("--set", literals):
        if is_secret(model.model_fields[_known(model, name)].annotation) or mask_url(text) != text:
            raise ConfigurationError(
                f"{name!r} holds a secret; its value does not belong on a command line or into the control database.",
                cure=f"Store it as a secret and give its name: --secret {name}=NAME.",
            )
        _put(fields, name, {LITERAL: _typed(model, name, text)})
    for name, text in _assignments("--secret", secrets):
        _known(model, name)
        _put(fields, name, text)
    if bundle is None:
        return fields
    return {BUNDLE: bundle, **fields} if fields else bundle


def settings_of(options: Sequence[str]) -> dict[str, Any]:
    """A source's ``options``: numbers, booleans and lists as JSON writes them, everything else as text."""
    found: dict[str, Any] = {}
    for name, text in _assignments("--option", options):
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        _put(found, name, value)
    return found


def _assignments(option: str, given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            # What stands there may be a password: it is not repeated.
            raise ConfigurationError(
                f"A value of {option} is not of the form NAME=VALUE.", cure=f"Write it like {option} host=db1."
            )
        yield name, value


def _known(model: type[BaseModel], name: str) -> str:
    """The model's own name of a field."""
    names = field_names(model)
    if name not in names:
        raise UnknownNameError("connection field", name, names)
    return names[name]


def _typed(model: type[BaseModel], name: str, text: str) -> Any:
    """The text, checked by the field's own type; a number stays a number in the row."""
    from pydantic import TypeAdapter, ValidationError

    field = model.model_fields[_known(model, name)]
    try:
        value = TypeAdapter(field.rebuild_annotation()).validate_python(text)
    except ValidationError as error:
        reason = error.errors(include_input=False, include_url=False)[0]["msg"]
        raise ConfigurationError(f"--set {name}: {reason}.") from None
    return value if isinstance(value, bool | int | float) else text


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    if name in fields:
        raise ConfigurationError(f"{name!r} is given twice.", cure="Give each field once.")
    fields[name] = value


def check_secret_names(value: dict[str, Any] | str, scope: str, registry: Registry, settings: Settings) -> None:
    """Refuse what is no name of a secret that sources may use: it may be the secret itself.

    Raises:
        SecretError: sources may not use the scope or the name; a name is not repeated.
        UnknownNameError: no plugin offers the scope's backend.
    """
    registry.secret_scope(scope)
    resolver = Resolver(scope, registry, settings)
    entries = {BUNDLE: value} if isinstance(value, str) else value
    if any(isinstance(name, str) for name in entries.values()):
        resolver.allow_scope()
    for field, name in entries.items():
        if isinstance(name, str):
            try:
                resolver.allow(name)
            except SecretError as error:
                raise SecretError(
                    f"What was given for {field!r} is not the name of a secret that sources may use in {scope!r}.",
                    cure=error.cure,
                ) from None


def masked(source: SourceConfig) -> SourceConfig:
    """The source as it may be shown: somebody may have written a password into the row with SQL."""
    value = source.db_config_value
    return source if isinstance(value, str) else replace(source, db_config_value=_masked_fields(value))


def _masked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _masked(name, entry) for name, entry in fields.items()}


def _masked(name: str, entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    if _SECRET_LOOKING.search(name):
        return dict.fromkeys(entry, MASK)
    return {key: mask_url(item) if isinstance(item, str) else item for key, item in entry.items()}
