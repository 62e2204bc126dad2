"""From a source's row to a connection: names become values here, as late as possible.

``db_config_value`` says where each field of the connection comes from:

- ``"password": "DATALOADER_SECRET_CRM_PASSWORD"``: a string is the *name* of a secret, never a value;
- ``"host": {"value": "db.example"}``: a literal, for what is no secret. A literal password is refused;
- ``"bundle": "crm-connection"``: one secret that holds a JSON object of fields; other fields override it.
  The whole ``db_config_value`` may be such a name, too.

``db_kv_scope`` says who resolves the names: ``env``, ``file:/run/secrets``, or what a plugin offers. In the scope
``env`` a name is the environment variable's whole name, prefix and all; what is written is what is read. A bare name of
no backend (``azure-keyvault``) is a scope of the backend that takes such names.

Whoever may edit a source chooses names, and could send a secret to a host of their own. So the deployment, not the
row, says which scopes and which names are for sources: ``DATALOADER_SECRET_SCOPES`` and ``DATALOADER_SECRET_PATTERNS``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from dataloader_core.errors import ConfigurationError, DataLoaderError, PluginError, SecretError, UnknownNameError
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.plugins.manager import Registry
from dataloader_core.redaction import install_redaction, redact, remember
from dataloader_core.settings import Settings, is_secret, mask_url
from dataloader_core.table import SourceConfig

BUNDLE: Final = "bundle"
LITERAL: Final = "value"
DATABASE_NAMES: Final = ("database", "service_name")
"""Two names of the same field: both are accepted for every dialect."""

__all__ = ["Resolver", "field_names", "redact", "resolve"]

C = TypeVar("C", bound=BaseModel)


def resolve(source: SourceConfig, registry: Registry, settings: Settings, model: type[C]) -> C:
    """The connection that a source's row describes, its secrets resolved.

    Raises:
        SecretError: a name that sources may not use, that is not there or cannot be read.
        UnknownNameError: a secret backend or a field of the connection that does not exist.
        ConfigurationError: a literal password, or values that the connection model does not take.
    """
    entries = _entries(source)
    keys = field_names(model)
    resolver = Resolver(source.db_kv_scope, registry, settings)
    values: dict[str, Any] = {}
    taken_from_secrets: set[str] = set()
    if (bundle := entries.pop(BUNDLE, None)) is not None:
        # Others may keep more in a bundle than a connection needs.
        fields = {keys[k]: v for k, v in _bundle(resolver, source, bundle).items() if k in keys}
        values.update({name: _wrap(model, name, v) for name, v in fields.items()})
        taken_from_secrets |= fields.keys()
    for name, entry in _by_field(source, entries, keys).items():
        if isinstance(entry, str):
            values[name] = _wrap(model, name, resolver.get(entry).get_secret_value())
            taken_from_secrets.add(name)
        else:
            values[name] = _literal(source, name, entry, model)
            taken_from_secrets.discard(name)
    return _build(source, model, values, taken_from_secrets)


class Resolver:
    """Asks one scope for secrets, and only for those that the deployment lets sources use."""

    def __init__(self, scope: str, registry: Registry, settings: Settings) -> None:
        self._scope = scope
        self._registry = registry
        self._settings = settings
        self._backend: SecretBackend | None = None

    def get(self, name: str) -> SecretStr:
        """The secret's value; remembered, so that no log shows it.

        Raises:
            SecretError: the name may not be used, is not there, or the backend failed.
            UnknownNameError: no plugin offers the scope's backend.
        """
        backend = self._backend = self._backend or self._open()
        self.allow(name)
        try:
            secret = backend.get(name)
        except DataLoaderError:
            raise
        except Exception as e:  # noqa: BLE001  # whatever a plugin raises
            # Whatever a plugin raises; not chained and not quoted: nobody knows what a backend puts into it.
            raise SecretError(
                f"The secret backend {backend.name!r} failed on {name!r} with {type(e).__name__}.",
                cure="See that the backend can be reached and that this program may use it.",
            ) from None
        # From now on this process holds a secret, so its logs are cleaned, whoever writes them.
        install_redaction()
        remember(secret)
        return secret

    def _open(self) -> SecretBackend:
        offer, rest = self._registry.secret_scope(self._scope)
        self.allow_scope()
        made: SecretBackend = self._registry.load(offer)(rest)
        return made

    def allow_scope(self) -> None:
        """Refuse a scope that sources may not use; asks no backend.

        Raises:
            SecretError: sources may not use it.
            UnknownNameError: no plugin offers its backend.
        """
        if not self._scope_allowed():
            raise SecretError(
                f"Sources may not use the secret scope {self._scope!r}; allowed: "
                f"{', '.join(map(repr, self._settings.secret_scopes)) or 'none'}.",
                cure="Choose one of these for db_kv_scope, or let whoever runs DataLoader add it to "
                "DATALOADER_SECRET_SCOPES.",
            )

    def _scope_allowed(self) -> bool:
        # `file:/run/secrets/../..` would match a pattern that ends in `*`.
        if ".." in PurePosixPath(self._scope.partition(":")[2]).parts:
            return False
        # A bare name may be allowed as it is written, too; other spellings gain nothing.
        named = (self._whole,) if ":" in self._scope else (self._whole, self._scope)
        return any(self._whole == self._spelled(allowed) for allowed in self._settings.secret_scopes) or any(
            fnmatchcase(name, pattern)
            for allowed in self._settings.secret_scopes
            # As it is written, and in the backend's one spelling: Databricks knows no case, so its patterns have none.
            for pattern in (allowed, self._spelled(allowed))
            for name in named
        )

    @cached_property
    def _whole(self) -> str:
        """The scope with its backend's name, in its one spelling: a row gains nothing by writing it otherwise."""
        return self._spelled(self._scope)

    def _spelled(self, scope: str) -> str:
        try:
            offer, rest = self._registry.secret_scope(scope)
        except (UnknownNameError, PluginError):
            return scope
        return f"{offer.record.name}:{rest}" if rest else offer.record.name

    def allow(self, name: str) -> None:
        """Refuse a name that sources may not use; asks no backend. Raises SecretError."""
        allowed = self._patterns()
        if not any(fnmatchcase(name, pattern) for pattern in allowed):
            raise SecretError(
                f"Sources may not use the secret {name!r} in the scope {self._scope!r}; names must be like "
                f"{' or '.join(map(repr, allowed))}.",
                cure="Give the secret such a name, or let whoever runs DataLoader extend DATALOADER_SECRET_PATTERNS.",
            )

    def _patterns(self) -> Sequence[str]:
        """What names must be like: as the deployment says of the scope, else of the backend, else anything."""
        patterns = {self._spelled(scope): names for scope, names in self._settings.secret_patterns.items()}
        return patterns.get(self._whole, patterns.get(self._whole.partition(":")[0], ("*",)))


