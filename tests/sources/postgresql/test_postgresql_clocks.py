"""Which expressions and triggers are the server's clock, and in whose time zone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dataloader_sources.postgresql.clocks import Clock, as_type, read_clock
from dataloader_sources.postgresql.triggers import Effect, Trigger, effect_on

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("expression", "clock"),
    [
        ("now()", Clock("instant")),
        ("pg_catalog.now()", Clock("instant")),
        ("CURRENT_TIMESTAMP", Clock("instant")),
        ("CURRENT_TIMESTAMP(0)", Clock("instant", tick=SECOND)),
        ("clock_timestamp()", Clock("instant")),
        ("(clock_timestamp())::timestamp(0) with time zone", Clock("instant", tick=SECOND)),
        ("(now() AT TIME ZONE 'UTC'::text)", Clock("wall", "UTC")),
        ("timezone('Europe/Berlin'::text, now())", Clock("wall", "Europe/Berlin")),
        ("now() at time zone 'utc'", Clock("wall", "utc")),
        ("((now() AT TIME ZONE 'UTC'::text))::date", Clock("wall", "UTC", DAY)),
        ("cast(now() at time zone 'UTC' as timestamp(3))", Clock("wall", "UTC", timedelta(milliseconds=1))),
        ("LOCALTIMESTAMP", Clock("wall", by_session=True)),
        ("CURRENT_DATE", Clock("wall", tick=DAY, by_session=True)),
        ("now()::date", Clock("wall", tick=DAY, by_session=True)),
        ("(now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'", Clock("instant", "UTC", by_session=True)),
    ],
)
def test_an_expression_of_the_clock_is_read(expression: str, clock: Clock) -> None:
    assert read_clock(expression) == clock


@pytest.mark.parametrize(
    "expression",
    [
        "'2020-01-01'::date",
        "now() - interval '1 hour'",
        "date_trunc('day', now())",
        "'now'::timestamptz",
        "my.now()",
        "now() + x",
        "coalesce(new.at, now())",
        "statement_timestamp()",
        "timezone('UTC', now()) - foo()",
        "now() AT TIME ZONE zone",
        "",
    ],
)
def test_anything_else_is_no_clock(expression: str) -> None:
    assert read_clock(expression) is None


def test_assigning_an_instant_to_a_wall_clock_follows_the_session() -> None:
    assert as_type(Clock("instant"), "timestamp without time zone") == Clock("wall", by_session=True)
    assert as_type(Clock("wall", "UTC"), "timestamp with time zone") == Clock("instant", "UTC", by_session=True)
    assert as_type(Clock("instant"), "timestamp(0) with time zone") == Clock("instant", tick=SECOND)
    assert as_type(Clock("instant"), "text") is None


def effect(body: str, column: str = "at") -> Effect:
    return effect_on(Trigger("t", 23, False, "f", "plpgsql", body), column)


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN NEW.at := now(); RETURN NEW; END",
        "begin new.at = now(); return new; end;",
        'DECLARE x int; BEGIN -- NEW.at := 1;\n x := 1; NEW."at" := clock_timestamp(); RETURN NEW; END',
    ],
)
def test_a_trigger_that_always_stamps_is_recognized(body: str) -> None:
    assert effect(body) == Effect(clocks=(Clock("instant"),), always=True)


def test_a_trigger_that_stamps_only_sometimes_is_no_proof_alone() -> None:
    found = effect("BEGIN IF TG_OP = 'UPDATE' THEN NEW.at := now(); END IF; RETURN NEW; END")
    assert found.clocks
    assert not found.always
    assert not effect("BEGIN IF pg_trigger_depth() > 1 THEN RETURN NEW; END IF; NEW.at = now(); RETURN NEW; END").always


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN NEW.at := NEW.client_time; RETURN NEW; END",
        "BEGIN NEW.at := coalesce(NEW.at, now()); RETURN NEW; END",
        "BEGIN NEW.at := now(); IF x THEN NEW.at := '2020-01-01'; END IF; RETURN NEW; END",
        "BEGIN NEW := json_populate_record(NEW, x); RETURN NEW; END",
        "BEGIN SELECT * INTO NEW FROM other; RETURN NEW; END",
        "BEGIN SELECT a INTO NEW.at FROM other; RETURN NEW; END",
        "BEGIN NEW.at := 'open; END",
        "DECLARE r ALIAS FOR NEW; BEGIN r.at := '2020-01-01'; RETURN NEW; END",
        "BEGIN NEW.at := now(); CALL adjust(NEW.at); RETURN NEW; END",
        "BEGIN GET DIAGNOSTICS NEW.at = ROW_COUNT; RETURN NEW; END",
        "DECLARE r record; BEGIN r := NEW; r.at := '2000-01-01'; RETURN r; END",
        "BEGIN RETURN NEW #= hstore('at', '2000-01-01'); END",
        'BEGIN RETURN jsonb_populate_record(NEW, \'{"at": "2000-01-01"}\'); END',
        "BEGIN IF NEW.x THEN RETURN (SELECT t FROM t LIMIT 1); END IF; NEW.at := now(); RETURN NEW; END",
        "BEGIN NEW.at := now(); RETURN OLD; END",
        "BEGIN SELECT a, b, c, d INTO v.a, v.b, v.c, NEW.at FROM t; RETURN NEW; END",
        "BEGIN SELECT t.x INTO STRICT new.at FROM t; RETURN NEW; END",
        "BEGIN FOR a, b, NEW.at IN SELECT x, y, z FROM t LOOP NULL; END LOOP; RETURN NEW; END",
        "BEGIN FOREACH NEW.at IN ARRAY x LOOP NULL; END LOOP; RETURN NEW; END",
        "BEGIN NEW.at := now(); f.NEW.at := '2000-01-01'; RETURN NEW; END",
        "BEGIN f.NEW.at = '2000-01-01'; RETURN NEW; END",
        "DECLARE new t := (SELECT t FROM t LIMIT 1); BEGIN new.at := now(); RETURN new; END",
        "<<new>> DECLARE at timestamptz; BEGIN new.at := now(); RETURN NEW; END",
        'BEGIN NEW.at := now(); NEW.U&"\\0061t" := 0; RETURN NEW; END',
    ],
)
def test_a_trigger_that_may_set_something_else_is_no_proof(body: str) -> None:
    assert effect(body).unknown


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN INSERT INTO log VALUES (NEW.id, now()); RETURN NEW; END",
        "BEGIN SELECT c.x INTO v FROM c WHERE c.id = NEW.id; RETURN NEW; END",
        "BEGIN PERFORM audit(NEW, OLD); IF NEW IS DISTINCT FROM OLD THEN RETURN NULL; END IF; RETURN NEW; END",
        "BEGIN IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END",
        "DECLARE r record; BEGIN r := NEW; IF r.at < NEW.at THEN RAISE EXCEPTION 'x'; END IF; RETURN NEW; END",
    ],
)
def test_a_trigger_that_only_looks_leaves_the_column_alone(body: str) -> None:
    assert not effect_on(Trigger("t", 31, False, "f", "plpgsql", body), "at").touches


def test_a_function_that_catches_errors_may_pass_its_assignment_by() -> None:
    found = effect("BEGIN PERFORM 1 / x; NEW.at := now(); RETURN NEW; EXCEPTION WHEN OTHERS THEN RETURN NEW; END")
    assert found == Effect(clocks=(Clock("instant"),), always=False)


def test_a_loop_for_other_things_does_not_matter() -> None:
    assert not effect("BEGIN FOR i IN 1..3 LOOP PERFORM 1; END LOOP; NEW.x := 2; RETURN NEW; END").unknown


def test_a_trigger_for_other_columns_does_not_matter() -> None:
    assert not effect("BEGIN NEW.other := 5; NEW.attic := 1; RETURN NEW; END").touches
    assert not effect("BEGIN IF NEW.at = OLD.at THEN NEW.x := 1; END IF; RETURN NEW; END").touches


def test_a_language_that_cannot_be_read_may_do_anything_except_the_known_functions() -> None:
    assert effect_on(Trigger("t", 23, False, "f", "plpython3u", "pass"), "at").unknown
    suppress = "suppress_redundant_updates_trigger"
    assert not effect_on(Trigger("t", 19, False, suppress, "internal", suppress), "at").touches
    assert effect_on(Trigger("t", 19, False, suppress, "plpgsql", "BEGIN RETURN x; END"), "at").unknown
    moddatetime = Trigger("t", 19, False, "moddatetime", "c", "moddatetime", ("at",))
    assert effect_on(moddatetime, "at").always
    assert not effect_on(moddatetime, "other").touches
