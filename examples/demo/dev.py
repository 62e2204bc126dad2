"""The demo's deployment under `dagster dev`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from rich.console import Console

from examples.demo.source import Source

_READY_SECONDS = 90.0
_STOP_SECONDS = 20.0
_TRAFFIC_SECONDS = 15.0


def serve(folder: Path, port: int, console: Console, source: Source) -> None:
    """Run `dagster dev` until Ctrl-C or until it ends by itself; rows change at the source meanwhile."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "dagster", "dev", "-m", "dataloader_dagster.definitions", "-p", str(port)]
    log = folder / "dagster.log"
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches it once, from here, and not twice.
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait_ready(process, url)
            console.print(f"\n[bold]Dagster is at {url}[/]  (its log: {log})")
            console.print("The sensor ticks every minute, each table is due every five. Ctrl-C stops everything.")
            while process.poll() is None:
                source.run("traffic.sql")
                time.sleep(_TRAFFIC_SECONDS)
        except KeyboardInterrupt:
            console.print("\nStopping ...")
        finally:
            stop(process)


def _wait_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SystemExit(f"dagster dev did not come up at {url}.")


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGINT, as Ctrl-C would: Dagster then stops its servers and runs; SIGKILL for what does not listen."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
