"""Secrets of Databricks secret scopes: by the workspace's API, and by ``dbutils`` on a cluster."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dataloader_core.errors import DataLoaderError, SecretError, SecretUnavailableError, UnknownNameError
from dataloader_core.plugins.manager import default_registry
from dataloader_core.secrets import Resolver
from dataloader_core.settings import Settings
from dataloader_databricks import workspace as client
from dataloader_secrets.databricks.scope import DatabricksScope
from tests.databricks.workspace import Workspace
from tests.databricks.workspace.secrets import Secrets

VALUE = "s3cret-Pa55wörd-of-the-scope"
OLD_FORM = "azure-keyvault"


@pytest.fixture
def scope(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """The scope of the old form, with one secret."""
    monkeypatch.setattr(client, "RETRY_SECONDS", 2)
    made = workspace.state(Secrets)
    made.put(OLD_FORM, "crm-password", VALUE)
    return made


def refused(name: str = "crm-password", scope: str = OLD_FORM) -> DataLoaderError:
    with pytest.raises(DataLoaderError) as caught:
        DatabricksScope(scope).get(name)
    assert VALUE not in str(caught.value)
    return caught.value


def resolve(scope: str, name: str = "crm-password", **settings: object) -> str:
    made = Settings.model_validate({"secret_scopes": (OLD_FORM,), **settings})
    return Resolver(scope, default_registry(), made).get(name).get_secret_value()


def test_a_secret_is_read_by_the_workspaces_api(scope: Secrets) -> None:
    assert DatabricksScope(OLD_FORM).get("crm-password").get_secret_value() == VALUE


def test_a_missing_scope_and_a_missing_key_are_told_apart(scope: Secrets) -> None:
    assert refused("other").problem == f"There is no secret 'other' in the Databricks scope {OLD_FORM!r}."
    assert refused(scope="none").problem == "There is no Databricks secret scope 'none'."


def test_a_scope_that_may_not_be_read_names_the_grant(scope: Secrets) -> None:
    scope.closed.add(OLD_FORM)
    error = refused()
    assert isinstance(error, SecretError)
    assert "put-acl SCOPE IDENTITY READ" in str(error.cure)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, SecretError, "does not accept the credentials"),
        (400, SecretError, "refused the request"),
        (429, SecretUnavailableError, "throttling"),
        (500, SecretUnavailableError, "cannot answer now"),
        (503, SecretUnavailableError, "cannot answer now"),
    ],
)
def test_each_answer_of_the_workspace_is_told(
    scope: Secrets, workspace: Workspace, status: int, kind: type[DataLoaderError], words: str
) -> None:
    workspace.faults.add("GET", "secrets/get", status, retry_after=1 if status in (429, 503) else None)
    error = refused()
    assert isinstance(error, kind)
    assert words in str(error)
    assert error.transient == (kind is SecretUnavailableError)


def test_throttling_for_a_moment_is_waited_for(
    scope: Secrets, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RETRY_SECONDS", 20)
    workspace.faults.add("GET", "secrets/get", 429, retry_after=1, times=1)
    assert DatabricksScope(OLD_FORM).get("crm-password").get_secret_value() == VALUE


def test_an_unreachable_workspace_is_told_in_time(scope: Secrets, workspace: Workspace) -> None:
    workspace.stop_listening()
    began = time.monotonic()
    assert isinstance(refused(), SecretUnavailableError)
    assert time.monotonic() - began < 10


def test_an_outage_of_the_token_endpoint_is_no_wrong_password(
    scope: Secrets, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "someone")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.identity.new_client("someone"))
    workspace.faults.add("POST", "oidc/v1/token", 503)
    assert isinstance(refused(), SecretUnavailableError)


def test_an_empty_secret_is_none(scope: Secrets) -> None:
    scope.put(OLD_FORM, "empty", "")
    assert "is empty" in str(refused("empty"))


@pytest.mark.parametrize("spelled", ["databricks:AZURE-KEYVAULT", "databricks:Azure-keyvault", "Azure-KeyVault"])
def test_another_spelling_does_not_escape_what_a_deployment_allows(scope: Secrets, spelled: str) -> None:
    scope.put(OLD_FORM, "payroll", VALUE)
    allowed: dict[str, Any] = {"secret_scopes": ("databricks:*",), "secret_patterns": {OLD_FORM: ("crm-*",)}}
    assert resolve(spelled, **allowed) == VALUE
    with pytest.raises(SecretError, match="may not use the secret 'payroll'"):
        resolve(spelled, "payroll", **allowed)


@pytest.mark.parametrize("allowed", ["databricks:Azure-*", "Azure-*", "databricks:*-KeyVault", "AZURE-KEYVAULT", "A*"])
@pytest.mark.parametrize("written", [OLD_FORM, f"databricks:{OLD_FORM}", "Azure-KeyVault", "databricks:AZURE-keyvault"])
def test_case_makes_no_difference_to_what_a_deployment_allows(scope: Secrets, written: str, allowed: str) -> None:
    assert resolve(written, secret_scopes=(allowed,)) == VALUE
    with pytest.raises(SecretError, match="may not use the secret scope"):
        resolve("databricks:payroll", secret_scopes=(allowed,))


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "é", "a" * 129])
def test_names_that_are_none_are_refused_before_anybody_is_asked(
    scope: Secrets, workspace: Workspace, name: str
) -> None:
    assert "no name of a secret" in str(refused(name))
    assert workspace.requests == []


@pytest.mark.parametrize("name", [None, "", "a b", "x" * 129])
def test_a_scope_has_a_name(name: str | None) -> None:
    with pytest.raises(SecretError, match="no name of a Databricks secret scope"):
        DatabricksScope(name)


def test_one_client_serves_a_process_until_its_environment_changes(
    scope: Secrets, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "6c1e3b5c-0000-0000-0000-000000000000"
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", name)
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", workspace.identity.new_client(name))
    for _ in range(5):
        DatabricksScope(OLD_FORM).get("crm-password")
    assert workspace.identity.issued == 1
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "another")
    assert "does not accept the credentials: invalid_client" in str(refused())


# bare names


@pytest.mark.parametrize(
    ("written", "allowed"),
    [
        (OLD_FORM, OLD_FORM),
        (OLD_FORM, "azure-*"),
        (OLD_FORM, f"databricks:{OLD_FORM}"),
        (OLD_FORM, "databricks:*"),
        (f"databricks:{OLD_FORM}", OLD_FORM),
        (f"databricks:{OLD_FORM}", "databricks:*"),
    ],
)
def test_the_old_form_of_a_scope_is_a_databricks_scope(scope: Secrets, written: str, allowed: str) -> None:
    assert resolve(written, secret_scopes=(allowed,)) == VALUE


def test_a_bare_name_is_not_allowed_until_a_deployment_says_so(scope: Secrets, workspace: Workspace) -> None:
    with pytest.raises(SecretError, match="may not use the secret scope 'azure-keyvault'"):
        resolve(OLD_FORM, secret_scopes=Settings().secret_scopes)
    assert workspace.requests == []


@pytest.mark.parametrize("written", [OLD_FORM, f"databricks:{OLD_FORM}"])
@pytest.mark.parametrize("key", [OLD_FORM, f"databricks:{OLD_FORM}", "databricks"])
def test_patterns_hold_however_the_scope_is_written(scope: Secrets, written: str, key: str) -> None:
    scope.put(OLD_FORM, "payroll", VALUE)
    patterns = {key: ("crm-*",)}
    assert resolve(written, secret_patterns=patterns) == VALUE
    with pytest.raises(SecretError, match="may not use the secret 'payroll'"):
        resolve(written, "payroll", secret_patterns=patterns)


def test_off_databricks_a_bare_name_is_unknown_and_the_cure_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("DATABRICKS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(UnknownNameError, match="Unknown secret backend 'azure-keyvault'") as caught:
        resolve(OLD_FORM)
    assert "DATABRICKS_HOST" in str(caught.value.cure)


@pytest.mark.parametrize("name", ["DATABRICKS_HOST", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_RUNTIME_VERSION"])
def test_a_workspace_is_configured_by_any_of(name: str) -> None:
    assert client.is_configured({name: "x"})
    assert not client.is_configured({"DATABRICKS_CONFIG_FILE": "/none/at/all"})


def test_a_profile_alone_names_a_workspace(tmp_path: Path) -> None:
    file = tmp_path / "databrickscfg"
    file.write_text("[DEFAULT]\nhost = https://x\n")
    assert client.is_configured({"DATABRICKS_CONFIG_FILE": str(file)})


# on a cluster

CLUSTER = '''
class UserNamespaceInitializer:
    """As a runtime has it: the names that a notebook finds."""

    @classmethod
    def getOrCreate(cls):
        return cls()

    def get_namespace_globals(self):
        return {"dbutils": dbutils}


class dbutils:
    class secrets:
        @staticmethod
        def getBytes(scope, key):
            found = {"crm-password": "s3cret-Pa55wörd".encode(), "raw": b"\\xff"}
            if scope == "closed":
                raise RuntimeError("PERMISSION_DENIED: User does not have READ permission on scope. s3cret-Pa55w")
            if scope == "broken":
                raise RuntimeError("java.net.SocketTimeoutException: s3cret-Pa55w")
            if scope != "azure-keyvault":
                raise RuntimeError(f"java.lang.IllegalArgumentException: Scope {scope} does not exist!")
            if key not in found:
                raise RuntimeError(f"Illegal: Secret does not exist with scope: {scope} and key: {key}")
            return found[key]
'''
ASK = """
import json, sys
from dataloader_core.errors import DataLoaderError
from dataloader_core.plugins.manager import default_registry
from dataloader_core.secrets import Resolver
from dataloader_core.settings import Settings
answers = {}
for scope, key in json.loads(sys.argv[1]):
    settings = Settings(secret_scopes=("*",))
    try:
        answers[f"{scope} {key}"] = Resolver(scope, default_registry(), settings).get(key).get_secret_value()
    except DataLoaderError as error:
        answers[f"{scope} {key}"] = f"{type(error).__name__}: {error}"
