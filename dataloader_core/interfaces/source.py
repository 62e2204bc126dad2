"""Source dialects: a dialect, its sessions, their snapshots. Long: it is a connector's whole contract in one place.

One class per kind of database, one session per connection, one snapshot per read. A dialect decides types once: it
reads the catalog and gives every column a projection into the closed set of :mod:`dataloader_core.types`. It offers
ways of reading as data; it does not know which engine takes which. It writes nothing at the source, ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, SecretStr

from dataloader_core.errors import DataLoaderError
from dataloader_core.plan import Bounds, Cap, Column, Condition, HighestRead, Read, Relation
from dataloader_core.table import SourceTable
from dataloader_core.values import Value

if TYPE_CHECKING:
    import pyarrow as pa

Way = Literal["parquet", "arrow", "jdbc", "spark"]


@dataclass(frozen=True, slots=True)
class WayOfReading:
    """One way to read, declared as data.

    Attributes:
        way: ``parquet``: the source writes Parquet files itself; ``arrow``: a stream of record batches;
            ``jdbc`` and ``spark``: ``options`` say how Spark reads (no secret among them).
        usable: False: ``reason`` says what is missing.
        reason: For ``plan``: why it can or cannot be used.
        parallel: How many parts are read at once.
    """

    way: Way
    usable: bool
    reason: str
    parallel: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


class SourceMemory(Protocol):
    """What a source's sessions remember from load to load, in whatever process: JSON notes by a key of their own.

    Notes are small and few (the newest 64 of a key are kept). They hold no secret and no row's value.
    """

    def remember(self, key: str, note: Mapping[str, Any]) -> None: ...

    def recall(self, key: str) -> Sequence[Mapping[str, Any]]:
        """Newest first."""
        ...


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a connection behaves.

    Attributes:
        application_name: What the source's DBA sees, for instance ``dataloader crm.public.orders #12``.
        parallel: Connections that one read may use.
        memory: What earlier sessions on this source noted; None: only this process remembers.
    """

    application_name: str = "dataloader"
    login_timeout: timedelta = timedelta(seconds=30)
    statement_timeout: timedelta = timedelta(hours=1)
    lock_timeout: timedelta = timedelta(seconds=60)
    init_statement: str | None = None
    parallel: int = 2
    memory: SourceMemory | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``source test``: what was tried, whether it holds, and the cure where it does not."""

    name: str
    ok: bool
    detail: str
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class CursorCandidate:
    """A column that might be a watermark.

    ``grade``: 1 the engine's own change counter, 2 stamped on every change, 3 stamped at creation (inserts only),
    4 of a fitting type without a telling name. Business dates are no candidates.
    """

    column: str
    grade: int
    reason: str
    indexed: bool
    nullable: bool
    resolution: str
    proven: bool


@dataclass(frozen=True)
class DiscoveredTable:
    """A relation of the source with everything a proposal is made from."""

    table: SourceTable
    cursors: tuple[CursorCandidate, ...] = ()
    partition_column: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnStats:
    """Lowest and highest value of what was read, as text; None where unknown. ``nulls`` counts them."""

    low: str | None
    high: str | None
    nulls: int | None = None


@dataclass(frozen=True)
class ParquetFile:
    """A file that a source wrote: one piece of a read, with the writer's own statistics by column (target names)."""

    path: Path
    rows: int
    bytes: int
    stats: Mapping[str, ColumnStats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unrepresentable:
    """A kind of value in a column that the target type cannot hold, and how many rows have it."""

    column: str
    kind: str
    rows: int


@dataclass(frozen=True)
class Tally:
    """What a read will give, told before it is carried out.

    Attributes:
        rows: How many.
        highest: The highest value that the asked rule admits; None without a rule, and where there is no such value.
        above: Rows above the rule's cap.
        unrepresentable: As :meth:`SourceSnapshot.unrepresentable` finds them.
    """

    rows: int
    highest: Value | None = None
    above: int = 0
    unrepresentable: Sequence[Unrepresentable] = ()


@dataclass(frozen=True, slots=True)
class ParquetOptions:
    """How files are written. ``prefix`` starts every file's name; rows keep the order of their range."""

    folder: Path
    prefix: str
    files: int = 16
    threads: int = 2
    row_group_rows: int = 122_880
    compression: str = "snappy"


@dataclass(frozen=True, slots=True)
class JdbcDriver:
    """What reads by JDBC need: the driver's class, and Maven coordinates for those who must fetch it."""

    driver: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JdbcRead:
    """A read as Spark carries it out by JDBC: every SELECT becomes one partition of one snapshot.

    Attributes:
        url: Without user and password.
        driver: The driver's class.
        packages: Maven coordinates of the driver, for those who must fetch it.
        selects: Whole SELECTs with target names, one partition each; together they are the read, without overlap.
        as_text: Target names that arrive as text, because JDBC would damage the value, and that the engine casts
            to the column's type. Dates and timestamps in ISO form, UTC for ``timestamp``.
        session_init: Run by the driver when a partition's connection opens; puts it into the snapshot.
        properties: Connection properties, secrets among them.
    """

    url: str
    driver: str
    packages: tuple[str, ...]
    selects: tuple[str, ...]
    as_text: frozenset[str] = frozenset()
    session_init: str | None = None
    properties: Mapping[str, str | SecretStr] = field(default_factory=dict)


class ArrowPart(ABC):
    """One part of a read, to be carried out in another process: Spark pickles it and reads it on an executor.

    It opens a connection of its own and joins the snapshot, which stays open until every part was read.
    """

    @abstractmethod
    def read(self) -> Iterator[pa.RecordBatch]:
        """Batches with target names and exactly the projected types. May be called again (a task that is retried).

        Raises:
            SourceUnavailableError: the source or the snapshot went away; never a short result.
            SourceRefusedError, UnrepresentableValueError: as ``SourceSnapshot.write_parquet``.
        """


Progress = Callable[[int, int], None]
"""Called now and then with rows and bytes so far. It may raise ``LoadCancelledError`` to stop the read."""


class SourceSnapshot(ABC):
    """Everything asked of one snapshot sees the same moment of the source, however parallel it is."""

    @abstractmethod
    def ways(self, read: Read) -> Sequence[WayOfReading]:
        """How this read can be done, best first, with reasons."""

    @abstractmethod
    def write_parquet(self, read: Read, options: ParquetOptions, progress: Progress) -> Sequence[ParquetFile]:
        """Write the rows as Parquet files with target names and exactly the projected types.

        No rows: no files. Whatever is raised, the caller deletes the folder.

        Raises:
            SourceUnavailableError: the source went away; never a short result.
            SourceRefusedError: permission, a dropped table or column.
            UnrepresentableValueError: bytes that are no text, and the like.
        """

    @abstractmethod
    def read_arrow(self, read: Read) -> pa.RecordBatchReader:
        """The rows as record batches with target names and exactly the projected types. Raises as above."""

    def arrow_parts(self, read: Read, parts: int) -> Sequence[ArrowPart]:
        """The read in at most ``parts`` pieces that other processes can carry out. At least one, also for no rows.

        For sources whose way ``arrow`` has ``{"parts": N}`` among its options: as many as are advised.
        """
        raise NotImplementedError(f"{type(self).__name__} offers no parts of a read.")

    def jdbc(self, read: Read, parts: int) -> JdbcRead:
        """The read by JDBC, in at most ``parts`` partitions. For sources that offer the way ``jdbc``."""
        raise NotImplementedError(f"{type(self).__name__} offers no JDBC.")

    @abstractmethod
    def unrepresentable(self, read: Read, stats: Mapping[str, ColumnStats] | None) -> Sequence[Unrepresentable]:
        """Guarded values among the rows of the read, in the same snapshot.

        ``stats`` (of what was read) lets the source skip columns that cannot hold any; None: look at all.
        Under ``on_unrepresentable = null`` these are the rows whose value became NULL.
        """

    def why_failed(self, read: Read) -> DataLoaderError | None:
        """Why somebody else's reader (JDBC) could not read these rows, by asking the source again; None: no idea.

        May take as long as the read itself. Raises what asking raises, which is an answer as well.
        """
        return None

    def tally(self, read: Read, rule: HighestRead | None) -> Tally | None:
        """What the read will give in this snapshot, so that an engine can write rows to their table as they arrive.

        What is told goes into the commit with the rows. So it is None (the default) where reading might give other
        rows than were counted (a random filter, a clock, a server without snapshots), or where counting would cost
        about what reading costs (a view): then rows wait in files and are counted there.

        Args:
            rule: What the commit's watermark is taken from; None: from nothing that is read.
        """
        return None

    @abstractmethod
    def highest(self, read: Read, column: str, upto: Value | None, inclusive: bool) -> Value | None:
        """The highest value of the column among the rows of the read that is not above ``upto``."""


class SourceSession(ABC):
    """One connection, read-only. Use it as a context manager; ``connect`` opened it already."""

    def __enter__(self) -> SourceSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def clock(self) -> datetime:
        """The source's own time now, aware."""

    @abstractmethod
    def checks(self) -> Sequence[Check]:
        """What ``source test`` reports: version, read-only, grants, whether caps can be proven."""

    @abstractmethod
    def relations(self, schemas: Sequence[str] | None = None) -> Sequence[Relation]:
        """Tables, partitioned tables, views, materialized views, foreign tables that may be read."""

    @abstractmethod
    def discover(self, relation: Relation) -> DiscoveredTable:
        """The relation with keys, estimates and graded watermark candidates."""

    @abstractmethod
    def describe(
        self,
        relation: Relation,
        columns: Sequence[str] | None = None,
        on_unrepresentable: Literal["fail", "null"] = "fail",
    ) -> SourceTable:
        """The relation's columns, projected. Names are matched to the catalog (case folded if unambiguous).

        Raises:
            SourceRefusedError: no such relation, no permission, or a query that is not one SELECT.
            UnknownNameError: a chosen column does not exist.
        """

    @abstractmethod
    def cap(self, table: SourceTable, column: Column) -> Cap:
        """See :class:`~dataloader_core.plan.Cap`. Its statement ends before any later snapshot is taken."""

    @abstractmethod
    def bounds(self, read: Read, column: Column) -> Bounds:
        """Lowest and highest value, whether there are NULLs, an estimate of the rows."""

    @abstractmethod
    def count(self, read: Read) -> int:
        """How many rows the read would give."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[SourceSnapshot]:
        """A consistent view that is held until the context ends."""


class SourceDialect(ABC):
    """One kind of database. Stateless: everything that lasts is in the session.

    Example::

        class Postgres(SourceDialect):
            name = "postgresql"
            connection_model = PostgresConnection
            ...
    """

    name: ClassVar[str]
    connection_model: ClassVar[type[BaseModel]]
    """Fields of a connection after secrets are resolved; secrets are ``SecretStr``."""
    jdbc: ClassVar[JdbcDriver | None] = None
    """For sources that offer the way ``jdbc``: ``doctor`` says where the driver comes from."""

    @abstractmethod
    def connect(self, connection: BaseModel, options: SessionOptions) -> SourceSession:
        """Open one read-only connection.

        Raises:
            SourceUnavailableError: no such host, nobody listens, too many connections.
            SourceRefusedError: wrong password, no such database, TLS refused.
            MissingDriverError: names the extra to install.
        """

    @abstractmethod
    def quote(self, name: str) -> str:
        """An identifier as SQL, always quoted."""

    @abstractmethod
    def literal(self, value: Value) -> str:
        """An exact literal of the dialect."""

    def expression(self, column: Column) -> str:
        """What a column's values come from in a SELECT list: its projection, or the literal of its constant."""
        return self.literal(column.constant) if column.constant is not None else column.projection

    @abstractmethod
    def render(self, read: Read) -> str:
        """The SELECT that the read becomes, for ``plan`` and for the readers alike."""

    @abstractmethod
    def check_query(self, sql: str) -> None:
        """Refuse what is not one SELECT. Never re-rendered.

        Raises:
            ConfigurationError: two statements, a data change, or text that cannot be parsed.
        """

    @abstractmethod
    def check_filter(self, predicate: str) -> None:
        """Refuse what is not one predicate, to be put in parentheses behind WHERE. Never re-rendered.

        Raises:
            ConfigurationError: text that reaches beyond its parentheses, or cannot be parsed.
        """

    def conditions(self, where: Sequence[Condition], columns: Mapping[str, Column]) -> str:
        """Conditions joined by AND, over bare columns, or an empty string."""
        from dataloader_core.plan import IsNull

        return " AND ".join(
            f"{self.quote(c.column)} IS NULL"
            if isinstance(c, IsNull)
            else f"{self.quote(c.column)} {c.op} {self.literal(c.value)}"
            for c in where
        )
