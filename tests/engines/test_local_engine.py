"""The engine as a plugin: found without its drivers, set by variables, honest about its lake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dataloader_core.errors import ConfigurationError, DestinationRefusedError
from dataloader_core.settings import read_settings
from dataloader_engines.local.engine import LocalEngine
from dataloader_engines.local.plugin import dataloader_engines
from dataloader_engines.local.settings import LocalSettings


def test_listing_the_engine_imports_no_driver() -> None:
    code = (
        "import sys; from dataloader_engines.local.plugin import dataloader_engines; list(dataloader_engines()); "
        "print([m for m in ('duckdb', 'deltalake', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_record_loads_the_engine() -> None:
    [record] = dataloader_engines()
    assert record.load() is LocalEngine
    assert record.settings is LocalSettings
    assert record.name == LocalEngine.name == "local"


def test_settings_come_from_variables(tmp_path: Path) -> None:
    found = read_settings(LocalSettings, {"DATALOADER_LAKE": str(tmp_path), "DATALOADER_MEMORY_MB": "300"})
    assert (found.lake, found.memory_mb) == (str(tmp_path), 300)
    with pytest.raises(ConfigurationError, match="DATALOADER_LAKE: is not set"):
        read_settings(LocalSettings, {})


@pytest.mark.parametrize("lake", ["file:/data/lake", "file:///data/lake"])
def test_a_folder_with_a_scheme_is_the_folder(lake: str) -> None:
    assert LocalSettings(lake=lake).lake == "/data/lake"


@pytest.mark.parametrize(
    ("lake", "says"), [("dbfs:/data/lake", "only Spark knows"), ("az://lake/x?sp=rw&sig=hunter2", "credentials")]
)
def test_a_lake_that_it_cannot_use_or_must_not_show_is_refused(lake: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LocalSettings(lake=lake)


def test_the_checks_tell_whether_the_lake_answers(tmp_path: Path) -> None:
    assert all(c.ok for c in LocalEngine(LocalSettings(lake=str(tmp_path))).checks())
    (tmp_path / "file").write_text("")
    broken = LocalEngine(LocalSettings(lake=str(tmp_path / "file"))).checks()[-1]
    assert not broken.ok
    assert broken.cure


def test_a_destination_is_the_folder_of_its_three_names(tmp_path: Path) -> None:
    engine = LocalEngine(LocalSettings(lake=str(tmp_path)))
    with engine.destination("bronze", "crm", "orders") as destination:
        assert destination.location == str(tmp_path / "bronze" / "crm" / "orders")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../etc", "a\\b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DestinationRefusedError):
        LocalEngine(LocalSettings(lake=str(tmp_path))).destination("bronze", "crm", name)
