"""The wheel, built once, and environments that have it and nothing of the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.environments import Environment, build_wheel, closure, new_environment

__all__ = ["Environment"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel and its base dependencies: no extra."""
    return new_environment(tmp_path_factory.mktemp("bare"), wheel, closure("dataloader-core"))


@pytest.fixture(scope="session")
def complete(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with the extra ``all``."""
    return new_environment(tmp_path_factory.mktemp("complete"), wheel, closure("dataloader-core", ("all",)))
