"""A worker process of the chaos trials: claims one table and loads it, with fail points armed."""

from __future__ import annotations

import logging
import os
import sys

import deltalake  # noqa: F401  # imported once, before the fork
import duckdb  # noqa: F401
import pyarrow.parquet  # noqa: F401

from dataloader_core import failpoints
from dataloader_core.app import App
from dataloader_core.control.processes import this_process
from dataloader_core.errors import DataLoaderError
from dataloader_core.loading.loader import DataLoader


def work(environ: dict[str, str], key: str, points: str, points_log: str) -> None:
    """Exit status 0: loaded; 1: the load failed; 3: somebody else holds the claim."""
    sys.stderr = open(os.devnull, "w") if not os.environ.get("CHAOS_VERBOSE") else sys.stderr  # noqa: SIM115
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
