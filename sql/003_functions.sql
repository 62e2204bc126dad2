-- DataLoader's control schema, part 3: functions that rules, views and programs share.

CREATE OR REPLACE FUNCTION control.refuse(problem text, cure text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = problem, HINT = cure, ERRCODE = 'check_violation';
END $$;
COMMENT ON FUNCTION control.refuse(text, text) IS 'Refuses a change: what is wrong, and as a hint what to do.';

CREATE OR REPLACE FUNCTION control.may_write_state() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT has_column_privilege(session_user, 'control.table_control', 'load_seq', 'UPDATE')
$$;
COMMENT ON FUNCTION control.may_write_state() IS
    'The session belongs to a loader. Anybody can set a setting, so that the settings below count only for loaders.';

CREATE OR REPLACE FUNCTION control.written_by_load() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('dataloader.writer', true), '') = 'load' AND control.may_write_state()
$$;
COMMENT ON FUNCTION control.written_by_load() IS
    'A load''s own finish or recovery is writing (it sets dataloader.writer for its transaction).';

CREATE OR REPLACE FUNCTION control.adopting() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('dataloader.adopting', true), '') = 'yes' AND control.may_write_state()
$$;
COMMENT ON FUNCTION control.adopting() IS 'A destination is being adopted (`dataloader adopt` sets dataloader.adopting).';

CREATE OR REPLACE FUNCTION control.acting_user() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('dataloader.changed_by', true), ''), session_user)
$$;
COMMENT ON FUNCTION control.acting_user() IS 'Who makes a change: the setting dataloader.changed_by, else the database user.';

CREATE OR REPLACE FUNCTION control.quote_part(part text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN part ~ '^[A-Za-z0-9_]+$' THEN part ELSE '"' || replace(part, '"', '""') || '"' END
$$;
COMMENT ON FUNCTION control.quote_part(text) IS 'One part of a control key; parts that are not [A-Za-z0-9_]+ are quoted.';

CREATE OR REPLACE FUNCTION control.readable_key(VARIADIC parts text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(control.quote_part(part), '.' ORDER BY place)
    FROM unnest(parts) WITH ORDINALITY AS p (part, place)
    WHERE part IS NOT NULL
$$;
COMMENT ON FUNCTION control.readable_key(text[]) IS 'A control key of its parts: crm.public.orders.';

CREATE OR REPLACE FUNCTION control.fingerprint(t control.table_control) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(jsonb_build_array(
        t.load_strategy, t.db_config_key, t.source_table_catalog, t.source_table_schema, t.source_table_name,
        t.query, t.filter, t.incremental_column, t.incremental_type, t.primary_key_cols,
        lower(t.destination_table_catalog), lower(t.destination_table_schema), lower(t.destination_table_name)
    )::text, 'UTF8')), 'hex')
$$;
COMMENT ON FUNCTION control.fingerprint(control.table_control) IS
    'Of what a watermark depends on: strategy, source, query, filter, watermark column, keys, destination. Not the '
    'schedule. A watermark is applied only where this is what it was when its load started.';

CREATE OR REPLACE FUNCTION control.destination_of(t control.table_control) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT t.destination_table_catalog || '.' || t.destination_table_schema || '.' || t.destination_table_name
$$;
COMMENT ON FUNCTION control.destination_of(control.table_control) IS 'catalog.schema.table of the row.';

CREATE OR REPLACE FUNCTION control.is_zone(zone text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    checked text := coalesce(current_setting('dataloader.zones', true), '');
BEGIN
    -- The view reads the zone files anew each time, so that a bulk insert would take hours: a session remembers.
    IF zone = 'UTC' OR position('|' || zone || '|' IN checked) > 0 THEN
        RETURN true;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_timezone_names WHERE name = zone) THEN
        RETURN false;
    END IF;
    PERFORM set_config('dataloader.zones', checked || '|' || zone || '|', false);
    RETURN true;
END $$;
COMMENT ON FUNCTION control.is_zone(text) IS 'The text is the name of a time zone, as pg_timezone_names spells it.';

