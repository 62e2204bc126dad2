"""An outsider adds a strategy and a secret backend, and touches nothing of the core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.examples.conftest import EXAMPLE, Outsider


def test_the_packages_own_tests_pass(example: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(EXAMPLE),
            str(EXAMPLE / "tests"),
        ],
        env={**os.environ, "PYTHONPATH": str(example), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_is_listed_with_its_package_and_version(example: Path, outsider: Outsider) -> None:
    outsider.install(example)
    found = {(p["kind"], p["name"]): p for p in outsider.json("plugins", "list")["plugins"]}
    for key in [("strategy", "snapshot_append"), ("secret backend", "ini")]:
        assert (found[key]["package"], found[key]["version"]) == ("dataloader-snapshot-append", "0.1.0")
        assert not found[key]["conflict"]


def test_two_loads_leave_two_snapshots(example: Path, outsider: Outsider) -> None:
    outsider.install(example)
    secrets = outsider.folder / "secrets.ini"
    secrets.write_text("[crm]\npassword = correct horse\n")
    outsider.environment["DATALOADER_SECRET_SCOPES"] = f"env,ini:{secrets}"
    assert "snapshot_append" in outsider.json("init")["strategies"]
    outsider.add_source(f"ini:{secrets}", "crm.password")
    assert outsider.apply("prices", "snapshot_append", strategy_options={"stamp_column": "seen_at"}).returncode == 0
    for _ in range(2):
        outsider.ok("load", "crm.prices")
    rows = outsider.rows("prices")
    assert len(rows) == 4
    by_time = {row["seen_at"]: sorted(r["sku"] for r in rows if r["seen_at"] == row["seen_at"]) for row in rows}
    assert list(by_time.values()) == [["a", "b"], ["a", "b"]]


def test_a_file_of_secrets_that_the_deployment_does_not_name_is_refused(example: Path, outsider: Outsider) -> None:
    outsider.install(example)
    secrets = outsider.folder / "secrets.ini"
    secrets.write_text("[crm]\npassword = correct horse\n")
    outsider.ok("init")
    refused = outsider.run(
        "source", "add", "crm", "--type", "postgresql", "--set", "host=h", "--set", "user=u", "--set", "database=d",
        "--secret", "password=crm.password", "--scope", f"ini:{secrets}",
    )  # fmt: skip
    assert refused.returncode == 2
    assert "DATALOADER_SECRET_SCOPES" in refused.stderr
    assert "correct horse" not in refused.stdout + refused.stderr


def test_its_options_are_checked_where_a_table_is_applied(example: Path, outsider: Outsider) -> None:
    outsider.install(example)
    outsider.ok("init")
    outsider.add_source("env", "DATALOADER_SECRET_CRM")
    refused = outsider.apply("prices", "snapshot_append", strategy_options={"stamp": "seen_at"})
    assert refused.returncode == 2
    assert "stamp_column" in refused.stderr


def test_without_the_package_a_row_that_uses_it_fails_alone(example: Path, outsider: Outsider) -> None:
    outsider.install(example)
    outsider.ok("init")
    outsider.add_source("env", "DATALOADER_SECRET_CRM")
    assert outsider.apply("prices", "snapshot_append").returncode == 0
    assert outsider.apply("lands", "full").returncode == 0
    outsider.install()
    assert outsider.run("run", "--once").returncode == 1
    status = {t["control_key"]: t for t in outsider.json("status")["tables"]}
    assert status["crm.lands"]["last_status"] == "Succeeded"
    assert status["crm.prices"]["last_status"] == "Failed"
    assert "snapshot_append" in status["crm.prices"]["last_status_message"]
