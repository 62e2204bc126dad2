"""A newcomer's road with nothing but the wheel: init, a source, discover, apply, load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dataloader_core.embedded import stop

if TYPE_CHECKING:
    from tests.conftest import PostgresServer
    from tests.packaging.conftest import Environment

TABLE = "shop.public.orders"


@pytest.mark.slow
def test_a_table_is_loaded_from_there(complete: Environment, tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database("shop")
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT i AS id, 'order ' || i AS name FROM generate_series(1, 500) i"
        )
        connection.execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
        database = connection.info.dbname
    settings = {"DATALOADER_LAKE": str(tmp_path / "lake"), "DATALOADER_SECRET_SHOP": "correct horse"}

    def dataloader(*args: str) -> Any:
        done = complete.run("dataloader", *args, "--json", cwd=tmp_path, **settings)
        assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    try:
        dataloader("init")
        place = ("--set", f"host={postgres_server.host}", "--set", f"port={postgres_server.port}")
        login = ("--set", f"database={database}", "--set", "user=loader", "--secret", "password=DATALOADER_SECRET_SHOP")
        dataloader("source", "add", "shop", "--type", "postgresql", *place, *login, "--scope", "env")
        (tmp_path / "tables.yaml").write_text(
            f"tables:\n  - control_key: {TABLE}\n    db_config_key: shop\n    source_table_schema: public\n"
            "    source_table_name: orders\n    destination_table_catalog: bronze\n"
            "    destination_table_schema: shop\n    destination_table_name: orders\n    load_strategy: full\n"
        )
        dataloader("apply", "tables.yaml")
        dataloader("load", TABLE)
    finally:
        stop(tmp_path)
    count = "import deltalake, sys; print(deltalake.DeltaTable(sys.argv[1]).count())"
    done = complete.run("python", "-c", count, str(tmp_path / "lake/bronze/shop/orders"))
    assert done.stdout.strip() == "500", done.stderr
