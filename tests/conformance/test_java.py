"""Where the Java that Spark would start does not do, what needs it is skipped and says what was found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.spark import java_problem, needs_java


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    java_problem.cache_clear()
    yield
    java_problem.cache_clear()


def test_an_old_java_is_none_and_the_skip_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="Java 11 is too old for Spark 4, which needs 17"):
        needs_java()


def test_a_home_without_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="has no bin/java"):
        needs_java()
