"""Launchers: start the process that carries out one run (a batch of claimed tables of one source).

A launcher is called inside a Dagster asset. It gets the claims, starts ``dataloader_pipe.py`` somewhere,
passes on messages and logs, and cancels what it started when the Dagster run is cancelled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from dagster import AssetExecutionContext


@dataclass(frozen=True)
class RunOrder:
    """What a run shall do. It carries references to claims only: watermarks and secrets are read by the load.

    ``loads``: load ids of claims, in order. ``environment``: settings for the process, no secret among them.
    """

    db_config_key: str
    loads: Sequence[str]
    environment: Mapping[str, str]
    time_limit_seconds: int


class Launcher(ABC):
    """One way to start a run."""

    name: ClassVar[str]

    @abstractmethod
    def launch(self, context: AssetExecutionContext, order: RunOrder) -> Iterator[Mapping[str, Any]]:
        """Start the process and yield one message per table as it ends, until the process ended.

        Raises:
            LoadCancelledError: the run was cancelled; the process was stopped.
            TransientError: the process could not be started or died before it reported.
        """
