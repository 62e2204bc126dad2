"""Which kind of Spark this is: classic or Spark Connect, on Databricks or elsewhere."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_WORKSPACE: Final = re.compile(
    r"sc://[^/:;]*\.(?:azuredatabricks\.net|databricks\.(?:com|us|azure\.(?:us|cn)))(?=[:/;]|$)"
)


def on_databricks() -> bool:
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def remote_of(remote: str | None) -> str | None:
    """The Spark Connect URL that counts: the setting, or else ``SPARK_REMOTE``, which may hold a token."""
    return remote or os.environ.get("SPARK_REMOTE") or None


def databricks_remote(remote: str | None) -> bool:
    """Whether a Spark Connect URL leads into a workspace."""
    return _WORKSPACE.match(remote_of(remote) or "") is not None


JDBC_BY_CONNECT: Final = (
    "a Spark Connect server writes the plan of every query into its event log, the source's password with it"
)
"""Seen with Spark 4.1, whose classic sessions hide connection options, and whose plans show no data source's parts."""


def is_connect(given: SparkSession | DataFrame) -> bool:
    return type(given).__module__.startswith("pyspark.sql.connect")
