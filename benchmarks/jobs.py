"""The timed jobs. Each runs in a process of its own and prints one JSON line: seconds, peak memory, what it did."""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def copy_client(dsn: str, table: str) -> Result:
    """The limit: a client that receives the rows by binary COPY and throws them away."""
    import psycopg

    with psycopg.connect(dsn) as connection:
        began = time.perf_counter()
        size = 0
        with connection.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as copy:
            for block in copy:
                size += len(block)
        return {"seconds": time.perf_counter() - began, "bytes": size}


def load(*keys: str) -> Result:
    """Claim these tables and load them in one run, from claim to outcome; everything is imported before."""
    import deltalake  # noqa: F401  # not to be timed
    import duckdb  # noqa: F401  # not to be timed

    from dataloader_core.app import App
    from dataloader_core.control.processes import this_process
    from dataloader_core.loading.loader import DataLoader

    app = App.from_environment()
    _ = app.control, app.engine
    began = time.perf_counter()
    claims = [claim for key in keys if (claim := app.control.claim_by_hand(key, this_process(kind="hand")))]
    loader = DataLoader(claims[0].source, app.control, app.registry, app.settings, app.engine)
    outcomes = loader.process_tables(claims)
    seconds = time.perf_counter() - began
    bad = [f"{o.control_key}: {o.message}" for o in outcomes if o.status != "Succeeded"]
    if bad or len(claims) != len(keys):
        raise SystemExit(f"failed: {bad}")
    return {"seconds": seconds, "rows": sum(o.result.rows for o in outcomes if o.result)}


def warm(key: str, times: str) -> Result:
    """The fixed cost: the same small table again and again in one process; the median after the first."""
    results = [load(key)["seconds"] for _ in range(int(times) + 1)]
    return {"seconds": statistics.median(results[1:]), "first": results[0]}


def dlt(dsn: str, table: str, backend: str, folder: str) -> Result:
    """A peer: dlt from PostgreSQL into a Delta table, replace."""
    import dlt as peer
    from dlt.destinations import filesystem
    from dlt.sources.sql_database import sql_table

    Path(folder).mkdir(parents=True, exist_ok=True)
    url = re.sub(r"^postgresql://", "postgresql+psycopg2://", dsn)
    began = time.perf_counter()
    pipeline = peer.pipeline(
        f"bench_{backend}", destination=filesystem(Path(folder).as_uri()), dataset_name="x", pipelines_dir=folder
    )
    rows = sql_table(url, table=table, backend=backend, chunk_size=100_000, reflection_level="full_with_precision")
    pipeline.run(rows, table_format="delta", write_disposition="replace")
    return {"seconds": time.perf_counter() - began}


def delta_merge(path: str, changes: str) -> Result:
    """A peer: delta-rs' own merge of the same changed rows (a Parquet file) into a copy of the table."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

    began = time.perf_counter()
    source = pq.read_table(changes)
    low, high = (pick(source["l_orderkey"]).as_py() for pick in (pc.min, pc.max))
    bound = f"t.l_orderkey >= {low} AND t.l_orderkey <= {high}"
    merge = DeltaTable(path).merge(
        source,
        predicate=f"t.l_orderkey = s.l_orderkey AND t.l_linenumber = s.l_linenumber AND {bound}",
        source_alias="s",
        target_alias="t",
    )
    merge.when_matched_update_all().when_not_matched_insert_all().execute()
    return {"seconds": time.perf_counter() - began}


def ticks(times: str) -> Result:
    """Claim ticks of one claimer; every claimed key is printed so that doubles can be found."""
    from dataloader_core.app import App
    from dataloader_core.control.processes import this_process

    app = App.from_environment()
    control, seconds, keys = app.control, [], []
    for _ in range(int(times)):
        began = time.perf_counter()
        result = control.tick(this_process("worker"), limit=10)
        seconds.append(time.perf_counter() - began)
        keys += [claim.control_key for batch in result.batches for claim in batch]
    return {"seconds": statistics.median(seconds), "worst": max(seconds), "keys": keys}


JOBS: dict[str, Callable[..., Result]] = {
    job.__name__: job for job in (copy_client, load, warm, dlt, delta_merge, ticks)
}


def peak_mb() -> float:
    """The most memory that this process ever held (VmHWM)."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) / 1024 if match else float("nan")


if __name__ == "__main__":
    result = JOBS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({**result, "peak_mb": round(peak_mb(), 1)}))
