"""The embedded control database: found, shared, and gone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psycopg
import pytest

from dataloader_core.embedded import (
    EmbeddedFolder,
    create_database,
    embedded_url,
    find_folder,
    init_embedded,
    stop,
)
from dataloader_core.errors import ConfigurationError
from dataloader_core.settings import Settings
from tests.embedded.programs import (
    answer,
    answers,
    end,
    keeper_pid,
    lives,
    postmaster_pid,
    unprivileged,
    until,
    user,
)


def test_it_is_found_from_a_folder_below(project: Path) -> None:
    url = init_embedded(project)
    below = project / "a/b"
    below.mkdir(parents=True)
    assert embedded_url(below) == url
    assert answers(url)


def test_without_a_database_both_cures_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)dataloader init.*DATALOADER_CONTROL_URL=postgresql"):
        embedded_url(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_same_name_made_by_others_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / ".dataloader").mkdir()
    assert find_folder(tmp_path) is None


def test_a_source_in_a_folder_is_no_control_database(project: Path) -> None:
    init_embedded(project, "source")
    try:
        assert find_folder(project) is None
        with pytest.raises(ConfigurationError, match="No control database"):
            embedded_url(project)
    finally:
        assert stop(project, "source")


def test_a_folder_that_was_removed_is_made_anew(project: Path) -> None:
    init_embedded(project)
    gone = postmaster_pid(project)
    shutil.rmtree(project / ".dataloader")
    url = init_embedded(project)
    assert answers(url)
    assert postmaster_pid(project) != gone
    until(lambda: not lives(gone))


def test_asked_for_by_setting_it_is_made_in_this_folder(project: Path) -> None:
    url = Settings.from_environment({"DATALOADER_CONTROL_URL": "embedded"}).resolve_control_url(project)
    assert find_folder(project) == EmbeddedFolder(project.resolve())
    assert answers(url)


def test_a_url_in_the_settings_is_used_as_it_is(tmp_path: Path) -> None:
    settings = Settings.from_environment({"DATALOADER_CONTROL_URL": "postgresql://u:pw@db/control"})
    assert settings.resolve_control_url(tmp_path) == "postgresql://u:pw@db/control"
    assert "pw" not in repr(settings)


def test_processes_that_start_together_share_one_server(project: Path) -> None:
    EmbeddedFolder(project.resolve()).make()
    users = [user(project, 60) for _ in range(5)]
    try:
        assert len({answer(u) for u in users}) == 1
    finally:
        for u in users:
            end(u)


def test_it_stays_while_somebody_uses_it(project: Path) -> None:
    init_embedded(project)
    other = user(project, 60)
    answer(other)
    assert stop(project) is False
    assert lives(postmaster_pid(project))
    end(other)
    assert stop(project) is True


def test_a_deep_folder_gets_its_socket_elsewhere(project: Path) -> None:
    deep = project / ("long" * 20) / ("folder" * 10)
    deep.mkdir(parents=True)
    url = init_embedded(deep)
    try:
        assert answers(url)
        socket = EmbeddedFolder(deep.resolve()).socket_dir()
        assert socket.stat().st_mode & 0o777 == 0o700
        assert len(str(socket)) < 80
    finally:
        assert stop(deep)
        shutil.rmtree(socket)


def test_other_servers_of_the_folder_hold_other_databases(project: Path) -> None:
    control = init_embedded(project)
    source = init_embedded(project, "source", {"max_prepared_transactions": "5"})
    try:
        shop = create_database(source, "my shop")
        assert create_database(source, "my shop") == shop
        with psycopg.connect(shop) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("my shop",)
            assert connection.execute("SHOW max_prepared_transactions").fetchone() == ("5",)
        with psycopg.connect(control) as connection:
            databases = connection.execute("SELECT array_agg(datname::text) FROM pg_database").fetchone()
            assert databases is not None
            assert "my shop" not in databases[0]
    finally:
        assert stop(project, "source")


def test_no_secret_of_its_starter_reaches_the_server(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALOADER_SECRET_X", "hunter2")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=nowhere")
    init_embedded(project)
    for pid in (keeper_pid(project), postmaster_pid(project)):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"hunter2" not in environment
        assert b"PGOPTIONS" not in environment


def test_init_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no folder"):
        init_embedded(tmp_path / "nowhere")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / ".dataloader").write_text("mine")
    with pytest.raises(ConfigurationError, match="may not be written to"):
        init_embedded(tmp_path)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@needs_root
def test_it_runs_for_an_ordinary_user(project: Path) -> None:
    shutil.chown(project, "nobody")
    code = "import sys; from pathlib import Path; from dataloader_core.embedded import *; f = Path(sys.argv[1])\n"
    done = unprivileged(code + "print(init_embedded(f), stop(f))", project)
    assert done.stdout.startswith("postgresql://"), done.stderr
    assert done.stdout.endswith("True\n")


@needs_root
def test_a_folder_that_may_not_be_written_to_is_named(project: Path) -> None:
    project.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from dataloader_core.embedded import *; init_embedded(Path(sys.argv[1]))"
    )
    done = unprivileged(code, project)
    assert "ConfigurationError" in done.stderr
    assert "may not be written to: Permission denied" in done.stderr
    assert "Choose another folder" in done.stderr


@needs_root
def test_roots_own_closed_folder_is_reached(project: Path) -> None:
    assert project.stat().st_mode & 0o077 == 0
    url = init_embedded(project)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_read_file('PG_VERSION')").fetchone()
    assert row == ("18\n",)
    status = Path(f"/proc/{postmaster_pid(project)}/status").read_text()
    assert "Uid:\t0" not in status
