"""What the suites share: an engine for a class of tests, tables in its hands, and what it is declared not to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import pytest

from dataloader_core.interfaces.engine import Destination, Engine
from dataloader_core.testing.conformance.delta_log import DeltaLog
from dataloader_core.testing.conformance.report import CaseRecord, Skip
from dataloader_core.testing.conformance.table import ConformanceTable, Rows, folder_of

if TYPE_CHECKING:
    import pyarrow as pa

NewTable = Callable[..., ConformanceTable]
ALL_VARIABLE = "DATALOADER_CONFORMANCE"
WAYS = ("parquet", "arrow")
"""Ways of reading that the suite's own source offers."""


class Conformance:
    """Base of all suites. A subclass names its engine's class and makes an engine for a folder.

    Attributes:
        engine_class: Its ``name`` and ``reads`` are what the report and the skips are made from.
        cannot: What the engine does not do: reasons by patterns of cases' names, as the report shows them. A case
            that is named here is skipped as ``unable``.
        spared: Cases that are left out to save time, likewise, with the pattern of another case that shows the same
            and is run. They are skipped as ``saved``; ``DATALOADER_CONFORMANCE`` set to ``all`` runs them. Nothing else
            skips a case.
        label: The engine's name in the report, where that is not ``engine_class.name``.
        area: The suite's name in the report.
    """

    engine_class: ClassVar[type[Engine]]
    cannot: ClassVar[Mapping[str, str]] = {}
    spared: ClassVar[Mapping[str, str]] = {}
    label: ClassVar[str | None] = None
    area: ClassVar[str] = ""

    @classmethod
    def new_engine(cls, folder: Path) -> Engine:
        """An engine whose tables lie in this empty folder; all tests of the class use it."""
        raise NotImplementedError(f"{cls.__name__} has no new_engine().")

    @classmethod
    def read_table(cls, destination: Destination) -> pa.Table:
        """The rows that a reader of the table sees. Override it where a table does not lie in a folder."""
        return DeltaLog(folder_of(destination)).read()

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Engine:
        return cls.new_engine(tmp_path_factory.mktemp("lake"))

    @pytest.fixture(scope="class")
    @classmethod
    def new_table(cls, engine: Engine) -> Iterator[NewTable]:
        """``new_table({"id": "int", "name": "string"})``: a created table; ``created=False``: only its name."""
        made: list[ConformanceTable] = []

        def new(types: Mapping[str, str], *, created: bool = True, name: str | None = None, **more: Any) -> Any:
            table = ConformanceTable(engine, cls.read_table, name or f"t_{uuid4().hex}", types, **more)
            made.append(table)
            if created:
                table.create()
            return table

        yield new
        for table in made:
            table.close()

    @classmethod
    def copy_table(cls, table: Destination, to: Destination) -> None:
        """Make ``to`` the same table as ``table``, log and all. Override it as :meth:`read_table`."""
        shutil.copytree(folder_of(table), folder_of(to))

    @pytest.fixture(scope="class")
    @classmethod
    def loaded_table(cls, new_table: NewTable) -> NewTable:
        """``loaded_table(types, rows)``: a table that holds these rows, loaded once for the class and then copied."""
        made: dict[str, ConformanceTable] = {}

        def copied(types: Mapping[str, str], rows: Rows) -> ConformanceTable:
            key = repr((types, rows))
            if key not in made:
                made[key] = new_table(types)
                made[key].load(rows)
            table: ConformanceTable = new_table(types, created=False)
            cls.copy_table(made[key].destination, table.destination)
            table.uid, table.seq, table.model = made[key].uid, made[key].seq, replace(made[key].model)
            return table

        return copied

    @pytest.fixture(autouse=True)
    def _declared(self, request: pytest.FixtureRequest) -> None:
        case = self.case_of(request.node)
        request.node.user_properties.append((CaseRecord.PROPERTY, case.to_json()))
        if case.skip is not None:
            pytest.skip(f"{case.skip.kind}: {case.skip.reason}")

    @classmethod
    def case_of(cls, item: pytest.Item) -> CaseRecord:
        """The line of the report that a test makes."""
        assert isinstance(item, pytest.Function)
        params = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        way, strategy = (str(params.pop(name, "")) for name in ("way", "strategy"))
        shown = item.name.partition("[")[2].rstrip("]") if params else ""
        detail = "-".join(part for part in shown.split("-") if part not in {way, strategy} - {""})
        name = item.originalname
        area = next(str(vars(c)["area"]) for c in cls.__mro__ if name in vars(c) and "area" in vars(c))
        case = CaseRecord(cls.label or cls.engine_class.name, area, sentence(name), detail, way, strategy)
        return replace(case, skip=cls._skip(case))

    @classmethod
    def _skip(cls, case: CaseRecord) -> Skip | None:
        if case.way and case.way not in cls.engine_class.reads:
            return Skip("unable", f"the engine does not read by {case.way}")
        reason = _named(case, cls.cannot)
        if reason is not None:
            return Skip("unable", reason)
        shown = None if os.environ.get(ALL_VARIABLE) == "all" else _named(case, cls.spared)
        return None if shown is None else Skip("saved", f'"{shown}" shows the same', shown)


def _named(case: CaseRecord, declared: Mapping[str, str]) -> str | None:
    """What is declared of the first pattern that names the case."""
    return next((told for pattern, told in declared.items() if fnmatchcase(case.name, pattern)), None)


def sentence(function_name: str) -> str:
    """``test_a_merge_adds`` as words."""
    return function_name.removeprefix("test_").replace("_", " ")
