"""Keeps secrets out of logs and messages: the last line of defence, behind ``SecretStr``.

Drivers put what they were given into their errors. Every value that this process resolves is remembered here, and
whatever is logged afterwards, tracebacks included, loses it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

MASK: Final = "***"
_SHORT: Final = 6
"""Shorter values are masked only where they stand alone: a password ``a`` must not eat every word."""


def redact(text: str, secrets: Iterable[SecretStr | str]) -> str:
    """The text with every secret masked, also as it looks inside a URL, JSON or Python literal."""
    values = [s.get_secret_value() if isinstance(s, SecretStr) else s for s in secrets]
    pattern = _pattern(values)
    return pattern.sub(MASK, text) if pattern else text


class _Known:
    """The secrets that this process holds. What was once held may still be in a message: only what is worth nothing
    any more is forgotten."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def remember(self, secret: SecretStr) -> None:
        value = secret.get_secret_value()
        with self._lock:
            if value and value not in self._values:
                self._values.add(value)
                self._pattern = _pattern(self._values)

    def forget(self, secret: SecretStr) -> None:
        with self._lock:
            self._values.discard(secret.get_secret_value())
            self._pattern = _pattern(self._values)

    def redact(self, text: str) -> str:
        pattern = self._pattern
        return pattern.sub(MASK, text) if pattern else text

    def __bool__(self) -> bool:
        return self._pattern is not None


_known = _Known()


def remember(secret: SecretStr) -> None:
    """Mask this value in all that is logged, or passed through :func:`redact_known`, from now on."""
    _known.remember(secret)


def forget(secret: SecretStr) -> None:
    """Mask this value no more: a token that has expired. A process that renews one for months would slow down."""
    _known.forget(secret)


def redact_known(text: str) -> str:
    """The text without any secret that this process has resolved. For messages that leave it."""
    return _known.redact(text)


def install_redaction() -> None:
    """Mask remembered secrets in every log record of this process, and in the traceback that ends it.

    Harmless if called twice. Records are changed where they are made: filters on loggers miss what their children
    log, and handlers come and go.
    """
    made = logging.getLogRecordFactory()
    if getattr(made, "redacts", False):
        return

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = made(*args, **kwargs)
        if _known:
            _clean(record)
        return record

    make.redacts = True  # type: ignore[attr-defined]  # a mark
    logging.setLogRecordFactory(make)
    sys.excepthook = _last_words


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Whoever runs this process may keep its standard error: Dagster does.
    sys.stderr.write(_known.redact("".join(traceback.format_exception(kind, error, trace))))


def _clean(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except (TypeError, ValueError):
        # A wrong format: logging reports that itself, with the arguments. They are cleaned one by one.
        record.args = tuple(_known.redact(str(a)) for a in record.args) if isinstance(record.args, tuple) else None
        return
    clean = _known.redact(message)
    if clean != message:
        record.msg, record.args = clean, None
    if record.exc_info and record.exc_info[0] is not None:
        # Formatters use the text that is there.
        record.exc_text = _known.redact(logging.Formatter().formatException(record.exc_info))


def _pattern(values: Iterable[str]) -> re.Pattern[str] | None:
    """One pattern for all, longest first, so that no rest of a longer secret stays behind a shorter one."""
    forms = {form for value in values if value for form in _forms(value)}
    if not forms:
        return None
    parts = [_literal(form) for form in sorted(forms, key=lambda f: (-len(f), f))]
    return re.compile("|".join(parts))


def _forms(value: str) -> set[str]:
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    libpq = value.replace("\\", "\\\\").replace("'", "\\'")
    lines = {line for line in value.splitlines() if len(line) > 2 * _SHORT}
    return {value, quote(value), quote(value, safe=""), quote_plus(value), libpq} | escaped | lines


def _literal(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _SHORT else rf"(?<!\w){escaped}(?!\w)"
