"""The embedded control database, whoever is killed and whatever a killed process leaves behind."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import psycopg
import pytest

from dataloader_core.embedded import (
    EmbeddedFolder,
    init_embedded,
    stop,
)
from dataloader_core.embedded.cluster import PORT
from dataloader_core.embedded.keeper import LINGER_SECONDS
from dataloader_core.embedded.leftovers import clear_stale_pid_file
from dataloader_core.embedded.locks import EXCLUSIVE, FileLock, is_held
from tests.embedded.programs import (
    answer,
    answers,
    end,
    given_to_another,
    keeper_pid,
    kill,
    lives,
    postmaster_pid,
    until,
    user,
)


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
