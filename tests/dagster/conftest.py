"""What Dagster's own Pipes session warns of about itself is no error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PostgresServer
from tests.dagster.deployment import Deployment

_DAGSTERS_OWN = (
    "ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning",
    "ignore:.*PipesMessageReader.expected_writer_count:Warning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            # Several processes, each waited for with patience.
            item.add_marker(pytest.mark.timeout(900))
            for warning in _DAGSTERS_OWN:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture
def deployment(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    made = Deployment(postgres_server, tmp_path, monkeypatch)
    yield made
    made.close()
