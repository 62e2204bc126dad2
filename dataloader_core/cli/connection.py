"""From ``--set``, ``--secret`` and ``--bundle`` to ``db_config_value``: names of secrets, never secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dataloader_core.errors import ConfigurationError, UnknownNameError
from dataloader_core.settings import is_secret

if TYPE_CHECKING:
    from pydantic import BaseModel

    from dataloader_core.plugins.manager import Registry

_OTHER_NAMES: Mapping[str, str] = {"service_name": "database", "username": "user"}


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
        if is_secret(model.model_fields[_known(model, name)].annotation):
            raise ConfigurationError(
                f"{name!r} is a secret; its value does not belong on a command line or into the control database.",
                cure=f"Store it as a secret and give its name: --secret {name}=NAME.",
            )
        _put(fields, name, {"value": _typed(model, name, text)})
    for name, text in _assignments("--secret", secrets):
        _known(model, name)
        _put(fields, name, text)
    if bundle is None:
        return fields
    return {"bundle": bundle, **fields} if fields else bundle


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
    candidates = {name, _OTHER_NAMES.get(name, name)}
    found = candidates & set(model.model_fields)
    if not found:
        raise UnknownNameError("connection field", name, model.model_fields)
    return found.pop()


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
