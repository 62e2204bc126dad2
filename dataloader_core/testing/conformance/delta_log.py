"""A Delta table's own files, read and written by hand: neither by the engine under test nor by its libraries.

The suite needs to see what an engine left behind, and to play the other writers of a table: somebody's append, an
OPTIMIZE, a RESTORE, a clean-up of the log, a table made elsewhere. Only what that takes is understood here: a table in
a folder, without partitions, whose log has all its JSON files or those behind a checkpoint in one file. Deletion
vectors and column mapping are refused.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote
from uuid import uuid4

from dataloader_core.testing.conformance.checkpoint import read_checkpoint, write_checkpoint
from dataloader_core.testing.texts import arrow_type
from dataloader_core.types import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

Action = Mapping[str, Any]
_TYPES: Final = {"short": "smallint", "integer": "int", "long": "bigint"}
_REFUSED: Final = ("columnMapping", "v2Checkpoint")
_NUMBERED: Final = re.compile(r"\.?(\d{20})\.")
"""Commits, checkpoints and checksums, and the hidden files that Hadoop keeps beside them."""


@dataclass
class LogState:
    """What the log says at its newest version."""

    version: int = -1
    files: dict[str, Action] = field(default_factory=dict)
    metadata: Action = field(default_factory=dict)
    protocol: Action = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)

    @property
    def properties(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.metadata.get("configuration", {})
        return found

    @property
    def fields(self) -> Sequence[Action]:
        found: Sequence[Action] = json.loads(self.metadata["schemaString"])["fields"]
        return found

    @property
    def types(self) -> dict[str, ColumnType]:
        """The columns' types; only those of the closed set are known."""
        return {f["name"]: ColumnType.parse(_TYPES.get(str(f["type"]), str(f["type"]))) for f in self.fields}

    def apply(self, version: int, actions: Iterable[Action]) -> None:
        self.version = version
        # A file whose deletion vector changes is removed and added by one commit, in either order.
        for action in sorted(actions, key=lambda a: "remove" not in a):
            [(kind, body)] = action.items()
            if kind == "add":
                self.files[body["path"]] = body
            elif kind == "remove":
                self.files.pop(body["path"], None)
            elif kind == "metaData":
                self.metadata = body
            elif kind == "protocol":
                self.protocol = body
            elif kind == "txn":
                self.transactions[body["appId"]] = body["version"]

    def actions(self) -> list[Action]:
        """What makes this state out of nothing."""
        transactions = [{"txn": {"appId": app, "version": number}} for app, number in self.transactions.items()]
        files = [{"add": file} for file in self.files.values()]
        return [{"protocol": self.protocol}, {"metaData": self.metadata}, *transactions, *files]


