"""What a task of a read does on an executor before it reads."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from dataloader_engines.spark.reading_arrow import _forget_zips


def test_a_zip_that_was_imported_from_is_not_read_again_by_the_next_task_and_still_gives_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "packages.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for name in ("zipped_here/__init__.py", "zipped_here/one.py", "zipped_here/two.py"):
            made.writestr(name, "")
    monkeypatch.syspath_prepend(str(archive))
    __import__("zipped_here.one")
    assert [path for path in sys.path_importer_cache if path.startswith(str(archive))]
    _forget_zips()
    assert not [path for path in sys.path_importer_cache if path.startswith(str(archive))]
    __import__("zipped_here.two")
    for name in ("zipped_here", "zipped_here.one", "zipped_here.two"):
        del sys.modules[name]