CREATE OR REPLACE FUNCTION control.is_distance(distance text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT btrim(distance) <> '' AND (
        btrim(distance) ~ '^\d+(\.\d+)?$'
        OR lower(btrim(distance)) ~ ('^(\d+(\.\d+)?\s*(us|ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?|w|weeks?)'
                                     || '(,\s*|\s+|$|(?=\d)))*(\d+:\d\d:\d\d(\.\d+)?)?$'))
$$;
COMMENT ON FUNCTION control.is_distance(text) IS 'A number, or an interval such as ''90s'', ''2 hours'', ''1 day 02:00:00''.';

CREATE OR REPLACE FUNCTION control.is_watermark(value text, type text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF value IS NULL OR type IS NULL THEN
        RETURN true;
    ELSIF type = 'integer' THEN
        RETURN btrim(value) ~ '^([+-]?\d+(\.\d+)?|0x[0-9A-Fa-f]+)$';
    ELSIF btrim(value) !~ '^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?\s*(Z|[+-]\d\d(:?\d\d)?)?$' THEN
        RETURN false;
    END IF;
    PERFORM left(btrim(value), 10)::date;
    RETURN coalesce(substring(value FROM '[ T](\d\d):\d\d')::int < 24, true)
       AND coalesce(substring(value FROM '[ T]\d\d:(\d\d)')::int < 60, true)
       AND coalesce(substring(value FROM '[ T]\d\d:\d\d:(\d\d)')::int < 60, true);
EXCEPTION WHEN data_exception THEN
    RETURN false;
END $$;
COMMENT ON FUNCTION control.is_watermark(text, text) IS 'The text can be an incremental_value of this incremental_type.';

CREATE OR REPLACE FUNCTION control.needs_of(strategy text, options jsonb)
RETURNS TABLE (name text, keys boolean, watermark boolean, rolling boolean)
LANGUAGE sql STABLE AS $$
    SELECT needed.name,
           needed.needs_keys AND NOT coalesce(
               CASE WHEN needed.name = chosen.name THEN options ELSE options -> 'then_options' END @> needed.keys_unless,
               false),
           needed.needs_watermark,
           needed.needs_window
    FROM control.known_strategies chosen
    JOIN control.known_strategies needed
      ON needed.name IN (chosen.name, CASE WHEN chosen.then_option IS NOT NULL
                                           THEN coalesce(options ->> chosen.then_option, chosen.then_default) END)
    WHERE chosen.name = strategy
$$;
COMMENT ON FUNCTION control.needs_of(text, jsonb) IS
    'What a strategy needs of its row; for a backfill also what the strategy needs that the row becomes.';

CREATE OR REPLACE FUNCTION control.describe_holder(t control.table_control) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN t.claim_holder IS NULL THEN 'nobody'
                WHEN t.claim_holder ->> 'kind' = 'dagster'
                THEN 'Dagster run ' || coalesce(t.run_id, t.claim_holder ->> 'run_id', '(not yet started)')
                ELSE 'process ' || (t.claim_holder ->> 'pid') || ' on ' || (t.claim_holder ->> 'host')
                     || coalesce(' of ' || (t.claim_holder ->> 'user'), '') END
$$;
COMMENT ON FUNCTION control.describe_holder(control.table_control) IS 'Who holds the claim, in words.';

CREATE OR REPLACE FUNCTION control.texts_of(document jsonb) RETURNS TABLE (name text, content text)
LANGUAGE sql IMMUTABLE AS $$
    WITH RECURSIVE inside (path, value) AS (
        SELECT '{}'::text[], document
        UNION ALL
        SELECT inside.path || part.key, part.value FROM inside CROSS JOIN LATERAL (
            SELECT key, value FROM jsonb_each(CASE jsonb_typeof(inside.value) WHEN 'object' THEN inside.value END)
            UNION ALL
            SELECT NULL, value FROM jsonb_array_elements(CASE jsonb_typeof(inside.value) WHEN 'array' THEN inside.value END)
        ) part
    )
    SELECT nullif(array_to_string(path, '.'), ''), value #>> '{}' FROM inside WHERE jsonb_typeof(value) IN ('string', 'number')
$$;
COMMENT ON FUNCTION control.texts_of(jsonb) IS 'Every text and number in it, however deep, with the names that lead there.';

INSERT INTO control.schema_version (number, name) VALUES (3, '003_functions') ON CONFLICT DO NOTHING;
