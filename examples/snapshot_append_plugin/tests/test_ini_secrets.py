from __future__ import annotations

from pathlib import Path

import pytest
from dataloader_snapshot_append.secrets import IniSecrets

from dataloader_core.errors import SecretError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.ini"
    path.write_text("[crm]\npassword = 100% s3cret\n")
    return path


def test_a_secret_is_resolved_as_it_stands_there(file: Path) -> None:
    secret = IniSecrets(str(file)).get("crm.password")
    assert secret.get_secret_value() == "100% s3cret"
    assert "s3cret" not in repr(secret)


@pytest.mark.parametrize("name", ["crm.user", "erp.password", "crm", ""])
def test_what_is_not_there_is_named_and_nothing_else_is(file: Path, name: str) -> None:
    with pytest.raises(SecretError) as refused:
        IniSecrets(str(file)).get(name)
    assert repr(name) in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_broken_file_is_refused_without_quoting_it(file: Path) -> None:
    file.write_text("s3cret without a section")
    with pytest.raises(SecretError, match="no INI file") as refused:
        IniSecrets(str(file)).get("crm.password")
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_missing_file_is_named(file: Path) -> None:
    file.unlink()
    with pytest.raises(SecretError, match="cannot be read"):
        IniSecrets(str(file)).get("crm.password")


@pytest.mark.parametrize("scope", [None, "", "secrets.ini"])
def test_a_scope_that_is_no_absolute_path_is_refused(scope: str | None) -> None:
    with pytest.raises(SecretError, match="no absolute path"):
        IniSecrets(scope).get("crm.password")
