"""What was resolved does not show in logs."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dataloader_core.redaction import forget, install_redaction, redact, redact_known, remember


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    factory, hook = logging.getLogRecordFactory(), sys.excepthook
    install_redaction()
    install_redaction()
    stream = io.StringIO()
    logger, handler = logging.getLogger("a.driver"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)
    logging.setLogRecordFactory(factory)
    sys.excepthook = hook


@given(st.text(min_size=1), st.text(), st.text())
def test_no_secret_of_some_length_remains(secret: str, before: str, after: str) -> None:
    secret = "Zq7" + secret + "9xY"
    clean = redact(f"{before} {secret} {after}", [SecretStr(secret)])
    assert secret not in clean


@given(st.text(min_size=6))
def test_nor_in_urls_or_json(secret: str) -> None:
    secret = "Zq7" + secret + "9xY"
    for text in (quote(secret, safe=""), json.dumps({"password": secret}), repr(secret)):
        clean = redact(text, [secret])
        assert "***" in clean
        assert "9xY" not in clean or secret.count("9xY") > 1 or "Zq7" not in clean


def test_a_longer_secret_goes_first() -> None:
    assert redact("hunter22!", ["hunter2", "hunter22!"]) == "***"


def test_a_short_one_does_not_eat_words() -> None:
    assert redact("a bad day, pw=a", ["a"]) == "*** bad day, pw=***"


def test_empty_secrets_change_nothing() -> None:
    assert redact("text", ["", SecretStr("")]) == "text"


def test_no_log_shows_a_resolved_secret(log: io.StringIO) -> None:
    remember(SecretStr("log-Secret-1"))
    logging.getLogger("a.driver").warning("password=%s for %s", "log-Secret-1", "me")
    assert log.getvalue() == "password=*** for me\n"


def test_no_traceback_shows_it(log: io.StringIO) -> None:
    remember(SecretStr("log-Secret-2"))
    try:
        raise ValueError("refused: log-Secret-2")
    except ValueError:
        logging.getLogger("a.driver").exception("failed")
    assert "log-Secret-2" not in log.getvalue()
    assert "ValueError: refused: ***" in log.getvalue()


def test_messages_that_leave_the_process_are_cleaned() -> None:
    remember(SecretStr("log-Secret-3"))
    assert redact_known("user me, log-Secret-3") == "user me, ***"


def test_what_is_worth_nothing_any_more_is_masked_no_longer() -> None:
    token, other = SecretStr("ended-Secret-5"), SecretStr("other-Secret-6")
    remember(token)
    remember(other)
    forget(token)
    forget(token)
    assert redact_known("ended-Secret-5 other-Secret-6") == "ended-Secret-5 ***"


LAST_WORDS = """
from dataloader_core.plugins.manager import default_registry
from dataloader_core.secrets import Resolver
from dataloader_core.settings import Settings
secret = Resolver("env", default_registry(), Settings()).get("DATALOADER_SECRET_X")
raise ValueError("refused: " + secret.get_secret_value())
"""


def test_the_traceback_that_ends_a_process_does_not_show_it() -> None:
    environ = {**os.environ, "DATALOADER_SECRET_X": "last-Secret-4"}
    done = subprocess.run(
        [sys.executable, "-c", LAST_WORDS], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "ValueError: refused: ***" in done.stderr
    assert "last-Secret-4" not in done.stderr
