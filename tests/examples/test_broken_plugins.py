"""A broken package is named with its version and cause, and everything else works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.conftest import Outsider, build, write_package

BROKEN = {
    "missing_import": """
        import hvac_driver
    """,
    "misspelt": """
        from dataloader_core.plugins import hookimpl

        @hookimpl
        def dataloader_stategies():
            return []
    """,
    "from_the_future": """
        from dataloader_core.plugins import StrategyRecord, hookimpl

        @hookimpl
        def dataloader_strategies():
            yield StrategyRecord("later", "Of another contract", load=lambda: None, api_version=99)
    """,
    "raising": """
        from dataloader_core.plugins import hookimpl

        @hookimpl
        def dataloader_sources():
            raise RuntimeError("no such thing")
            yield
    """,
}
CAUSES = {
    "missing_import": "No module named 'hvac_driver'",
    "misspelt": "dataloader_stategies",
    "from_the_future": "API version 99",
    "raising": "RuntimeError: no such thing",
}
RIVAL = """
    from dataloader_core.plugins import StrategyRecord, hookimpl

    def load():
        from dataloader_strategies.full import Full
        return Full

    @hookimpl
    def dataloader_strategies():
        yield StrategyRecord("snapshot_append", "Another one of this name", load=load)
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    return build(write_package(folder / "source", "dataloader-broken", "0.3.1", BROKEN), folder / "site")


@pytest.fixture(scope="module")
def rival(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rival")
    return build(write_package(folder / "source", "dataloader-rival", "2.0", {"rival": RIVAL}), folder / "site")


def test_each_broken_plugin_is_listed_with_package_version_and_cause(broken: Path, outsider: Outsider) -> None:
    outsider.install(broken)
    listed = outsider.json("plugins", "list")
    for plugin, cause in CAUSES.items():
        [found] = [text for text in map(str, listed["broken"]) if plugin in text]
        assert "dataloader-broken" in found
        assert "0.3.1" in found
        assert cause in found
    assert {"full", "incremental", "postgresql", "env", "local"} <= {p["name"] for p in listed["plugins"]}


def test_the_doctor_names_them_and_is_not_content(broken: Path, outsider: Outsider) -> None:
    outsider.ok("init")
    outsider.install(broken)
    done = outsider.run("doctor", "--json")
    assert done.returncode == 1
    checks = {check["name"]: check for check in outsider.json("doctor")["checks"]}
    for plugin, cause in CAUSES.items():
        check = checks[f"plugin {plugin}"]
        assert not check["ok"]
        assert "dataloader-broken 0.3.1" in check["detail"]
        assert cause in check["detail"]
    assert checks["source postgresql"]["ok"]


def test_everything_else_works_beside_them(broken: Path, outsider: Outsider) -> None:
    outsider.install(broken)
    outsider.ok("init")
    outsider.add_source("env", "DATALOADER_SECRET_CRM")
    assert outsider.apply("lands", "full").returncode == 0
    outsider.ok("load", "crm.lands")
    assert outsider.rows("lands") == [{"code": "PT"}]


def test_a_name_that_a_broken_plugin_would_have_offered_leads_to_it(broken: Path, outsider: Outsider) -> None:
    outsider.install(broken)
    outsider.ok("init")
    outsider.add_source("env", "DATALOADER_SECRET_CRM")
    refused = outsider.apply("lands", "later")
    assert refused.returncode == 2
    assert "Unknown strategy 'later'" in refused.stderr
    assert "dataloader-broken 0.3.1" in refused.stderr


def test_two_packages_that_offer_one_name_are_both_named_when_it_is_used(
    example: Path, rival: Path, outsider: Outsider
) -> None:
    outsider.install(example, rival)
    outsider.ok("init")
    outsider.add_source("env", "DATALOADER_SECRET_CRM")
    refused = outsider.apply("prices", "snapshot_append")
    assert refused.returncode == 2
    assert "dataloader-rival 2.0" in refused.stderr
    assert "dataloader-snapshot-append 0.1.0" in refused.stderr
    assert outsider.apply("lands", "full").returncode == 0
    outsider.ok("load", "crm.lands")
