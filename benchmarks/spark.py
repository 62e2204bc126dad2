"""``python -m benchmarks.spark [--scale 1] [--repeat 3]``: the Spark engine against what one writes by hand."""

from __future__ import annotations

import argparse
import shutil
import statistics
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from benchmarks.__main__ import Bench, write
from benchmarks.world import World, world

MODULE = "benchmarks.spark_jobs"
PARTITIONS = 4


class SparkBench(Bench):
    """Every job is a process with a warm session; its times begin after the session has started."""

    def __init__(self, here: World, repeat: int) -> None:
        super().__init__(
            here, repeat, MODULE, {"DATALOADER_ENGINE": "spark", "DATALOADER_SPARK_CONF": "spark.driver.memory=4g"}
        )
        here.source("CREATE TABLE IF NOT EXISTS small AS SELECT i FROM generate_series(1, 10) i")
        self.warming = here.configure("small", load_strategy="full", destination_table_name="warming")
        self.url = here.source_jdbc

    def full(self) -> None:
        key = self.here.configure("lineitem", load_strategy="full")
        peer = self.here.folder / "by_hand"
        pairs: dict[str, list[float]] = {"arrow": [], "jdbc": []}
        for _ in range(self.repeat):
            hand = self.job("by_hand", self.url, "lineitem", str(PARTITIONS), str(peer))["seconds"]
            shutil.rmtree(peer, ignore_errors=True)
            for way, ratios in pairs.items():
                self.here.set_way(key, way)
                ratios.append(self.job("ours", self.warming, key)["seconds"] / hand)
        for way, ratios in pairs.items():
            ratio = statistics.median(ratios)
            self.line(
                f"full load of lineitem by {way}",
                f"{ratio:.2f} x hand-written JDBC",
                "<= 1.05 x, aim 0.5 x",
                ratio <= 1.05,
            )

    def small(self) -> None:
        seconds = self.job("fixed", self.warming, "24")["seconds"]
        self.line("a table of 10 rows, warm session", f"{seconds:.2f} s", "<= 1.5 s", seconds <= 1.5)
        keys = [
            self.here.configure("small", load_strategy="full", destination_table_name=f"small_{i}") for i in range(50)
        ]
        run = self.job("ours", self.warming, *keys)["seconds"]
        self.line("50 such tables in one run", f"{run:.1f} s", "<= 60 s", run <= 60)

    def merge(self) -> None:
        self.here.add_changing_tables()
        keys = {"primary_key_cols": ["l_orderkey", "l_linenumber"], "incremental_column": "changed"}
        key = self.here.configure("merged", load_strategy="incremental", **keys)
        self.job("ours", self.warming, key)
        table, by_hand = self.here.lake / "bronze" / "tpch" / "merged", self.here.folder / "merged_by_hand"
        self.job("by_hand", self.url, "merged", str(PARTITIONS), str(by_hand))
        last = int(6_000_000 * self.here.scale * 0.99)
        cases = (
            ("the newest keys", f"l_orderkey >= {last}", f"t.l_orderkey >= {last}"),
            ("keys spread over the whole table", "l_orderkey % 100 = 7", ""),
        )
        for name, where, bound in cases:
            ratios: dict[str, list[float]] = {"by hand": [], "a copy of ours": []}
            for _ in range(self.repeat):
                copy = self.here.folder / "copy"
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(table, copy)
                self.here.source(f"UPDATE merged SET l_quantity = l_quantity + 1 WHERE {where}")
                hand = self.job("merge_by_hand", self.url, where, str(by_hand), bound)
                on_copy = self.job("merge_by_hand", self.url, where, str(copy), bound)
                version = len(list((table / "_delta_log").glob("*.json"))) - 1
                ours = self.job("ours", self.warming, key)
                gone = self.job("rewritten", str(table), str(version))["rewritten"]
                ratios["by hand"].append(ours["seconds"] / hand["seconds"])
                ratios["a copy of ours"].append(ours["seconds"] / on_copy["seconds"])
            ratio, other = map(statistics.median, ratios.values())
            self.line(
                f"merge of 1% ({name})",
                f"{ratio:.2f} x a hand-written MERGE into a table loaded by hand, {other:.2f} x into a copy of "
                f"ours; {gone} files rewritten, by hand {hand['rewritten']}",
                "<= 1.0 x",
                ratio <= 1.0,
            )

    def window(self) -> None:
        """A window of days that is made equal to the source: by us an overwrite of its rows, where that is the same."""
        start = date(1998, 5, 1)
        key = self.here.configure(
            "merged",
            destination_table_name="rolled",
            load_strategy="rolling",
            primary_key_cols=["l_orderkey", "l_linenumber"],
            rolling_column="l_shipdate",
            rolling_days=(datetime.now(UTC).date() - start).days,
            strategy_options={"delete_outside": False},
        )
        self.here.add_changing_tables()
        self.job("ours", self.warming, key)
        table, copy = self.here.lake / "bronze" / "tpch" / "rolled", self.here.folder / "rolled_by_hand"
        shutil.copytree(table, copy)
        ratios = []
        for _ in range(self.repeat):
            self.here.source("UPDATE merged SET l_quantity = l_quantity + 1 WHERE l_shipdate >= '1998-06-01'")
            hand = self.job("window_by_hand", self.url, start.isoformat(), str(copy))["seconds"]
            ratios.append(self.job("ours", self.warming, key)["seconds"] / hand)
        ratio = statistics.median(ratios)
        self.line("a window of 5%", f"{ratio:.2f} x a hand-written MERGE that deletes in it", "<= 1.0 x", ratio <= 1.0)


ALL = ("full", "small", "merge", "window")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spark")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default=",".join(ALL), help=f"some of {', '.join(ALL)}")
    given = parser.parse_args()
    with world(given.scale, tcp=True) as here:
        bench = SparkBench(here, given.repeat)
        for name in given.only.split(","):
            print(f"--- {name}", flush=True)
            run: Callable[[], None] = getattr(bench, name)
            run()
    write(bench.lines, Path(".bench") / f"spark-{given.scale:g}.md", given.scale, ("pyspark", "delta-spark", "duckdb"))


if __name__ == "__main__":
    main()
