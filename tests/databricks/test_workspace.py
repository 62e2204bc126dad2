"""The stand-in behaves as the SDK expects a workspace to."""

from __future__ import annotations

import io
import time

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied, Unauthenticated

from tests.databricks.workspace import Workspace
from tests.databricks.workspace.files import Volumes


@pytest.fixture
def client(workspace: Workspace) -> WorkspaceClient:
    workspace.state(Volumes).create("/Volumes/main/dataloader/runs")
    return WorkspaceClient()


def test_files_of_a_volume_come_back_as_they_were(client: WorkspaceClient) -> None:
    client.files.create_directory("/Volumes/main/dataloader/runs/a")
    client.files.upload("/Volumes/main/dataloader/runs/a/b.json", io.BytesIO(b"content"))
    contents = client.files.download("/Volumes/main/dataloader/runs/a/b.json").contents
    assert contents is not None
    assert contents.read() == b"content"
    assert [e.name for e in client.files.list_directory_contents("/Volumes/main/dataloader/runs/a")] == ["b.json"]


def test_what_is_not_there_is_not_found(client: WorkspaceClient) -> None:
    with pytest.raises(NotFound):
        list(client.files.list_directory_contents("/Volumes/main/dataloader/runs/nothing"))
    with pytest.raises(NotFound):
        client.files.create_directory("/Volumes/main/other/runs/a")


def test_a_token_that_expired_is_refused(client: WorkspaceClient, workspace: Workspace) -> None:
    workspace.identity.expire(workspace.token)
    with pytest.raises(Unauthenticated):
        client.files.create_directory("/Volumes/main/dataloader/runs/a")


def test_an_unknown_token_is_refused(workspace: Workspace) -> None:
    with pytest.raises(PermissionDenied):
        WorkspaceClient(host=workspace.url, token="dapi-unknown").files.create_directory("/Volumes/a/b/c")


def test_a_service_principal_gets_a_new_token_when_its_own_expires(
    client: WorkspaceClient, workspace: Workspace
) -> None:
    secret = workspace.identity.new_client("robot")
    workspace.identity.lifetime = 1
    robot = WorkspaceClient(host=workspace.url, client_id="robot", client_secret=secret, auth_type="oauth-m2m")
    robot.files.create_directory("/Volumes/main/dataloader/runs/a")
    time.sleep(1.1)
    robot.files.create_directory("/Volumes/main/dataloader/runs/b")
    assert workspace.identity.issued >= 2


def test_a_throttled_request_is_made_again(client: WorkspaceClient, workspace: Workspace) -> None:
    fault = workspace.faults.add("PUT", "fs/directories", 429, retry_after=0, times=2)
    client.files.create_directory("/Volumes/main/dataloader/runs/a")
    assert fault.hits == 2
