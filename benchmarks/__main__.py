"""``python -m benchmarks [--scale 1] [--repeat 3] [--only full,merge]``: prints a table, keeps it in ``.bench/``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from deltalake import DeltaTable

from benchmarks.world import World, world
from dataloader_core.control.database import ControlDatabase

Line = dict[str, Any]


class Bench:
    """Runs jobs in turn and gathers the lines of the table."""

    def __init__(
        self, here: World, repeat: int, jobs: str = "benchmarks.jobs", environ: Mapping[str, str] | None = None
    ) -> None:
        self.here = here
        self._jobs = jobs
        self._environ = environ or {}
        self.repeat = repeat
        self.lines: list[Line] = []
        self.full_seconds: float | None = None

    def job(self, name: str, *args: str) -> dict[str, Any]:
        command = [sys.executable, "-m", self._jobs, name, *args]
        environ = {**os.environ, **self.here.environ, **self._environ}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} {args} failed:\n{done.stderr[-2000:]}")
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        print(f"  {name} {' '.join(args)[-60:]}: {result['seconds']:.3f} s, {result['peak_mb']:.0f} MB", flush=True)
        return result

    def line(self, what: str, measured: str, to_reach: str, reached: bool | None) -> None:
        self.lines.append({"what": what, "measured": measured, "to_reach": to_reach, "reached": reached})
        print(
            f"{'ok ' if reached else '-- ' if reached is None else 'NO '} {what}: {measured} ({to_reach})", flush=True
        )

    # the lines of the table

    def full(self) -> None:
        key = self.here.configure("lineitem", load_strategy="full")
        pairs = []
        for _ in range(self.repeat):
            limit, ours = self.job("copy_client", self.here.source_dsn, "lineitem"), self.job("load", key)
            pairs.append((ours["seconds"] / limit["seconds"], ours))
        ratio = statistics.median(r for r, _ in pairs)
        self.full_seconds = statistics.median(o["seconds"] for _, o in pairs)
        peak = max(o["peak_mb"] for _, o in pairs)
        self.line(
            "full load of lineitem",
            f"{ratio:.2f} x a COPY client, {self.full_seconds:.2f} s",
            "<= 1.15 x",
            ratio <= 1.15,
        )
        self.line("its peak memory", f"{peak:.0f} MB", "<= 350 MB", peak <= 350)

    def dlt(self) -> None:
        assert self.full_seconds is not None
        best = min(
            self.job("dlt", self.here.source_tcp, "lineitem", backend, str(self.here.folder / f"dlt-{backend}"))[
                "seconds"
            ]
            for backend in ("connectorx", "pyarrow")
        )
        ratio = best / self.full_seconds
        self.line("against dlt's fastest backend into Delta", f"{ratio:.1f} x faster", ">= 3 x", ratio >= 3)

    def merge(self) -> None:
        self.here.add_changing_tables()
        keys = {"primary_key_cols": ["l_orderkey", "l_linenumber"], "incremental_column": "changed"}
        key = self.here.configure("merged", load_strategy="incremental", **keys)
        full = self._full_again(key)
        last = int(6_000_000 * self.here.scale * 0.99)
        cases = (
            ("the newest keys", f"l_orderkey >= {last}", 0.15),
            ("keys spread over the whole table", "l_orderkey % 100 = 7", 0.5),
        )
        for name, where, limit in cases:
            ours = []
            for _ in range(self.repeat):
                self.here.source(f"UPDATE merged SET l_quantity = l_quantity + 1 WHERE {where}")
                ours.append(self.job("load", key))
            ratio = statistics.median(o["seconds"] for o in ours) / full
            peak = max(o["peak_mb"] for o in ours)
            peer = self._delta_merge(where)
            self.line(
                f"merge of 1% ({name})",
                f"{ratio:.2f} x the full load ({full:.2f} s), {peak:.0f} MB; delta-rs' own merge alone "
                f"{peer['seconds'] / full:.2f} x, {peer['peak_mb']:.0f} MB",
                f"<= {limit} x, <= 400 MB",
                ratio <= limit and peak <= 400,
            )

    def _full_again(self, key: str) -> float:
        """Median seconds of loading everything: what the increments are measured by."""
        seconds = []
        for _ in range(self.repeat):
            with ControlDatabase(self.here.control_dsn) as control:
                control.order_full(key)
            seconds.append(self.job("load", key)["seconds"])
        return float(statistics.median(seconds))

    def _delta_merge(self, where: str) -> dict[str, Any]:
        """The same changed rows, already read, merged by delta-rs into a copy of the table."""
        original, copy = self.here.lake / "bronze" / "tpch" / "merged", self.here.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(original, copy)
        changes = self.here.folder / "changes.parquet"
        files = DeltaTable(copy).file_uris()
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT * FROM read_parquet({files!r}) WHERE {where}) TO '{changes}'")
        return self.job("delta_merge", str(copy), str(changes))

    def append(self) -> None:
        self.here.add_changing_tables()
        key = self.here.configure("appended", load_strategy="append_only", incremental_column="seq")
        full = self._full_again(key)
        fixed = self._fixed()
        ours = []
        for _ in range(self.repeat):
            rows = int(60_000 * self.here.scale)
            self.here.source(f"INSERT INTO appended SELECT * FROM lineitem LIMIT {rows}")
            ours.append(self.job("load", key)["seconds"])
        seconds = statistics.median(ours)
        limit = 0.05 * full + fixed
        self.line(
            "append_only of 1%",
            f"{seconds:.2f} s = {seconds / full:.3f} x the full load",
            f"<= 0.05 x + fixed cost = {limit:.2f} s",
            seconds <= limit,
        )

    def _fixed(self) -> float:
        """Of the first load in a process, as the increments are measured."""
        self.here.source("CREATE TABLE IF NOT EXISTS small AS SELECT i FROM generate_series(1, 10) i")
        key = self.here.configure("small", load_strategy="full")
        return float(self.job("warm", key, "3")["first"])

    def small(self) -> None:
        self.here.source("DROP TABLE IF EXISTS small")
        self.here.source("CREATE TABLE small AS SELECT i FROM generate_series(1, 10) i")
        key = self.here.configure("small", load_strategy="full", destination_table_name="small_alone")
        seconds = self.job("warm", key, "9")["seconds"]
        self.line("a table of 10 rows, warm process", f"{seconds:.2f} s", "<= 0.3 s", seconds <= 0.3)
        keys = [
            self.here.configure("small", load_strategy="full", destination_table_name=f"small_{i}") for i in range(100)
        ]
        result = self.job("load", *keys)
        self.line(
            "100 such tables in one run",
            f"{result['seconds']:.1f} s, {result['peak_mb']:.0f} MB",
            "<= 15 s",
            result["seconds"] <= 15,
        )

    def claims(self) -> None:
        self._hundred_thousand()
        seconds = self.job("ticks", "9")["seconds"]
        self.line("a claim tick, 100,000 tables, 100 due", f"{seconds * 1000:.0f} ms", "<= 50 ms", seconds <= 0.05)
        self._due_again()
        command = [sys.executable, "-m", "benchmarks.jobs", "ticks", "3"]
        environ = {**os.environ, **self.here.environ}
        claimers = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(10)]
        results = [json.loads(claimer.communicate()[0].strip().splitlines()[-1]) for claimer in claimers]
        keys = Counter(key for result in results for key in result["keys"])
        doubled = [key for key, count in keys.items() if count > 1]
        middle = statistics.median(r["seconds"] for r in results)
        self.line(
            "10 claimers at once",
            f"{len(keys)} tables claimed, {len(doubled)} twice; {middle * 1000:.0f} ms a tick",
            "no table twice",
            not doubled,
        )

    def _hundred_thousand(self) -> None:
        with psycopg.connect(self.here.control_dsn, autocommit=True) as control:
            control.execute(
                "INSERT INTO control.table_control_dbconfig (db_config_key, db_type, db_config_value,"
                " max_concurrent_loads) SELECT 's' || i, 'postgresql', '{}', 200 FROM generate_series(1, 20) i"
            )
            control.execute(
                "INSERT INTO control.table_control (db_config_key, source_table_schema, source_table_name,"
                " destination_table_catalog, destination_table_schema, destination_table_name, load_strategy,"
                " load_cron, next_load_date_time)"
                " SELECT 's' || (1 + i % 20), 'public', 't' || i, 'bronze', 'many', 't' || i, 'full',"
                " '0 3 * * *', CASE WHEN i <= 100 THEN now() - interval '1 hour' ELSE now() + interval '1 day' END"
                " FROM generate_series(1, 100000) i"
            )
            control.execute("VACUUM ANALYZE control.table_control")

    def _due_again(self) -> None:
        with psycopg.connect(self.here.control_dsn, autocommit=True) as control:
            control.execute("SET session_replication_role = replica")
            control.execute(
                "UPDATE control.table_control SET next_load_date_time = now() - interval '1 hour', last_status = NULL"
                " WHERE destination_table_schema = 'many' AND substr(source_table_name, 2)::int <= 300"
            )


ALL = ("full", "dlt", "merge", "append", "small", "claims")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default=",".join(ALL), help=f"some of {', '.join(ALL)}")
    given = parser.parse_args()
    with world(given.scale) as here:
        bench = Bench(here, given.repeat)
        for name in given.only.split(","):
            print(f"--- {name}", flush=True)
            run: Callable[[], None] = getattr(bench, name)
            run()
    file = Path(".bench") / f"results-{given.scale:g}.md"
    write(bench.lines, file, given.scale, ("duckdb", "deltalake", "psycopg", "pyarrow"))


def write(lines: list[Line], file: Path, scale: float, libraries: Iterable[str]) -> None:
    """Print the table and keep it."""
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    text = [
        f"TPC-H at scale {scale:g}; {os.cpu_count()} cores, Python {platform.python_version()}, {versions}.",
        "",
        "| what | measured | to reach | |",
        "|---|---|---|---|",
        *(
            f"| {line['what']} | {line['measured']} | {line['to_reach']} | {'yes' if line['reached'] else 'no'} |"
            for line in lines
        ),
    ]
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
