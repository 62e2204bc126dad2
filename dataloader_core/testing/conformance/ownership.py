"""Tables that somebody else made: each feature is handled, so that the rows come out right, or refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from uuid import uuid4

import pytest

from dataloader_core.commit import ENGINE_PROPERTY, OWNER_PROPERTY
from dataloader_core.errors import DestinationRefusedError
from dataloader_core.plan import Append, Merge
from dataloader_core.testing.conformance.base import Conformance, NewTable
from dataloader_core.testing.conformance.table import folder_of, rows

COLUMNS = {"id": "int", "day": "date"}
VERSION_2: Final = {"minReaderVersion": 1, "minWriterVersion": 2}
_MAPPED = "delta.columnMapping"


def _features(*names: str, readers: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": list(readers),
        "writerFeatures": [*names, *readers],
    }  # fmt: skip


def _field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": True, "metadata": {}, **more}


def _mapped(name: str, kind: str, number: int) -> dict[str, Any]:
    return _field(name, kind, metadata={f"{_MAPPED}.id": number, f"{_MAPPED}.physicalName": f"col-{number}"})


def _made(
    *fields: Mapping[str, Any], protocol: Mapping[str, Any] = VERSION_2, partitions: tuple[str, ...] = (), **on: str
) -> dict[str, Any]:
    """Arguments of ``DeltaLog.create``; ``id`` and ``day`` unless other fields replace them."""
    named = {f["name"]: f for f in (_field("id", "integer"), _field("day", "date"), *fields)}
    properties = {f"delta.{name.replace('__', '.')}": value for name, value in on.items()}
    return {
        "fields": list(named.values()), "protocol": protocol, "properties": properties, "partitions": partitions,
    }  # fmt: skip


_INVARIANT = json.dumps({"expression": {"expression": "id > 1"}})
_ARRAY = {"type": "array", "elementType": "string", "containsNull": True}
MADE: Final[Mapping[str, Mapping[str, Any]]] = {
    "deletion vectors": _made(protocol=_features(readers=("deletionVectors",)), enableDeletionVectors="true"),
    "column mapping": _made(
        _mapped("id", "integer", 1), _mapped("day", "date", 2), protocol=_features(readers=("columnMapping",)),
        columnMapping__mode="name", columnMapping__maxColumnId="2",
    ),
    "clustering": _made(protocol=_features("clustering", "domainMetadata")),
    "type widening": _made(protocol=_features(readers=("typeWidening",)), enableTypeWidening="true"),
    "an unknown feature": _made(protocol=_features("tomorrow")),
    "a default": _made(
        _field("day", "date", metadata={"CURRENT_DEFAULT": "DATE '2024-01-01'"}),
        protocol=_features("allowColumnDefaults"),
    ),
    "an identity column": _made(
        _field("id", "long", metadata={
            "delta.identity.start": 1, "delta.identity.step": 1, "delta.identity.allowExplicitInsert": False,
        }),
        protocol=_features("identityColumns"),
    ),
    "a generated column": _made(
        _field("day", "date", metadata={"delta.generationExpression": "DATE '2024-01-01'"}),
        protocol=_features("generatedColumns"),
    ),
    "an invariant": _made(
        _field("id", "integer", metadata={"delta.invariants": _INVARIANT}), protocol=_features("invariants")
    ),
    "a check constraint": _made(protocol=_features("checkConstraints"), constraints__positive="id > 10"),
    "append-only": _made(protocol=_features("appendOnly"), appendOnly="true"),
    "change data feed": _made(protocol=_features("changeDataFeed"), enableChangeDataFeed="true"),
    "transactions that are forgotten": _made(setTransactionRetentionDuration="interval 7 days"),
    "partitions": _made(partitions=("day",)),
    "a NOT NULL column": _made(_field("day", "date", nullable=False)),
    "an array": _made(_field("day", _ARRAY)),
}  # fmt: skip
NAMED: Final[Mapping[str, str]] = {
    "deletion vectors": "deletion ?vectors", "column mapping": "column ?mapping", "clustering": "clustering",
    "type widening": "type ?widening", "an unknown feature": "tomorrow", "a default": "default",
    "an identity column": "identity", "a generated column": "generat", "an invariant": "invariant",
    "a check constraint": "constraint", "append-only": "append-?only", "change data feed": "change ?data ?feed",
    "transactions that are forgotten": "setTransactionRetentionDuration", "partitions": "partition",
    "a NOT NULL column": "not null", "an array": "array",
}  # fmt: skip
"""What a refusal must say, whatever else it says."""
UNUSED: Final[Mapping[str, Mapping[str, Any]]] = {
    "version 7, nothing listed": _made(protocol=_features()),
    "version 2": _made(),
    "features that no column uses": _made(protocol=_features("appendOnly", "invariants", "checkConstraints")),
    "deletion vectors switched off": _made(
        protocol=_features(readers=("deletionVectors",)), enableDeletionVectors="false"
    ),
}
_TWO = rows("id day", (1, "2024-01-01"), (2, None))


class OwnershipConformance(Conformance):
    """What lies where the table should be: nothing of it is overwritten unseen, and nothing written that is wrong."""

    area: ClassVar[str] = "Tables made by others"

    @pytest.mark.parametrize("entry", ["notes.txt", "day=1/part.parquet"])
    def test_a_folder_with_other_files_is_refused(self, new_table: NewTable, entry: str) -> None:
        table = new_table(COLUMNS, created=False)
        file = folder_of(table.destination) / entry
        file.parent.mkdir(parents=True)
        file.write_text("x")
        with pytest.raises(DestinationRefusedError):
            table.look()
        assert file.exists()

    def test_a_log_folder_of_a_crashed_creation_is_no_table(self, new_table: NewTable) -> None:
        table = new_table(COLUMNS, created=False)
        (folder_of(table.destination) / "_delta_log").mkdir(parents=True)
        assert not table.look().exists
        table.create()
        assert table.look().exists

    @pytest.mark.parametrize("feature", MADE)
    def test_a_feature_is_handled_or_refused_by_name(self, new_table: NewTable, feature: str) -> None:
        """Refused: before anything is written. Handled: an append and a merge leave the promised rows."""
        table = new_table(COLUMNS, created=False)
        table.log.create(**MADE[feature])
        before = table.log.versions
        try:
            problems = table.look().problems
        except DestinationRefusedError as error:
            problems = (str(error),)
        if problems:
            assert table.log.versions == before
            assert re.search(NAMED[feature], " ".join(problems), re.IGNORECASE), problems
            return
        table.load(_TWO, Append())
        table.load(rows("id day", (2, "2024-02-29"), (3, None)), Merge(("id",)))
        table.check()

    @pytest.mark.parametrize("feature", UNUSED)
    def test_a_feature_that_is_only_possible_is_no_problem(self, new_table: NewTable, feature: str) -> None:
        table = new_table(COLUMNS, created=False)
        table.log.create(**UNUSED[feature])
        assert table.look().problems == ()
        table.load(_TWO, Append())
        table.check()

    def test_another_engines_table_is_refused_by_name_and_ones_own_is_loaded(self, new_table: NewTable) -> None:
        """The mark that tables on S3 get, where engines would not see each other's commits."""
        table, mine = new_table(COLUMNS, created=False), self.engine_class.name
        table.log.create(**{**_made(), "properties": {ENGINE_PROPERTY: "theirs"}})
        [problem] = table.look().problems
        assert ENGINE_PROPERTY in problem
        assert "theirs" in problem
        table.log.set_properties(**{ENGINE_PROPERTY: mine})
        assert table.look().problems == ()
        table.load(_TWO, Append())
        table.check()

    def test_a_strange_owner_is_refused(self, new_table: NewTable) -> None:
        table = new_table(COLUMNS, created=False)
        made = _made()
        table.log.create(**{**made, "properties": {OWNER_PROPERTY: "me"}})
        with pytest.raises(DestinationRefusedError, match="no UUID"):
            table.look()

    def test_a_table_of_another_row_is_shown_as_its_own(self, new_table: NewTable) -> None:
        table, other = new_table(COLUMNS, created=False), uuid4()
        table.log.create(**{**_made(), "properties": {OWNER_PROPERTY: str(other)}})
        assert table.look().owner == other
