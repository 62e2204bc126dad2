"""A worker process of the chaos trials: claims one table and loads it, with fail points armed."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import sys

from dataloader_core import failpoints
from dataloader_core.app import App
from dataloader_core.control.processes import this_process
from dataloader_core.errors import DataLoaderError
from dataloader_core.loading.loader import DataLoader

PRELOADED = (
    "dataloader_core",
    "dataloader_sources",
    "dataloader_engines",
    "dataloader_strategies",
    "dataloader_secrets",
)


def preload() -> None:
    """Import everything a load needs once, in the server that workers are forked from. Starts no thread."""
    for name in ("deltalake", "duckdb", "adbc_driver_postgresql.dbapi", "pyarrow.parquet", "sqlglot"):
        importlib.import_module(name)
    for root in PRELOADED:
        for module in pkgutil.walk_packages(importlib.import_module(root).__path__, f"{root}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


if __name__ != "__main__" and os.environ.get("CHAOS_PRELOAD"):
    preload()


def work(environ: dict[str, str], key: str, points: str, points_log: str) -> None:
    """Exit status 0: loaded; 1: the load failed; 3: somebody else holds the claim."""
    sys.stderr = open(os.devnull, "w") if not os.environ.get("CHAOS_VERBOSE") else sys.stderr  # noqa: SIM115  # open until the process ends
    logging.disable(logging.CRITICAL)
    os.environ.update(environ)
    failpoints.arm({failpoints.POINTS_VARIABLE: points, failpoints.LOG_VARIABLE: points_log})
    app = App.from_environment()
    try:
        app.control.reap_lost_loads(lambda _run: None)
        claim = app.control.claim_by_hand(key, this_process(kind="hand"))
        assert claim is not None
    except DataLoaderError:
        os._exit(3)
    loader = DataLoader(claim.source, app.control, app.registry, app.settings, app.engine, pool=1)
    [outcome] = loader.process_tables([claim])
    if outcome.status != "Succeeded" and os.environ.get("CHAOS_VERBOSE"):
        print(outcome.status, outcome.message, file=sys.__stderr__)
    os._exit(0 if outcome.status == "Succeeded" else 1)