class DeltaLog:
    """The table in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def versions(self) -> list[int]:
        return sorted(int(p.stem) for p in self._log.glob("*.json") if p.stem.isdigit())

    def actions(self, version: int) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._entry(version).read_text("utf-8").splitlines() if line]

    def state(self, version: int | None = None) -> LogState:
        state, numbers = LogState(), self.versions
        if numbers and numbers[0] > 0:
            state.apply(numbers[0], read_checkpoint(self._checkpoint(numbers[0])))
        for number in numbers:
            if number > state.version and (version is None or number <= version):
                state.apply(number, self.actions(number))
        return state

    def read(self) -> pa.Table:
        """The table's rows, files in the log's order, with the table's own types."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        state = self.state()
        refused = {*_REFUSED} & {*state.protocol.get("readerFeatures", ())}
        if refused or any(f.get("deletionVector") for f in state.files.values()):
            raise NotImplementedError(
                f"{self.folder} has {', '.join(refused) or 'deletion vectors'}; read it otherwise."
            )
        schema = pa.schema([(name, arrow_type(kind)) for name, kind in state.types.items()])
        pieces = [_conform(pq.read_table(self.folder / unquote(path)), schema) for path in state.files]
        return pa.concat_tables(pieces) if pieces else schema.empty_table()

    # what other writers do

    def append(self, rows: pa.Table) -> int:
        """Somebody else's rows, with the table's column names and types."""
        return self.commit("WRITE", [self._write(rows, data_change=True)])

    def compact(self) -> int:
        """An OPTIMIZE: one file instead of many, and no row changed."""
        rows = self.read()
        return self.commit("OPTIMIZE", [*self._removes(self.state(), False), self._write(rows, data_change=False)])

    def restore(self, version: int) -> int:
        """A RESTORE to an older version: its files and metadata come back, the applications' transactions stay."""
        there, then = self.state(), self.state(version)
        gone = [self._remove(f, True) for path, f in there.files.items() if path not in then.files]
        back = [{"add": f} for path, f in then.files.items() if path not in there.files]
        return self.commit("RESTORE", [{"metaData": then.metadata}, *gone, *back])

    def clean_up(self) -> int:
        """What Delta does to a log in time: a checkpoint at its newest version, and what lies before it is gone."""
        state = self.state()
        for file in list(self._log.iterdir()):
            number = _NUMBERED.match(file.name)
            if "_last_checkpoint" in file.name or (number is not None and int(number[1]) < state.version):
                file.unlink()
        write_checkpoint(self._checkpoint(state.version), state.actions())
        return state.version

    def set_properties(self, **properties: str) -> int:
        metadata = self.state().metadata
        changed = {**metadata, "configuration": {**metadata["configuration"], **properties}}
        return self.commit("SET TBLPROPERTIES", [{"metaData": changed}])

    def create(
        self,
        fields: Sequence[Action],
        *,
        protocol: Action,
        properties: Mapping[str, str],
        partitions: Sequence[str] = (),
    ) -> int:
        """A table as another writer would make it."""
        metadata = {
            "id": str(uuid4()),
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": list(fields)}),
            "partitionColumns": list(partitions),
            "configuration": dict(properties),
            "createdTime": _now(),
        }
        self._log.mkdir(parents=True)
        return self.commit("CREATE TABLE", [{"protocol": protocol}, {"metaData": metadata}])

    def commit(self, operation: str, actions: Sequence[Action]) -> int:
        """One commit, refused (``FileExistsError``) where its version is taken."""
        version = max(self.versions, default=-1) + 1
        info = {"timestamp": _now(), "operation": operation, "operationParameters": {}, "engineInfo": "by hand"}
        lines = "".join(json.dumps(action) + "\n" for action in ({"commitInfo": info}, *actions))
        with self._entry(version).open("x", encoding="utf-8") as file:
            file.write(lines)
        return version

    @property
    def _log(self) -> Path:
        return self.folder / "_delta_log"

    def _entry(self, version: int) -> Path:
        return self._log / f"{version:020}.json"

    def _checkpoint(self, version: int) -> Path:
        return self._log / f"{version:020}.checkpoint.parquet"

    def _write(self, rows: pa.Table, *, data_change: bool) -> Action:
        import pyarrow.parquet as pq

        path = self.folder / f"part-00000-{uuid4()}-c000.snappy.parquet"
        pq.write_table(rows, path)
        return {
            "add": {
                "path": path.name,
                "partitionValues": {},
                "size": path.stat().st_size,
                "modificationTime": _now(),
                "dataChange": data_change,
                "stats": json.dumps({"numRecords": rows.num_rows}),
            }
        }

    def _removes(self, state: LogState, data_change: bool) -> list[Action]:
        return [self._remove(file, data_change) for file in state.files.values()]

    @staticmethod
    def _remove(file: Action, data_change: bool) -> Action:
        return {
            "remove": {
                "path": file["path"],
                "deletionTimestamp": _now(),
                "dataChange": data_change,
                "extendedFileMetadata": True,
                "partitionValues": {},
                "size": file["size"],
            }
        }


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A file's rows under the table's schema: columns it lacks are NULL, and no value may change."""
    import pyarrow as pa

    arrays = [
        table.column(f.name).cast(f.type) if f.name in table.schema.names else pa.nulls(table.num_rows, f.type)
        for f in schema
    ]
    return pa.table(arrays, schema=schema)


def _now() -> int:
    return int(time.time() * 1000)
