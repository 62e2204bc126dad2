"""What lies in the folder of messages ends no run, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import PipesMessageHandler, build_asset_context
from databricks.sdk import WorkspaceClient

from dataloader_launchers.databricks.volume import VolumeMessages
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.files import Volumes

VOLUME = "/Volumes/main/dataloader/runs"
HELLO = {"__dagster_pipes_version": "0.1", "method": "report_custom_message", "params": {"payload": "hello"}}


@dataclass(frozen=True)
class Reading:
    """A reader of messages, whoever they go on to, and the folder that it reads."""

    reader: VolumeMessages
    handler: PipesMessageHandler
    folder: Path


@pytest.fixture
def reading(workspace: Workspace) -> Iterator[Reading]:
    volumes = workspace.state(Volumes)
    volumes.create(VOLUME)
    reader = VolumeMessages(WorkspaceClient(), VOLUME)
    with build_asset_context() as context:
        handler = PipesMessageHandler(context, reader)
        with handler.handle_messages() as params:
            folder = volumes.root / params["path"].removeprefix("/Volumes/")
            folder.mkdir(parents=True, exist_ok=True)
            yield Reading(reader, handler, folder)


@pytest.mark.parametrize(
    "text",
    ["5", "[1]", "null", '{"x": 1}', '{"method": "new", "params": {}}', "[" * 100_000, '{"method": "rep', "\xff"],
)
def test_a_file_that_is_no_message_is_left_out_and_the_next_is_read(reading: Reading, text: str) -> None:
    (reading.folder / "1.json").write_text(text, encoding="latin-1")
    (reading.folder / "2.json").write_text(json.dumps(HELLO))
    reading.reader.read()
    assert reading.handler.get_custom_messages() == ("hello",)


def test_a_file_that_is_not_whole_yet_is_waited_for(reading: Reading) -> None:
    whole = json.dumps(HELLO)
    (reading.folder / "1.json").write_text(whole[:20])
    reading.reader.read()
    assert reading.handler.get_custom_messages() == ()
    (reading.folder / "1.json").write_text(whole)
    reading.reader.read()
    assert reading.handler.get_custom_messages() == ("hello",)
