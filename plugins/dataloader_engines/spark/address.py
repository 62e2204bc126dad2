"""Where a table is: by path below a lake, or by three names in a catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataloader_core.errors import ConfigurationError, DestinationRefusedError
from dataloader_core.places import is_url
from dataloader_engines.spark.settings import SparkSettings
from dataloader_engines.spark.sql import quote

STAGING_FOLDER = "_dataloader_staging"
"""Inside a table's folder. Delta's VACUUM leaves names alone that start with an underscore."""
_HADOOPS_S3: Final = re.compile("^s3[an]://")


@dataclass(frozen=True, slots=True)
class Address:
    """One table.

    Attributes:
        location: For people: the folder or URL, or the three names.
        sql: As a table's name in SQL and for ``writeTo``.
        path: Its folder or URL; None: the catalog knows it.
        staging: Folder for its rows that wait.
    """

    location: str
    sql: str
    path: str | None
    staging: str


def address(settings: SparkSettings, parts: tuple[str, str, str]) -> Address:
    """The address of catalog, schema and table.

    Raises:
        DestinationRefusedError: a part that would lead elsewhere.
        ConfigurationError: rows would have nowhere to wait.
    """
    for part in parts:
        if part in ("", ".", "..") or "/" in part or "\\" in part:
            raise DestinationRefusedError(
                f"{part!r} is no part of a destination's name.", cure="Use letters, digits and underscores."
            )
    name = ".".join(parts)
    if settings.lake is not None:
        path = "/".join((_root(settings.lake), *parts))
        staging = f"{_root(settings.staging)}/{name}" if settings.staging else f"{path}/{STAGING_FOLDER}"
        return Address(path, f"delta.{quote(path)}", path, staging)
    if settings.staging is None:
        raise ConfigurationError(
            f"Nothing says where the rows of {name} wait until they are committed.",
            cure="Set DATALOADER_STAGING to a folder of a Volume, for instance /Volumes/main/dataloader/staging, "
            "or DATALOADER_LAKE where tables lie in folders.",
        )
    return Address(name, ".".join(map(quote, parts)), None, f"{_root(settings.staging)}/{name}")


def is_local(path: str) -> bool:
    """Whether this process sees the folder too; a Unity Catalog Volume is a folder on the driver."""
    return not is_url(path)


def filesystem(url: str) -> tuple[Any, str]:
    """Arrow's file system of a URL as Spark spells it, and the path there.

    Raises:
        OSError, ValueError, ImportError: this process cannot reach it; Spark may all the same.
    """
    from pyarrow import fs

    found = fs.FileSystem.from_uri(_HADOOPS_S3.sub("s3://", url))
    return found[0], found[1]


def _root(lake: str) -> str:
    """As the local engine resolves it: absolute and without ``~`` where it is a folder."""
    return str(Path(lake).expanduser().resolve()) if is_local(lake) else lake.rstrip("/")
