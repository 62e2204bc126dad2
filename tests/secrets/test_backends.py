"""The built-in secret backends: variables, and folders of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloader_core.errors import SecretError
from dataloader_secrets.env import Env
from dataloader_secrets.file import MAX_BYTES, File


def value(folder: Path, name: str) -> str:
    return File(str(folder)).get(name).get_secret_value()


def test_a_variable_is_read_by_its_whole_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_SECRET_X", " kept as it is ")
    assert Env(None).get("DATALOADER_SECRET_X").get_secret_value() == " kept as it is "


@pytest.mark.parametrize("name", ["", "A=B", "A\0B", "DATALOADER_SECRET_NOT_THERE"])
def test_no_such_variable(name: str) -> None:
    with pytest.raises(SecretError, match="is not set"):
        Env(None).get(name)


def test_an_empty_variable_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_SECRET_X", "")
    with pytest.raises(SecretError, match="is empty"):
        Env(None).get("DATALOADER_SECRET_X")


def test_the_environment_has_no_parts() -> None:
    with pytest.raises(SecretError, match="'env:prod' does not exist"):
        Env("prod")


@pytest.mark.parametrize(
    ("written", "read"), [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n"), (" pw ", " pw ")]
)
def test_one_line_break_at_the_end_is_not_part_of_it(tmp_path: Path, written: str, read: str) -> None:
    (tmp_path / "x").write_bytes(written.encode())
    assert value(tmp_path, "x") == read


def test_links_as_kubernetes_makes_them_are_followed(tmp_path: Path) -> None:
    (tmp_path / "..2026_11_23").mkdir()
    (tmp_path / "..2026_11_23/password").write_text("pw")
    (tmp_path / "..data").symlink_to("..2026_11_23")
    (tmp_path / "password").symlink_to("..data/password")
    assert value(tmp_path, "password") == "pw"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("pw")
    inside = tmp_path / "secrets"
    inside.mkdir()
    (inside / "x").symlink_to(tmp_path / "outside")
    (inside / "folder").symlink_to(tmp_path)
    for name in ("x", "folder/outside"):
        with pytest.raises(SecretError, match="leads out of"):
            value(inside, name)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/../../x", "/etc/passwd", "a\0b"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecretError, match="is no name of a secret"):
        value(tmp_path, name)


@given(name=st.text(alphabet="./ax\0 \n~", max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_no_name_reads_a_file_outside(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "x" / "secrets"
    inside.mkdir(parents=True, exist_ok=True)
    for place in (tmp_path / "a", tmp_path / "x" / "a"):
        place.write_text("outside")
    (inside / "a").write_text("inside")
    try:
        assert value(inside, name) == "inside"
    except SecretError as e:
        assert "outside" not in str(e)  # noqa: PT017  # either outcome is right


def test_a_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"'x' in .* cannot be read: No such file"):
        value(tmp_path, "x")
    with pytest.raises(SecretError, match="cannot be read: No such file"):
        value(tmp_path / "none", "x")


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SecretError, match="cannot be read"):
        value(tmp_path, "a")


def test_folders_and_pipes_are_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(SecretError, match="is no file"):
            value(tmp_path, name)


def test_size_encoding_and_emptiness(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_BYTES + 1))
    (tmp_path / "fits").write_bytes(b"x" * MAX_BYTES)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_bytes(b"\n")
    assert len(value(tmp_path, "fits")) == MAX_BYTES
    for name, why in (("large", "larger than"), ("binary", "not UTF-8"), ("empty", "is empty")):
        with pytest.raises(SecretError, match=why):
            value(tmp_path, name)


@pytest.mark.parametrize("scope", ["secrets", "../run", "/run/../etc", "~/secrets"])
def test_a_folder_is_absolute(scope: str) -> None:
    with pytest.raises(SecretError, match="no absolute folder"):
        File(scope)


def test_the_usual_folder_is_the_default() -> None:
    with pytest.raises(SecretError, match="/run/secrets"):
        File(None).get("surely-not-there")
