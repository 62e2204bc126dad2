"""Launchers: start the process that carries out one run (a batch of claimed tables of one source).

A launcher is called inside a Dagster asset. It gets the claims, starts ``dataloader_pipe.py`` somewhere,
passes on messages and logs, and cancels what it started when the Dagster run is cancelled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel

if TYPE_CHECKING:
    from dagster import AssetExecutionContext


ENVIRONMENT_ARGUMENT: Final = "--dataloader-environment"
"""By which a launcher gives settings to a process whose environment it cannot set, as Pipes encodes its parameters.

Not with the order: who may write where orders lie must not choose the control database or the secrets of a load.
"""


def may_travel(name: str) -> bool:
    """Whether a variable may reach a process by :data:`ENVIRONMENT_ARGUMENT`: DataLoader's own settings may.

    All others stay with the definition of a cluster or a job: some decide which code runs (``PYTHONPATH``,
    ``LD_PRELOAD``, ``AWS_CONFIG_FILE``).
    """
    return name.startswith("DATALOADER_") and name not in ("DATALOADER_PARENT_PIPE", "DATALOADER_FAILPOINTS")


@dataclass(frozen=True)
class RunOrder:
    """What a run shall do. It carries references to claims only: watermarks and secrets are read by the load.

    ``loads``: load ids of claims, in order. ``environment``: settings for the process, no secret among them.
    """

    db_config_key: str
    loads: Sequence[str]
    environment: Mapping[str, str]
    time_limit_seconds: int

    def to_extras(self) -> dict[str, Any]:
        """What the process finds as the extras of its Pipes context."""
        return {"db_config_key": self.db_config_key, "loads": list(self.loads)}


class Launcher(ABC):
    """One way to start a run.

    Example::

        class Subprocess(Launcher):
            name = "subprocess"

            def launch(self, context, order):
                with open_pipes_session(context, ..., extras=order.to_extras()) as session:
                    ...
    """

    name: ClassVar[str]

    def __init__(self, settings: BaseModel | None = None) -> None:
        """``settings`` is the record's settings model, read from ``DATALOADER_<FIELD>`` variables."""
        self.settings = settings

    @abstractmethod
    def launch(self, context: AssetExecutionContext, order: RunOrder) -> Generator[Mapping[str, Any], None, None]:
        """Start the process and yield one message per table as it ends, until the process ended.

        A launcher whose process can outlive this one says so first, as soon as the process exists:
        ``{"launched": {"reference": ..., "url": ...}}`` (again when it learns the URL). The caller remembers it, and
        gives the reference to :meth:`end` where this process could not end it any more.

        However the generator ends (closed by its caller, interrupted because the Dagster run was cancelled), the
        process is stopped first: politely, so that its loads end as cancelled, then by force. The interruption is
        raised again, never swallowed: a cancelled run must not look like a success.

        Raises:
            TransientError: the process could not be started, died, or exceeded ``time_limit_seconds``. What it
                reported before was yielded.
        """

    def end(self, reference: str) -> bool:
        """End what an earlier launch left behind, whose Dagster run is over; asked again until it is True.

        It must not take long: a sensor's tick waits for it. The default is for launchers whose process never
        outlives the one that launched it.

        Args:
            reference: What :meth:`launch` said of it.

        Returns:
            Whether it has ended by now, or is not known any more.

        Raises:
            DataLoaderError: it could not be asked; it is tried again.
        """
        return True