def _entries(source: SourceConfig) -> dict[str, Any]:
    if isinstance(source.db_config_value, str):
        return {BUNDLE: source.db_config_value}
    return dict(source.db_config_value)


def field_names(model: type[BaseModel]) -> dict[str, str]:
    """How a configuration may name each field of the model: its name, its alias, the twin of `database`."""
    keys = {name: name for name in model.model_fields}
    for name, field in model.model_fields.items():
        for alias in (field.alias, field.validation_alias, *getattr(field.validation_alias, "choices", ())):
            if isinstance(alias, str):
                keys.setdefault(alias, name)
    for one, other in (DATABASE_NAMES, DATABASE_NAMES[::-1]):
        if one in keys:
            keys.setdefault(other, keys[one])
    return keys


def _by_field(source: SourceConfig, entries: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, entry in entries.items():
        if key not in keys:
            raise UnknownNameError("connection field", key, keys, cure=_where(source))
        name = keys[key]
        if name in found:
            raise ConfigurationError(f"{key!r} is given twice, under two names.", cure=_where(source))
        found[name] = entry
    return found


def _bundle(resolver: Resolver, source: SourceConfig, name: Any) -> Mapping[str, Any]:
    if not isinstance(name, str):
        raise ConfigurationError(f"'{BUNDLE}' must be the name of a secret.", cure=_where(source))
    try:
        fields = json.loads(resolver.get(name).get_secret_value())
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        # The parser's own message would quote the secret.
        raise SecretError(f"The secret {name!r} holds no JSON object.", cure="A bundle is {'host': ..., ...} as JSON.")
    for field, value in fields.items():
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise SecretError(f"The field {field!r} of the bundle {name!r} is no plain value.")
        if value not in (None, "", True, False):
            _remember_field(field, str(value))
    return {field: value for field, value in fields.items() if value is not None}


def _remember_field(field: str, value: str) -> None:
    """Mask what may be secret: masking the host or the port as well would make errors useless."""
    if any(word in field.lower() for word in ("password", "secret", "token", "key", "pwd")):
        remember(SecretStr(value))


def _literal(source: SourceConfig, name: str, entry: Any, model: type[BaseModel]) -> Any:
    if not (isinstance(entry, Mapping) and set(entry) == {LITERAL}):
        raise ConfigurationError(
            f"The field {name!r} is neither the name of a secret nor {{'{LITERAL}': ...}}.", cure=_where(source)
        )
    value = entry[LITERAL]
    # A password inside a URL is as readable as any other.
    if is_secret(model.model_fields[name].annotation) or (isinstance(value, str) and mask_url(value) != value):
        raise ConfigurationError(
            f"The field {name!r} holds a secret and may not be a literal.",
            cure=f"Put the value into a secret and write its name as a plain string. {_where(source)}",
        )
    return value


def _wrap(model: type[BaseModel], name: str, value: Any) -> Any:
    if not is_secret(model.model_fields[name].annotation):
        return value
    secret = SecretStr(str(value))
    remember(secret)
    return secret


def _build(source: SourceConfig, model: type[C], values: Mapping[str, Any], hidden: Collection[str]) -> C:
    spelled = {_spelling(model, name): name for name in values}
    try:
        return model.model_validate({spelling: values[name] for spelling, name in spelled.items()})
    except ValidationError as e:
        concealed = {spelling for spelling, name in spelled.items() if name in hidden}
        faults = [_fault(error, concealed) for error in e.errors(include_input=False, include_url=False)]
    # Outside the handler: the validation error, which knows the values, must not travel along.
    raise ConfigurationError(f"The connection of {source.db_config_key!r}: {'; '.join(faults)}.", cure=_where(source))


def _spelling(model: type[BaseModel], name: str) -> str:
    """The key under which the model itself takes a field."""
    alias = model.model_fields[name].validation_alias
    choices = (alias, *getattr(alias, "choices", ()))
    return next((choice for choice in choices if isinstance(choice, str)), name)


def _fault(error: Mapping[str, Any], concealed: Collection[str]) -> str:
    field = ".".join(map(str, error["loc"][:1])) or "as a whole"
    if error["type"] == "missing":
        return f"{field} is missing"
    # A message may quote the value, and one about the whole any value; the kind of fault does not.
    if field in concealed or (concealed and not error["loc"]):
        return f"{field}: what its secret holds is wrong ({error['type']})"
    return f"{field}: {error['msg']}"


def _where(source: SourceConfig) -> str:
    return f"Correct db_config_value of {source.db_config_key!r} in control.table_control_dbconfig."
