"""A PostgreSQL with TPC-H's lineitem and orders, a control database beside it, and an empty lake."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from dataloader_core.control.database import ControlDatabase
from dataloader_core.embedded.cluster import Cluster
from dataloader_core.plugins.manager import default_registry
from dataloader_core.table import SourceConfig

LINEITEM = """
    l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber int NOT NULL,
    l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
    l_tax numeric(15,2) NOT NULL, l_returnflag text NOT NULL, l_linestatus text NOT NULL, l_shipdate date NOT NULL,
    l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct text NOT NULL, l_shipmode text NOT NULL,
    l_comment text NOT NULL"""
ORDERS = """
    o_orderkey bigint NOT NULL, o_custkey bigint NOT NULL, o_orderstatus text NOT NULL,
    o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority text NOT NULL,
    o_clerk text NOT NULL, o_shippriority int NOT NULL, o_comment text NOT NULL"""
STAMP = """
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := now(); RETURN NEW; END $$;
CREATE TABLE merged AS SELECT *, now() AS changed FROM lineitem;
ALTER TABLE merged ADD PRIMARY KEY (l_orderkey, l_linenumber), ALTER changed SET NOT NULL;
CREATE INDEX ON merged (changed);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON merged FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TABLE appended (LIKE lineitem, seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
INSERT INTO appended SELECT * FROM lineitem;
"""


class World:
    """Servers and folders of one benchmark run."""

    def __init__(self, folder: Path, scale: float, tcp: bool) -> None:
        self.folder = folder
        self.scale = scale
        self.tcp = tcp
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.cluster = Cluster(
            folder / "data",
            folder / "socket",
            folder / "log",
            {
                "shared_buffers": "1GB",
                "max_wal_size": "8GB",
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "autovacuum": "off",
                "max_connections": "200",
                "listen_addresses": "127.0.0.1",
            },
            port=self._port,
        )
        self.lake = folder / "lake"

    @property
    def source_dsn(self) -> str:
        return self.cluster.url("source")

    @property
    def source_tcp(self) -> str:
        """For peers that know no Unix socket."""
        return f"postgresql://peer:peer@127.0.0.1:{self._port}/source"

    @property
    def source_jdbc(self) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self._port}/source?user=peer&password=peer"

    @property
    def control_dsn(self) -> str:
        return self.cluster.url("control")

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            "DATALOADER_CONTROL_URL": self.control_dsn,
            "DATALOADER_LAKE": str(self.lake),
            "DATALOADER_SECRET_PEER": "peer",
        }

    def set_up(self) -> None:
        self.cluster.create(durable=False)
        self.cluster.start()
        self.lake.mkdir()
        with psycopg.connect(self.cluster.url("postgres"), autocommit=True) as server:
            server.execute("CREATE DATABASE source")
            server.execute("CREATE DATABASE control")
            server.execute("CREATE ROLE peer LOGIN SUPERUSER PASSWORD 'peer'")
        self._generate()
        with ControlDatabase(self.control_dsn) as control:
            control.migrate()
            control.register_strategies(default_registry())
            fields: dict[str, Any] = {
                "host": {"value": "127.0.0.1" if self.tcp else str(self.cluster.socket)},
                "port": {"value": str(self.cluster.port)},
                "user": {"value": "peer"},
                "password": "DATALOADER_SECRET_PEER",
                "database": {"value": "source"},
            }
            control.put_source(SourceConfig("tpch", "postgresql", fields, "env", max_concurrent_loads=200))

    def _generate(self) -> None:
        tables = self.folder / "tpch"
        tool = Path(sys.executable).parent / "tpchgen-cli"
        subprocess.run(
            [tool, "csv", "-s", str(self.scale), "--tables=lineitem,orders", f"--output-dir={tables}"], check=True
        )
        with psycopg.connect(self.source_dsn, autocommit=True) as source:
            for name, columns in (("lineitem", LINEITEM), ("orders", ORDERS)):
                source.execute(f"CREATE TABLE {name} ({columns})")
                with (
                    (tables / f"{name}.csv").open("rb") as rows,
                    source.cursor().copy(f"COPY {name} FROM STDIN (FORMAT csv, HEADER)") as copy,
                ):
                    while block := rows.read(1 << 20):
                        copy.write(block)
            source.execute("VACUUM ANALYZE")
        shutil.rmtree(tables)

    @cache  # noqa: B019  # once in a world, which lives as long as the run
    def add_changing_tables(self) -> None:
        with psycopg.connect(self.source_dsn, autocommit=True) as source:
            source.execute(STAMP)
            source.execute("VACUUM ANALYZE")

    def source(self, statement: str) -> None:
        with psycopg.connect(self.source_dsn, autocommit=True) as source:
            source.execute(statement)

    def configure(self, table: str, **columns: Any) -> str:
        """A control row for a table of the source; its control key."""
        key = f"tpch.public.{columns.get('destination_table_name', table)}"
        row = {
            "control_key": key,
            "db_config_key": "tpch",
            "source_table_schema": "public",
            "source_table_name": table,
            "destination_table_catalog": "bronze",
            "destination_table_schema": "tpch",
            "destination_table_name": table,
            **columns,
        }
        with ControlDatabase(self.control_dsn) as control:
            control.apply_rows([row], {})
        return key

    def set_way(self, control_key: str, way: str) -> None:
        with psycopg.connect(self.control_dsn, autocommit=True) as control:
            control.execute(
                "UPDATE control.table_control SET way_of_reading = %s WHERE control_key = %s", (way, control_key)
            )


@contextmanager
def world(scale: float, tcp: bool = False) -> Iterator[World]:
    """``tcp``: the loads reach the source over TCP, as JDBC must; otherwise by its Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="dl-bench-"))
    folder.chmod(0o755)
    here = World(folder, scale, tcp)
    try:
        here.set_up()
        yield here
    finally:
        here.cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
