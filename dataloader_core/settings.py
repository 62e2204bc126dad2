"""Settings: environment variables ``DATALOADER_<FIELD>``, read into small models."""

from __future__ import annotations

import json
import os
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr, ValidationError

from dataloader_core.errors import ConfigurationError

PREFIX: Final = "DATALOADER_"
EMBEDDED: Final = "embedded"
"""The value of ``DATALOADER_CONTROL_URL`` that asks for the PostgreSQL in ``.dataloader/`` of this folder."""

M = TypeVar("M", bound=BaseModel)
_WHOLE_URL = re.compile(r"^(\s*[A-Za-z][\w+.-]*:/{0,2})([^:@/\s]*):(.*)@", re.DOTALL)
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):([^/\s]*)(?=@)")
_PASSWORD = re.compile(r"(?i)\b((?:ssl)?password|pwd|token|secret)(\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s;]+)")


class Settings(BaseModel):
    """What a deployment sets. A plugin's own settings are models of its own, read by the same rule.

    Attributes:
        control_url: libpq URI of the control database, the URL of a control login's plugin, or ``embedded``.
        lake: Root of all destinations: a folder or an object store's URL.
        engine: Name of the engine that carries out plans.
        launcher: Name of the launcher that starts runs.
        tables_per_tick: Tables that one tick of the sensor claims at most.
        tables_per_run: Tables of one source that share a run at most.
        pool_size: Tables that one process loads at a time.
        row_limit: For trial environments: no load reads more rows than this.
        secret_scopes: Values of ``db_kv_scope`` that sources may use; ``*`` stands for anything.
        secret_patterns: Names that sources may use, by scope or by backend; a scope without patterns allows all its
            names. As text: ``env=DATALOADER_SECRET_*,file:/run/secrets=crm_*``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    control_url: SecretStr | None = None
    lake: str | None = None
    engine: str = "local"
    launcher: str = "subprocess"
    tables_per_tick: int = Field(default=10, ge=1, le=1000)
    tables_per_run: int = Field(default=12, ge=1, le=100)
    pool_size: int = Field(default=12, ge=1, le=100)
    row_limit: int | None = Field(default=None, ge=1)
    secret_scopes: tuple[str, ...] = ("env", "file:/run/secrets")
    secret_patterns: Mapping[str, tuple[str, ...]] = Field(default_factory=lambda: {"env": ("DATALOADER_SECRET_*",)})

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Raises as :func:`read_settings`."""
        return read_settings(cls, environ)

    def resolve_control_url(self, start: Path | None = None) -> str:
        """The URL of the control database; starts the embedded one where that is what is meant.

        Args:
            start: Where the search for ``.dataloader/`` begins; None: the current folder.

        Raises:
            ConfigurationError: no URL is set, and no folder here or above holds an embedded database.
        """
        from dataloader_core.embedded import embedded_url

        url = self.control_url.get_secret_value() if self.control_url else None
        if url and url != EMBEDDED:
            if "@" in url.partition("://")[2].partition("?")[0].partition("/")[2]:
                raise ConfigurationError(
                    f"{variable('control_url')} has an @ behind a /: its password is not percent-encoded.",
                    cure="Write / as %2F, @ as %40, : as %3A and a blank as %20 in it.",
                )
            return url
        return embedded_url(start, create=url == EMBEDDED)


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def read_settings(model: type[M], environ: Mapping[str, str] | None = None) -> M:
    """Fill a settings model from the environment.

    Each field ``name`` comes from ``DATALOADER_NAME``; an empty value counts as not set. Lists are separated by
    commas, mappings written ``key=value,key=value``, both also as JSON.

    Raises:
        ConfigurationError: values that the model does not take, by the names of their variables.
    """
    environ = os.environ if environ is None else environ
    values = {
        name: _value(variable(name), environ[variable(name)], field.annotation)
        for name, field in model.model_fields.items()
        if environ.get(variable(name), "").strip()
    }
    try:
        return model.model_validate(values)
    except ValidationError as e:
        faults = [_fault(error) for error in e.errors(include_input=False)]
    # Outside the handler: the validation error, which knows the values, must not travel along.
    raise ConfigurationError(f"Settings are wrong. {'; '.join(faults)}.", cure="Correct these environment variables.")


def is_secret(annotation: Any) -> bool:
    """Whether a field holds a secret: its type is, or may be, pydantic's ``SecretStr`` or ``SecretBytes``."""
    return annotation in (SecretStr, SecretBytes) or any(is_secret(part) for part in get_args(annotation))


def mask_url(text: str) -> str:
    """The same connection string (a URL, or libpq's ``key=value``) without its passwords."""
    # first as a whole: a password that is not percent-encoded may hold anything, up to the last @
    masked = _URL_PASSWORD.sub(r"\1:***", _WHOLE_URL.sub(r"\1\2:***@", text))
    return _PASSWORD.sub(r"\1\2***", masked)


def _fault(error: Mapping[str, Any]) -> str:
    said = "is not set" if error["type"] == "missing" else str(error["msg"])
    # What is wrong with several settings together names them itself.
    return f"{variable(str(error['loc'][0]))}: {said}" if error["loc"] else said


def _value(name: str, text: str, annotation: Any) -> Any:
    shape = _shape(annotation)
    if shape is None:
        return text.strip() if not is_secret(annotation) else text
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as e:
            raise ConfigurationError(
                f"{name} is not valid JSON: {e.msg} at character {e.pos}.", cure="Correct this environment variable."
            ) from None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return _pairs(name, parts, several=_holds_lists(annotation)) if shape is dict else parts


def _pairs(name: str, parts: list[str], *, several: bool) -> dict[str, Any]:
    pairs: dict[str, list[str]] = {}
    for part in parts:
        key, equals, value = part.rpartition("=")
        if not equals:
            raise ConfigurationError(f"{name} has {part!r}.", cure="Write key=value, separated by commas.")
        pairs.setdefault(key.strip(), []).append(value.strip())
    return pairs if several else {key: found[-1] for key, found in pairs.items()}


def _holds_lists(annotation: Any) -> bool:
    """Whether a mapping's values are lists, so that a key may come several times."""
    if isinstance(origin := get_origin(annotation), type) and issubclass(origin, Mapping):
        return _shape(get_args(annotation)[1]) is list
    return any(map(_holds_lists, get_args(annotation)))


def _shape(annotation: Any) -> type[list[Any]] | type[dict[Any, Any]] | None:
    """Whether a field holds one value (None), several, or a mapping."""
    origin = get_origin(annotation) or annotation
    if origin in (typing.Union, types.UnionType):
        return next((s for s in map(_shape, get_args(annotation)) if s is not None), None)
    if origin is typing.Annotated:
        return _shape(get_args(annotation)[0])
    if not isinstance(origin, type) or issubclass(origin, (str, bytes)):
        return None
    if issubclass(origin, (Mapping, BaseModel)):
        return dict
    return list if issubclass(origin, typing.Collection) else None