print(json.dumps(answers))
"""


def test_on_a_cluster_dbutils_is_asked_and_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "dbruntime").mkdir()
    (tmp_path / "dbruntime" / "__init__.py").write_text(CLUSTER)
    asked = [
        ("azure-keyvault", "crm-password"), ("databricks:azure-keyvault", "none"), ("databricks:none", "x"),
        ("closed", "x"), ("broken", "x"), ("azure-keyvault", "raw"),
    ]  # fmt: skip
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DATABRICKS_")}
    environ |= {"DATABRICKS_RUNTIME_VERSION": "17.3", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(asked)],
        env=environ, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    answers = list(json.loads(done.stdout).values())
    assert answers[0] == "s3cret-Pa55wörd"
    assert answers[1].startswith("SecretError: There is no secret 'none'")
    assert answers[2].startswith("SecretError: There is no Databricks secret scope 'none'")
    assert answers[3].startswith("SecretError: ")
    assert "may not read it" in answers[3]
    assert answers[4].startswith("SecretUnavailableError: ")
    assert "is not UTF-8 text" in answers[5]
    assert "s3cret" not in " ".join(answers[1:]) + done.stderr


def test_no_log_at_any_level_shows_a_value(
    scope: Secrets, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = DatabricksScope(OLD_FORM)
    secret = made.get("crm-password")
    assert any("secrets/get" in record.getMessage() for record in caplog.records)
    said = f"{caplog.text}{made!r}{secret!r}"
    assert VALUE not in said
    assert workspace.token not in said
