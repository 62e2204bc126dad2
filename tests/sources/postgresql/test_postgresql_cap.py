"""The cap under real concurrent transactions. Long: one case for each way in which a row can come late."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from reading import connect

from dataloader_core.interfaces.source import SessionOptions
from dataloader_core.plan import Cap, Relation
from dataloader_core.types import DATE, TIMESTAMP, TIMESTAMP_NTZ
from dataloader_core.values import Value
from dataloader_sources.postgresql.cap import _value
from dataloader_sources.postgresql.connection import PostgresConnection
from dataloader_sources.postgresql.dialect import Postgres
from dataloader_sources.postgresql.looks import ProcessLooks
from dataloader_sources.postgresql.session import PostgresSession
from dataloader_sources.postgresql.stamps import Stamp

TABLE = """
CREATE TABLE ev (
  id bigserial PRIMARY KEY,
  ident int GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT now(),
  sec timestamptz(0) NOT NULL DEFAULT now(),
  berlin timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'Europe/Berlin'),
  day date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
  bare timestamp NOT NULL DEFAULT now(),
  today date NOT NULL DEFAULT current_date,
  client timestamptz,
  number int)
"""


@pytest.fixture
def ev(admin: psycopg.Connection) -> psycopg.Connection:
    admin.execute(TABLE)
    return admin


@pytest.fixture
def patient(database: str, ev: psycopg.Connection) -> Iterator[PostgresSession]:
    """A session that does not wait for transactions, with looks of its own."""
    with impatient(database) as opened:
        yield opened


def impatient(dsn: str, **given: Any) -> PostgresSession:
    fields = conninfo_to_dict(dsn)
    settings = PostgresConnection(
        host=str(fields["host"]), port=int(fields.get("port", 5432)), user=str(fields["user"]),
        password=fields.get("password"), database=str(fields["dbname"]), **{"look_wait": timedelta(0), **given},
    )  # fmt: skip
    session = Postgres().connect(settings, SessionOptions())
    session.looks = ProcessLooks()
    return session


@contextmanager
def writer(dsn: str) -> Iterator[psycopg.Connection]:
    connection = psycopg.connect(dsn)
    try:
        yield connection
    finally:
        connection.close()


def cap(session: PostgresSession, column: str, table: str = "ev") -> Cap:
    described = session.describe(Relation("public", table))
    return session.cap(described, described.column(column))


def below(session: PostgresSession, found: Cap, column: str, table: str = "ev") -> int:
    assert found.value is not None
    op = "<=" if found.inclusive else "<"
    literal = session.dialect.literal(found.value)
    return int(session.fetch(f'SELECT count(*) FROM {table} WHERE "{column}" {op} {literal}')[0][0])


def test_a_row_committed_late_with_an_older_timestamp_is_above_the_cap(
    database: str, ev: psycopg.Connection, patient: PostgresSession
) -> None:
    with writer(database) as late:
        late_pid = late.info.backend_pid
        late.execute("INSERT INTO ev (number) VALUES (1)")
        time.sleep(1.2)
        ev.execute("INSERT INTO ev (number) VALUES (2)")
        time.sleep(1.2)
        given = {column: cap(patient, column) for column in ("at", "sec", "berlin", "day")}
        seen = {column: below(patient, found, column) for column, found in given.items()}
        late.commit()
    assert all(found.proven and not found.inclusive for found in given.values())
    assert f"oldest open transaction, of session {late_pid}" in given["at"].reason
    assert {column: below(patient, found, column) for column, found in given.items()} == seen == dict.fromkeys(seen, 0)
    assert below(patient, cap(patient, "at"), "at") == 2


def test_a_transaction_that_has_only_read_so_far_holds_the_cap(
    database: str, ev: psycopg.Connection, patient: PostgresSession
) -> None:
    with writer(database) as reading:
        began = reading.execute("SELECT now()").fetchone()
        time.sleep(1.2)
        found = cap(patient, "at")
        assert found.value == Value(TIMESTAMP, began[0].isoformat())
        reading.execute("INSERT INTO ev (number) VALUES (1)")
        reading.commit()
    assert below(patient, found, "at") == 0


def test_ties_in_the_last_tick_stay_together_above_the_cap(ev: psycopg.Connection, patient: PostgresSession) -> None:
    for _ in range(5):
        ev.execute("INSERT INTO ev (number) VALUES (1)")
    found = cap(patient, "sec")
    assert found.value is not None
    assert found.value.text.endswith(":00+00:00") or "." not in found.value.text
    ev.execute("INSERT INTO ev (number) VALUES (2)")
    assert below(patient, found, "sec") == 0


def test_a_row_dated_2087_carries_nothing_away(ev: psycopg.Connection, patient: PostgresSession) -> None:
    ev.execute("INSERT INTO ev (at, client) VALUES ('2087-01-01', '2087-01-01')")
    assert cap(patient, "at").value < Value(TIMESTAMP, "2087-01-01")  # type: ignore[operator]  # None would fail
    unproven = cap(patient, "client")
    assert not unproven.proven
    assert "clients stamp it" in unproven.reason
    assert unproven.value < Value(TIMESTAMP, "2087-01-01")  # type: ignore[operator]  # None would fail


@pytest.mark.parametrize("column", ["id", "ident"])
def test_a_row_committed_late_with_a_lower_number_is_above_the_cap(
    database: str, ev: psycopg.Connection, patient: PostgresSession, column: str
) -> None:
    ev.execute("INSERT INTO ev (number) VALUES (0)")
    assert cap(patient, column).value.text == "1"  # type: ignore[union-attr]  # None would fail
    with writer(database) as late:
        late.execute("INSERT INTO ev (number) VALUES (1)")
        ev.execute("INSERT INTO ev (number) VALUES (2)")
        found = cap(patient, column)
        assert found.proven
        assert found.inclusive
        assert found.value.text == "1"  # type: ignore[union-attr]  # None would fail
        late.commit()
    assert cap(patient, column).value.text == "3"  # type: ignore[union-attr]  # None would fail


def test_a_value_drawn_before_its_transaction_has_an_id_is_above_the_cap(
    database: str, ev: psycopg.Connection, patient: PostgresSession
) -> None:
    assert cap(patient, "id").value.text == "0"  # type: ignore[union-attr]  # None would fail
    with writer(database) as late:
        drawn = late.execute("SELECT last_value + 1 FROM ev_id_seq").fetchone()[0]
        late.execute("PREPARE draw AS SELECT nextval('ev_id_seq')")
        drawn = late.execute("EXECUTE draw").fetchone()[0]
        assert late.execute("SELECT backend_xid IS NULL FROM pg_stat_activity WHERE pid = pg_backend_pid()").fetchone()
        ev.execute("INSERT INTO ev (number) VALUES (2)")
        found = cap(patient, "id")
        assert found.proven
        assert int(found.value.text) < drawn  # type: ignore[union-attr]  # None would fail
        late.execute("INSERT INTO ev (id) VALUES (%s)", (drawn,))
        late.commit()
    assert below(patient, found, "id") == 0


def test_without_an_earlier_look_a_long_transaction_holds_the_watermark(
    database: str, ev: psycopg.Connection, patient: PostgresSession
) -> None:
    with writer(database) as long:
        long.execute("SELECT 1")
        found = cap(patient, "id")
        assert found.hold
        assert found.value is None
        assert str(long.info.backend_pid) in found.reason
        long.rollback()
        long.execute("SELECT 1")  # a new transaction of the same session, younger than the look
        assert not cap(patient, "id").hold


def test_the_cap_of_a_sequence_waits_for_short_transactions(database: str, ev: psycopg.Connection) -> None:
    with impatient(database, look_wait=timedelta(seconds=20)) as session, writer(database) as short:
        short.execute("INSERT INTO ev (number) VALUES (1)")
        timer = threading.Timer(0.4, short.commit)
        timer.start()
        found = cap(session, "id")
        timer.join()
    assert found.value.text == "1"  # type: ignore[union-attr]  # None would fail


@pytest.mark.parametrize("column", ["at", "day", "id", "client", "number"])
def test_a_prepared_transaction_holds_the_watermark_and_is_named(
    database: str, ev: psycopg.Connection, patient: PostgresSession, column: str
) -> None:
    with writer(database) as two_phase:
        two_phase.execute("INSERT INTO ev (number) VALUES (1)")
        two_phase.execute("PREPARE TRANSACTION 'it''s me'")
    try:
        found = cap(patient, column)
        assert found.hold
        assert found.value is None
        assert '"it\'s me" of postgres' in found.reason
    finally:
        ev.execute("ROLLBACK PREPARED 'it''s me'")
    assert not cap(patient, column).hold


def test_our_own_read_only_sessions_hold_nothing(
    database: str, ev: psycopg.Connection, patient: PostgresSession
) -> None:
    with psycopg.connect(patient.conninfo(" reader")) as snapshot:
        snapshot.execute("SELECT 1")
        time.sleep(1.2)
        assert "the source's clock" in cap(patient, "at").reason
        assert not cap(patient, "id").hold


def test_the_name_alone_does_not_make_a_session_ours(postgres_server, database: str, ev: psycopg.Connection) -> None:
    postgres_server.new_login("spoof", "spoof secret")
    ev.execute("GRANT ALL ON ev TO spoof")
    name = conninfo_to_dict(database)["dbname"]
    other = psycopg.connect(
        postgres_server.tcp_dsn(str(name), "spoof", "spoof secret"), application_name="dataloader x [ro]"
    )
    with impatient(database) as session, other:
        other.execute("SELECT 1")
        time.sleep(1.2)
        assert "oldest open transaction" in cap(session, "at").reason


def test_sessions_that_cannot_be_seen_prove_nothing_and_the_grant_is_named(
    postgres_server, database: str, ev: psycopg.Connection
) -> None:
    postgres_server.new_login("Mr. Blind", "blind secret")
    ev.execute('GRANT SELECT ON ev, ev_id_seq TO "Mr. Blind"')
    name = str(conninfo_to_dict(database)["dbname"])
    with impatient(postgres_server.tcp_dsn(name, "Mr.%20Blind", "blind secret")) as session:
        for column in ("at", "id"):
            found = cap(session, column)
            assert not found.proven
            assert 'GRANT pg_read_all_stats TO "Mr. Blind"' in found.reason
        check = next(c for c in session.checks() if c.name == "caps")
        assert not check.ok
        assert check.cure == 'GRANT pg_read_all_stats TO "Mr. Blind";'
        assert "SELECT ON SEQUENCE public.ev_ident_seq" in cap(session, "ident").reason
        ev.execute('GRANT pg_read_all_stats TO "Mr. Blind"')
        assert cap(session, "at").proven
        assert cap(session, "id").proven
        assert next(c for c in session.checks() if c.name == "caps").ok


def test_a_session_that_hides_its_activity_is_no_proof(database: str, ev: psycopg.Connection, patient) -> None:
    with writer(database) as hiding:
        hiding.execute("SET track_activities = off")
        hiding.commit()
        found = cap(patient, "at")
    assert not found.proven
    assert "track_activities" in found.reason


@pytest.mark.parametrize(
    ("column", "why"),
    [("bare", "own time zone"), ("today", "own time zone"), ("client", "clients stamp it"), ("number", "no sequence")],
)
def test_what_follows_sessions_or_clients_is_not_proven(patient: PostgresSession, column: str, why: str) -> None:
    found = cap(patient, column)
    assert not found.proven
    assert why in found.reason


def test_a_sequence_that_keeps_values_in_hand_is_not_proven(ev: psycopg.Connection, patient: PostgresSession) -> None:
    ev.execute("ALTER SEQUENCE ev_id_seq CACHE 20")
    ev.execute("INSERT INTO ev (number) VALUES (1)")
    found = cap(patient, "id")
    assert not found.proven
    assert "CACHE 20" in found.reason
    assert found.value.text == "1"  # type: ignore[union-attr]  # None would fail
    ev.execute("ALTER SEQUENCE ev_ident_seq INCREMENT 50")
    assert "INCREMENT 50" in cap(patient, "ident").reason


def test_a_sequence_set_back_forgets_what_was_seen(ev: psycopg.Connection, patient: PostgresSession) -> None:
    for _ in range(3):
        ev.execute("INSERT INTO ev (number) VALUES (1)")
    assert cap(patient, "id").value.text == "3"  # type: ignore[union-attr]  # None would fail
    ev.execute("TRUNCATE ev RESTART IDENTITY")
    ev.execute("INSERT INTO ev (number) VALUES (1)")
    assert cap(patient, "id").value.text == "1"  # type: ignore[union-attr]  # None would fail


def test_a_sequence_restarted_and_grown_past_its_looks_is_a_new_one(
    database: str, ev: psycopg.Connection, patient: PostgresSession
) -> None:
    ev.execute("INSERT INTO ev (number) VALUES (1)")
    assert cap(patient, "id").value.text == "1"  # type: ignore[union-attr]  # None would fail
    ev.execute("TRUNCATE ev RESTART IDENTITY")
    with writer(database) as late:
        late.execute("INSERT INTO ev (number) VALUES (1)")
        ev.execute("INSERT INTO ev (number) VALUES (2)")
        assert cap(patient, "id").hold


def test_a_trigger_that_always_stamps_proves_without_a_default(
    ev: psycopg.Connection, patient: PostgresSession
) -> None:
    ev.execute("CREATE FUNCTION s() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.client := now(); RETURN NEW; END'")
    ev.execute("CREATE TRIGGER s BEFORE UPDATE ON ev FOR EACH ROW EXECUTE FUNCTION s()")
    assert not cap(patient, "client").proven
    ev.execute("CREATE OR REPLACE TRIGGER s BEFORE INSERT OR UPDATE ON ev FOR EACH ROW EXECUTE FUNCTION s()")
    assert cap(patient, "client").proven
    ev.execute("ALTER TABLE ev DISABLE TRIGGER s")
    assert not cap(patient, "client").proven


def test_a_trigger_that_returns_another_record_proves_nothing(ev: psycopg.Connection, patient: PostgresSession) -> None:
    assert cap(patient, "at").proven
    ev.execute("""
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE r record; BEGIN r := NEW; r.at := now() - interval '1 day'; RETURN r; END $$;
        CREATE TRIGGER f BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION f()""")
    assert "'f' may set it" in cap(patient, "at").reason
    assert not cap(patient, "at").proven
    assert "'f' may set it" in cap(patient, "id").reason


STAMPED = """
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
CREATE TABLE p (k int, at timestamptz) PARTITION BY LIST (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON p FOR EACH ROW EXECUTE FUNCTION stamp();
"""


def test_a_trigger_that_is_disabled_on_one_partition_proves_nothing(admin: psycopg.Connection, database: str) -> None:
    admin.execute(STAMPED)
    with impatient(database) as session:
        assert cap(session, "at", "p").proven
        assert cap(session, "at", "p1").proven
        admin.execute("ALTER TABLE p2 DISABLE TRIGGER stamp")
        admin.execute("INSERT INTO p VALUES (2, '2000-01-01')")
        assert below(session, cap(session, "at", "p"), "at", "p") == 1
        assert not cap(session, "at", "p").proven
        assert not cap(session, "at", "p1").proven


def test_roles_that_replicate_do_not_fire_ordinary_triggers(
    admin: psycopg.Connection, database: str, session: PostgresSession
) -> None:
    admin.execute(STAMPED)
    name = f"replicator_{session.settings.database}"
    admin.execute(f'CREATE ROLE "{name}"; ALTER ROLE "{name}" SET session_replication_role = replica')
    try:
        found = cap(session, "at", "p")
        assert not found.proven
        assert name in found.reason
        admin.execute("ALTER TABLE p ENABLE ALWAYS TRIGGER stamp")
        assert cap(session, "at", "p").proven
        admin.execute("ALTER TABLE p ENABLE TRIGGER stamp; ALTER TABLE p ALTER at SET DEFAULT now()")
        admin.execute("ALTER TABLE p1 ALTER at SET DEFAULT now(); ALTER TABLE p2 ALTER at SET DEFAULT now()")
        assert cap(session, "at", "p").proven
        admin.execute("ALTER TABLE p ALTER at DROP DEFAULT; ALTER ROLE ALL SET session_replication_role = replica")
        assert "every session" in cap(session, "at", "p").reason
    finally:
        admin.execute(f'ALTER ROLE ALL RESET session_replication_role; DROP ROLE "{name}"')


def test_a_trigger_for_replication_alone_may_set_the_column(ev: psycopg.Connection, patient: PostgresSession) -> None:
    ev.execute("""
        CREATE FUNCTION r() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := NEW.client; RETURN NEW; END';
        CREATE TRIGGER r BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION r();
        ALTER TABLE ev ENABLE REPLICA TRIGGER r""")
    assert "'r' may set it" in cap(patient, "at").reason
    ev.execute("CREATE OR REPLACE FUNCTION r() RETURNS trigger LANGUAGE plpgsql AS "
               "'BEGIN NEW.client := now(); RETURN NEW; END'")  # fmt: skip
    assert not cap(patient, "client").proven


def test_what_an_update_may_still_set_is_said(ev: psycopg.Connection, patient: PostgresSession) -> None:
    assert "clients give themselves are not covered" in cap(patient, "at").reason
    ev.execute("""
        CREATE FUNCTION s() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.client := now(); RETURN NEW; END';
        CREATE TRIGGER s BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION s()""")
    assert "what an UPDATE sets it to is not covered" in cap(patient, "client").reason
    ev.execute("CREATE OR REPLACE TRIGGER s BEFORE INSERT OR UPDATE ON ev FOR EACH ROW EXECUTE FUNCTION s()")
    assert cap(patient, "client").proven
    assert "not covered" not in cap(patient, "client").reason


def test_the_statements_time_is_older_than_a_later_transaction_of_its_procedure(
    ev: psycopg.Connection, patient: PostgresSession
) -> None:
    ev.execute("ALTER TABLE ev ALTER at SET DEFAULT statement_timestamp()")
    ev.execute("""
        CREATE PROCEDURE batches() LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.1); COMMIT; INSERT INTO ev (client) VALUES (now()); COMMIT; END $$;""")
    ev.execute("CALL batches()")
    assert ev.execute("SELECT at < client FROM ev").fetchall() == [(True,)]
    assert not cap(patient, "at").proven


def test_views_queries_and_children_are_not_proven(ev: psycopg.Connection, patient: PostgresSession) -> None:
    ev.execute("CREATE VIEW seen AS SELECT * FROM ev")
    assert "behind a view" in cap(patient, "at", "seen").reason
    table = patient.describe(Relation(query="SELECT * FROM ev"))
    assert not patient.cap(table, table.column("at")).proven
    ev.execute("CREATE TABLE child () INHERITS (ev)")
    assert "inherit" in cap(patient, "at").reason


def test_a_sequence_serves_partitions_and_numerics_alike(admin: psycopg.Connection, database: str) -> None:
    admin.execute('CREATE SEQUENCE "odd \'s"')
    admin.execute("CREATE TABLE n (id numeric(20,0) DEFAULT nextval('\"odd ''s\"'))")
    admin.execute("CREATE TABLE p (id bigint GENERATED ALWAYS AS IDENTITY, k int) PARTITION BY LIST (k)")
    admin.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
    admin.execute("INSERT INTO n DEFAULT VALUES; INSERT INTO p (k) VALUES (1), (1)")
    with impatient(database) as session:
        for table, value in (("n", "1"), ("p", "2"), ("p1", "2")):
            found = cap(session, "id", table)
            assert found.proven, found.reason
            assert found.value is not None
            assert found.value.text == value


def test_a_partitioned_table_is_proven_unless_a_partition_has_its_own_way(
    admin: psycopg.Connection, database: str
) -> None:
    admin.execute("CREATE TABLE p (k int, at timestamptz DEFAULT now()) PARTITION BY LIST (k)")
    admin.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
    admin.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2)")
    with impatient(database) as session:
        assert cap(session, "at", "p").proven
        assert cap(session, "at", "p1").proven
        admin.execute("ALTER TABLE p2 ALTER at SET DEFAULT '2020-01-01'")
        assert "differs" in cap(session, "at", "p").reason
        assert "differs" in cap(session, "at", "p1").reason


MARGIN_CASES = [
    ("2025-10-26 00:15:00", "2025-10-26 02:00:00"),  # the first time through the repeated hour
    ("2025-10-26 00:59:59.999999", "2025-10-26 02:00:00"),
    ("2025-10-26 01:15:00", "2025-10-26 02:15:00"),  # the second time
    ("2025-10-25 23:59:59", "2025-10-26 01:59:59"),
    ("2025-03-30 00:59:59", "2025-03-30 01:59:59"),
    ("2025-03-30 01:00:00", "2025-03-30 03:00:00"),
]


@pytest.mark.parametrize(("instant", "wall"), MARGIN_CASES)
def test_in_a_repeated_hour_the_cap_waits_at_its_beginning(
    session: PostgresSession, admin: psycopg.Connection, instant: str, wall: str
) -> None:
    admin.execute("CREATE TABLE w (at timestamp)")
    column = session.describe(Relation("public", "w")).columns[0]
    moment = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    stamp = Stamp(True, "", "Europe/Berlin")
    assert _value(session, moment, stamp, column) == Value(TIMESTAMP_NTZ, wall)


def test_over_midnight_a_date_stays_below_the_day_of_the_oldest_transaction(
    session: PostgresSession, admin: psycopg.Connection
) -> None:
    admin.execute("CREATE TABLE w (d date)")
    column = session.describe(Relation("public", "w")).columns[0]
    stamp = Stamp(True, "", "Asia/Tokyo", timedelta(days=1))
    before = datetime(2025, 1, 1, 14, 59, 59, tzinfo=UTC)
    assert _value(session, before, stamp, column) == Value(DATE, "2025-01-01")
    assert _value(session, before + timedelta(seconds=1), stamp, column) == Value(DATE, "2025-01-02")


def test_no_row_ever_appears_below_a_cap_while_many_write(database: str, ev: psycopg.Connection) -> None:
    """The promise itself: writers of random length against caps taken all the time."""
    stop = threading.Event()

    def write(seed: int) -> None:
        with psycopg.connect(database) as connection:
            for n in range(10_000):
                if stop.is_set():
                    return
                connection.execute("INSERT INTO ev (number) VALUES (%s)", (n,))
                time.sleep(0.002 * ((seed * 7 + n * 13) % 11))
                connection.rollback() if n % 5 == 0 else connection.commit()

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in writers:
        thread.start()
    taken: list[tuple[str, Cap, int]] = []
    try:
        with impatient(database, cap_margin=timedelta(milliseconds=200)) as session:
            end = time.monotonic() + 4
            while time.monotonic() < end:
                for column in ("id", "at", "berlin"):
                    found = cap(session, column)
                    if found.value is not None:
                        taken.append((column, found, below(session, found, column)))
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    with connect(database) as session:
        assert len(taken) > 30
        assert any(count for column, _, count in taken if column == "id")
        assert any(count for column, _, count in taken if column == "at")
        assert [below(session, found, column) for column, found, _ in taken] == [count for *_, count in taken]
