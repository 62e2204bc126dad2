"""Suites that prove an engine: subclass one, give it an engine, and pytest does the rest.

Example::

    from dataloader_core.testing.conformance import EngineConformance

    class TestMyEngine(EngineConformance):
        engine_class = MyEngine

        @classmethod
        def new_engine(cls, folder):
            return MyEngine(MySettings(lake=str(folder)))
"""

import pytest

# Before they are imported: otherwise a case that fails shows no values.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("table", "writes", "types", "schema", "protocol", "ownership", "plans"))
)

from dataloader_core.testing.conformance.base import Conformance, NewTable  # noqa: E402  # after the line above
from dataloader_core.testing.conformance.ownership import OwnershipConformance  # noqa: E402  # after the line above
from dataloader_core.testing.conformance.plans import PlanConformance  # noqa: E402  # after the line above
from dataloader_core.testing.conformance.protocol import ProtocolConformance  # noqa: E402  # after the line above
from dataloader_core.testing.conformance.schema import SchemaConformance  # noqa: E402  # after the line above
from dataloader_core.testing.conformance.table import ConformanceTable, Rows, rows  # noqa: E402  # after the line above
from dataloader_core.testing.conformance.types import TypeConformance  # noqa: E402  # after the line above
from dataloader_core.testing.conformance.writes import WriteConformance  # noqa: E402  # after the line above


class EngineConformance(
    PlanConformance, OwnershipConformance, ProtocolConformance, SchemaConformance, TypeConformance, WriteConformance
):
    """Everything that an engine must do, without any database. (Cases run from the last base to the first.)"""


__all__ = [
    "Conformance",
    "ConformanceTable",
    "EngineConformance",
    "NewTable",
    "OwnershipConformance",
    "PlanConformance",
    "ProtocolConformance",
    "Rows",
    "SchemaConformance",
    "TypeConformance",
    "WriteConformance",
    "rows",
]
