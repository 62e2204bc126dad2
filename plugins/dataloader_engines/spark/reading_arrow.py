"""A read's Arrow parts: every part is a partition, read by an executor's own Python.

Imported on executors too: there must be this package, and the source's extra.
"""

from __future__ import annotations

import sys
import zipimport
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import StructType

from dataloader_core.errors import DataLoaderError
from dataloader_core.interfaces.source import ArrowPart
from dataloader_engines.spark.kinds import is_connect
from dataloader_engines.spark.reading_errors import CarriedError, as_text

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


def rows_of(part: ArrowPart) -> Iterator[pa.RecordBatch]:
    """On an executor.

    Raises:
        CarriedError: with the part's own error in it.
    """
    _forget_zips()
    try:
        yield from part.read()
    except DataLoaderError as error:
        text = as_text(error)
    else:
        return
    raise CarriedError(text)


def _forget_zips() -> None:
    """Spare this process's next task 0.3 s.

    PySpark lies in a zip on an executor's path, and asks before every task that import caches be renewed: Python reads
    the zip's directory anew then for every package in it that something was imported from. Made again where needed.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            sys.path_importer_cache.pop(path, None)


class PartPartition(InputPartition):
    """One part, on its way to the executor that reads it."""

    def __init__(self, part: ArrowPart) -> None:
        super().__init__(part)
        self.part = part


class PartsReader(DataSourceReader):
    """Hands out the parts. What travels with every task is the reader without them."""

    def __init__(self, parts: Sequence[ArrowPart]) -> None:
        self._parts = parts

    def __getstate__(self) -> dict[str, Any]:
        return {"_parts": ()}

    def partitions(self) -> Sequence[InputPartition]:
        return [PartPartition(part) for part in self._parts]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, PartPartition)
        yield from rows_of(partition.part)


class PartsSource(DataSource):
    """The parts of one read. Every read has a subclass of its own: its options would be shown, with the secrets.

    Spark Connect looks a data source up by its name whenever it plans, so a name is never given twice.
    """

    parts: ClassVar[Sequence[ArrowPart]]
    fields: ClassVar[StructType]

    @classmethod
    def name(cls) -> str:
        return cls.__name__

    def schema(self) -> StructType:
        return self.fields

    def reader(self, schema: StructType) -> DataSourceReader:
        return PartsReader(self.parts)


def arrow_dataframe(spark: SparkSession, parts: Sequence[ArrowPart], fields: StructType) -> DataFrame:
    """The rows of all parts, one partition each. ``fields`` are exactly those of the parts' batches.

    A classic session maps a range of the parts' numbers: two processes less, which a data source starts to be planned.
    Serverless lets no such function reach the network, so that Spark Connect takes the data source.
    """
    if is_connect(spark):
        return _data_source(spark, tuple(parts), fields)
    return spark.range(0, len(parts), 1, len(parts)).mapInArrow(_reader(tuple(parts)), fields)


def _data_source(spark: SparkSession, parts: tuple[ArrowPart, ...], fields: StructType) -> DataFrame:
    given = {"parts": parts, "fields": fields}
    source: type[DataSource] = type(f"dataloader_{uuid4().hex}", (PartsSource,), given)
    spark.dataSource.register(source)
    return spark.read.format(source.name()).load()


def _reader(parts: tuple[ArrowPart, ...]) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What an executor does with the numbers of parts. It travels with every task, the parts in it."""

    def read(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from rows_of(parts[number])

    return read
