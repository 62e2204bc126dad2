"""The subprocess launcher with real processes that behave in all the ways that processes do."""

# No postponed annotations: Dagster reads those of the asset below.

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetExecutionContext, MaterializeResult, asset, materialize

from dataloader_core.errors import TransientError
from dataloader_core.interfaces.launcher import RunOrder
from dataloader_launchers.subprocess.launcher import SubprocessLauncher
from dataloader_launchers.subprocess.plugin import SubprocessSettings

ORDER = RunOrder("crm", ["a", "b"], {"FROM_ORDER": "yes"}, 60)
PRELUDE = """
    import os, signal, sys, time
    from dagster_pipes import open_dagster_pipes
    with open_dagster_pipes() as pipes:
        say = pipes.report_custom_message
"""
Messages = Generator[Any, None, None]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    """Run ``use`` over the messages of a process with this body, inside a real Dagster run."""

    def execute(body: str, use: Callable[[Messages], None], order: RunOrder = ORDER, grace: float = 1.0) -> None:
        script = tmp_path / "child.py"
        script.write_text(textwrap.dedent(PRELUDE) + textwrap.indent(textwrap.dedent(body), "    "))

        class Launcher(SubprocessLauncher):
            command = (sys.executable, str(script))

        @asset
        def loads(context: AssetExecutionContext):  # type: ignore[no-untyped-def]  # Dagster reads the annotations
            with closing(
                Launcher(SubprocessSettings(subprocess_grace_seconds=grace)).launch(context, order)
            ) as messages:
                use(messages)
            return MaterializeResult()

        materialize([loads])

    return execute


def test_the_order_reaches_the_process(run: Callable[..., None]) -> None:
    got: list[Any] = []
    run("say([pipes.extras, os.environ['FROM_ORDER']])", got.extend)
    assert got == [[{"db_config_key": "crm", "loads": ["a", "b"]}, "yes"]]


def test_messages_arrive_while_the_process_still_runs(run: Callable[..., None]) -> None:
    def use(messages: Messages) -> None:
        assert next(messages) == "first"
        began = time.monotonic()
        assert next(messages) == "second"
        assert time.monotonic() - began > 0.5

    run("say('first'); time.sleep(1); say('second')", use)


def test_the_last_messages_of_a_process_are_not_lost(run: Callable[..., None]) -> None:
    got: list[Any] = []
    run("[say(n) for n in range(500)]", got.extend)
    assert got == list(range(500))


def test_a_killed_process_is_an_error_that_names_the_signal_after_its_messages(run: Callable[..., None]) -> None:
    got: list[Any] = []
    with pytest.raises(TransientError, match="SIGKILL"):
        run("say('one'); os.kill(os.getpid(), signal.SIGKILL)", got.extend)
    assert got == ["one"]


def test_an_exit_code_is_an_error(run: Callable[..., None]) -> None:
    with pytest.raises(TransientError, match="exit code 7"):
        run("os._exit(7)", list)


def test_a_process_that_exceeds_its_time_is_stopped(run: Callable[..., None]) -> None:
    with pytest.raises(TransientError, match="time limit of 1 s"):
        run("time.sleep(60)", list, RunOrder("crm", [], {}, 1))


def test_closing_the_messages_stops_the_process_politely(run: Callable[..., None], tmp_path: Path) -> None:
    said = tmp_path / "said"
    body = f"""
        def bye(*_):
            open({str(said)!r}, 'w').write('cancelled')
            sys.exit(0)
        signal.signal(signal.SIGTERM, bye)
        say(os.getpid())
        time.sleep(60)
    """
    pids: list[int] = []
    run(body, lambda messages: pids.append(next(messages)))
    assert said.read_text() == "cancelled"
    assert not alive(pids[0])


def test_a_process_that_does_not_listen_is_killed_with_its_children(run: Callable[..., None]) -> None:
    body = """
        import subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(['sleep', '60'])
        say([os.getpid(), child.pid])
        time.sleep(60)
    """
    pids: list[int] = []
    run(body, lambda messages: pids.extend(next(messages)), grace=0.3)
    assert not any(alive(pid) for pid in pids)


WATCHED = """
import os, time
from dataloader_dagster.dataloader_pipe import _watch_parent

_watch_parent(os.environ, lambda: (os.write({out}, b"told"), os._exit(0)))
os.write({out}, b"up ")
time.sleep(60)
"""
PARENT = """
import os, signal, subprocess, sys, time

environment = {{**os.environ, "DATALOADER_PARENT_PIPE": "60"}}
subprocess.Popen([sys.executable, "-c", {child!r}], stdin=subprocess.PIPE, env=environment, pass_fds=[{out}])
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_whose_parent_is_killed_is_told() -> None:
    said, out = os.pipe()
    code = PARENT.format(child=WATCHED.format(out=out), out=out)
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, pass_fds=[out])
    os.close(out)
    assert os.read(said, 3) == b"up "
    parent.communicate(b"\n")
    assert os.read(said, 100) == b"told"
    os.close(said)


def test_the_entry_point_explains_itself_to_people_and_needs_no_dagster() -> None:
    code = (
        "import atexit, sys; atexit.register(lambda: print('dagster' in sys.modules)); "
        "from dataloader_dagster.dataloader_pipe import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "dataloader load" in done.stderr
    assert done.stdout.strip() == "False"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
