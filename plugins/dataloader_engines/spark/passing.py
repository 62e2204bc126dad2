"""Rows that do not wait: read while their commit writes them, of a source that told beforehand what they are.

A load whose rows wait in files writes everything twice. It must where keys are to be checked, and where only the rows
themselves tell what goes into their commit.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from uuid import uuid4

from dataloader_core.errors import PluginError
from dataloader_core.interfaces.source import SourceSnapshot, WayOfReading
from dataloader_core.plan import Read
from dataloader_engines.spark import reading
from dataloader_engines.spark.look import Entry
from dataloader_engines.spark.reading_errors import SPARK_ERRORS, reading_errors
from dataloader_engines.spark.session import LoadSession

_WRITTEN = "numOutputRows"


@dataclass(frozen=True)
class Passing:
    """A read that a commit carries out. Its snapshot stays open until then.

    Attributes:
        view: The temporary view of its rows. Every query of it reads the source.
        rows: How many the source told.
    """

    session: LoadSession
    snapshot: SourceSnapshot
    read: Read
    view: str
    rows: int

    def around(self) -> AbstractContextManager[None]:
        """Around the commit: what fails at the source is told as the source's error."""
        return reading_errors(self.snapshot, self.read, told=True)

    def check(self, entry: Entry) -> None:
        """That the commit wrote what the source told.

        Raises:
            PluginError: other rows came than were counted. The commit stands, and what it says may be wrong.
        """
        written = entry.metrics.get(_WRITTEN)
        if written is not None and int(written) != self.rows:
            raise PluginError(
                f"The source told {self.rows} rows of {self.read.relation} and gave {written}; they are committed as "
                f"version {entry.version} of the table.",
                cure="Set DATALOADER_WRITE_THROUGH=off and order load_full; the source's plugin must tell only what "
                "it reads (SourceSnapshot.tally).",
            )

    def drop(self) -> None:
        """Forget the view; with a session that is gone, it is gone."""
        with suppress(OSError, *SPARK_ERRORS):
            self.session.spark.catalog.dropTempView(self.view)


def passing(
    session: LoadSession,
    snapshot: SourceSnapshot,
    read: Read,
    way: WayOfReading,
    parts: int,
    rows: int,
) -> Passing:
    """The read as a view that a commit can be made from. Nothing is read yet."""
    frame = reading.dataframe(session.spark, snapshot, read, way, parts, session.drivers)
    view = f"dataloader_{uuid4().hex}"
    frame.createTempView(view)
    return Passing(session, snapshot, read, view, rows)
