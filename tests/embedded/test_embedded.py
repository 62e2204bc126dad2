"""The embedded control database: found, shared, and gone, whoever is killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from dataloader_core.embedded import (
    EmbeddedFolder,
    create_database,
    embedded_url,
    find_folder,
    init_embedded,
    lower,
    stop,
)
from dataloader_core.embedded.cluster import PORT
from dataloader_core.embedded.keeper import LINGER_SECONDS
from dataloader_core.embedded.leftovers import clear_stale_pid_file
from dataloader_core.embedded.locks import EXCLUSIVE, FileLock, is_held
from dataloader_core.errors import ConfigurationError
from dataloader_core.settings import Settings

USER = """
import sys, time
from dataloader_core.embedded import embedded_url
import psycopg
from pathlib import Path
url = embedded_url(Path(sys.argv[1]))
with psycopg.connect(url) as c:
    print(c.execute("SELECT pg_postmaster_start_time()::text").fetchone()[0], flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def project() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dl-emb-"))
    yield folder
    stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def user(folder: Path, seconds: float = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        assert process.stderr is not None
        pytest.fail(process.stderr.read())
    return line


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def keeper_pid(folder: Path) -> int:
    """0 where none is ready."""
    ready = EmbeddedFolder(folder.resolve()).ready
    return int(ready.read_text().split()[0]) if ready.exists() else 0


def postmaster_pid(folder: Path) -> int:
    return int((EmbeddedFolder(folder.resolve()).home / "data/postmaster.pid").read_text().split()[0])


def kill(pid: int) -> None:
    assert pid > 1, "0 would be all of this test's own processes"
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url):
            return True
    except psycopg.OperationalError:
        return False


@contextmanager
def given_to_another(lock: Path, data: Path, uid: int, gid: int) -> Iterator[None]:
    """As after a container's restart: the file's process number is that of something else, which lives on."""
    who = (str(uid), str(gid), str(os.getpid()), "0")
    other = subprocess.Popen([sys.executable, "-P", lower.__file__, *who, "/bin/sleep", "60"])
    until(lambda: b"sleep" in Path(f"/proc/{other.pid}/cmdline").read_bytes()[:12])
    try:
        lock.write_text(f"{other.pid}\n{data}\n1700000000\n5432\n\n\n0 0\nready\n")
        shutil.chown(lock, uid)
        yield
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


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


def test_a_killed_user_does_not_disturb_the_others(project: Path) -> None:
    url = init_embedded(project)
    other = user(project, 60)
    started = answer(other)
    end(other)
    again = user(project, 60)
    assert answer(again) == started
    end(again)
    assert answers(url)


def test_a_killed_keeper_is_replaced_at_the_same_address(project: Path) -> None:
    url = init_embedded(project)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
    first, server = keeper_pid(project), postmaster_pid(project)
    kill(first)
    until(lambda: not lives(server))
    until(lambda: keeper_pid(project) not in (0, first) and answers(url))
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (1,)


def test_a_killed_server_is_started_again(project: Path) -> None:
    url = init_embedded(project)
    server = postmaster_pid(project)
    kill(server)
    until(lambda: answers(url) and postmaster_pid(project) != server)


def test_the_first_command_after_a_servers_kill_waits_for_the_next_server(project: Path) -> None:
    url = init_embedded(project)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE filled AS SELECT generate_series(1, 300000) AS n")
    for _ in range(3):
        kill(postmaster_pid(project))
        command = user(project)
        assert answer(command)
        end(command)


def test_a_socket_lock_whose_number_was_given_to_another_process_is_no_obstacle(project: Path) -> None:
    url = init_embedded(project)
    assert stop(project)
    folder = EmbeddedFolder(project.resolve())
    data, socket = folder.home / "data", folder.cluster().socket
    owner = data.stat()
    with given_to_another(socket / f".s.PGSQL.{PORT}.lock", data, owner.st_uid, owner.st_gid):
        assert init_embedded(project) == url
        assert answers(url)


def test_another_servers_socket_lock_stays(project: Path) -> None:
    init_embedded(project)
    assert stop(project)
    data = EmbeddedFolder(project.resolve()).home / "data"
    lock = project / "lock"
    lock.write_text(f"{os.getpid()}\n/of/another\n")
    assert not clear_stale_pid_file(lock, data)
    assert lock.exists()


def test_keeper_and_server_killed_together_leave_no_damage(project: Path) -> None:
    url = init_embedded(project)
    keeper, server = keeper_pid(project), postmaster_pid(project)
    kill(keeper)
    kill(server)
    until(lambda: keeper_pid(project) not in (0, keeper) and answers(url))


def test_a_keeper_killed_without_users_takes_its_server_along(project: Path) -> None:
    EmbeddedFolder(project.resolve()).make()
    only = user(project, 60)
    answer(only)
    keeper, server = keeper_pid(project), postmaster_pid(project)
    end(only)
    kill(keeper)
    until(lambda: not lives(server))
    assert answers(init_embedded(project))


@pytest.mark.slow
def test_whoever_is_killed_when_what_was_committed_stays(project: Path) -> None:
    url = init_embedded(project)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE marks (n int PRIMARY KEY)")
    chance = random.Random(1)
    for n in range(8):
        until(lambda: answers(url) and keeper_pid(project) != 0, 30)
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO marks VALUES (%s)", [n])
        both = [keeper_pid(project), postmaster_pid(project)]
        for pid in chance.choice([both, both[:1], both[1:]]):
            kill(pid)
        time.sleep(chance.random() / 2)
    until(lambda: answers(url), 30)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT array_agg(n ORDER BY n) FROM marks").fetchone() == (list(range(8)),)


@pytest.mark.slow
def test_it_is_gone_within_a_minute_of_its_last_users_kill(project: Path) -> None:
    EmbeddedFolder(project.resolve()).make()
    only = user(project, 600)
    answer(only)
    keeper, server = keeper_pid(project), postmaster_pid(project)
    end(only)
    until(lambda: not lives(keeper) and not lives(server), LINGER_SECONDS + 20)


def test_it_stays_while_somebody_uses_it(project: Path) -> None:
    init_embedded(project)
    other = user(project, 60)
    answer(other)
    assert stop(project) is False
    assert lives(postmaster_pid(project))
    end(other)
    assert stop(project) is True


def test_a_pid_file_whose_number_was_given_to_another_process_is_no_obstacle(project: Path) -> None:
    init_embedded(project)
    assert stop(project)
    data = EmbeddedFolder(project.resolve()).home / "data"
    owner = data.stat()
    with given_to_another(data / "postmaster.pid", data, owner.st_uid, owner.st_gid):
        assert answers(init_embedded(project))


def test_a_starter_killed_on_the_way_does_not_block_the_next(project: Path) -> None:
    folder = EmbeddedFolder(project.resolve())
    folder.make()
    starter = user(project, 60)
    until(lambda: is_held(folder.keeping))
    end(starter)
    assert answers(init_embedded(project))


def test_a_keeper_killed_while_it_starts_is_started_again(project: Path) -> None:
    folder = EmbeddedFolder(project.resolve())
    folder.make()
    starter = user(project, 60)
    until(lambda: is_held(folder.keeping) and folder.keeping.read_text() != "")
    kill(int(folder.keeping.read_text()))
    assert answer(starter)
    end(starter)


def test_a_lock_is_free_once_its_holder_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with FileLock(path) as lock:
        lock.acquire(EXCLUSIVE)
        assert is_held(path)
    assert not is_held(path)


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


def unprivileged(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run as `nobody`, who may read everything (this Python may lie below /root) and write nothing of root's."""
    who = ("65534", "65534", str(os.getpid()), "1")
    return subprocess.run(
        [sys.executable, "-P", lower.__file__, *who, sys.executable, "-c", code, str(folder)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


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
