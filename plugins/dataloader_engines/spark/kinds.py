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


def databricks_remote(remote: str | None) -> bool:
    """Whether a Spark Connect URL leads into a workspace."""
    return _WORKSPACE.match(remote or os.environ.get("SPARK_REMOTE", "")) is not None


def is_connect(given: SparkSession | DataFrame) -> bool:
    return type(given).__module__.startswith("pyspark.sql.connect")
