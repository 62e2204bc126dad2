-- DataLoader's control schema, part 4: what may be written into table_control. Triggers of one moment fire in the
-- order of their names: first those that notice what a statement sets, then those that judge it.

CREATE OR REPLACE FUNCTION control.next_mark(mark bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT mark + 1 + (random() * 1e12)::bigint
$$;
COMMENT ON FUNCTION control.next_mark(bigint) IS
    'A mark that is higher, and equal to none of another history: after a restore or an adoption two histories meet, and '
    'counting by one would call different orders the same.';

CREATE OR REPLACE FUNCTION control.fill_defaults() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.last_status IS NOT NULL OR NEW.load_seq <> 0 THEN
        PERFORM control.refuse(
            format('A new row cannot have last_status %L and load_seq %s.', NEW.last_status, NEW.load_seq),
            'Leave the columns of state out; loads write them.');
    END IF;
    NEW.table_uid := coalesce(NEW.table_uid, gen_random_uuid());
    NEW.watermark_sets := 0;
    NEW.load_full_orders := CASE WHEN NEW.load_full THEN control.next_mark(0) ELSE 0 END;
    NEW.destination_table_schema := coalesce(NEW.destination_table_schema,
        (SELECT default_target_schema FROM control.table_control_dbconfig WHERE db_config_key = NEW.db_config_key));
    NEW.control_key := coalesce(NEW.control_key, CASE
        WHEN NEW.source_table_name IS NOT NULL
        THEN control.readable_key(NEW.db_config_key, NEW.source_table_schema, NEW.source_table_name)
        ELSE control.readable_key(NEW.db_config_key, NEW.destination_table_schema, NEW.destination_table_name) END);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION control.fill_defaults() IS 'Control key, identity and schema of a new row that gives none.';

CREATE OR REPLACE FUNCTION control.notice_watermark() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (control.written_by_load() OR control.adopting()) THEN
        NEW.watermark_sets := control.next_mark(OLD.watermark_sets);
        NEW.backfill_cursor := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION control.notice_watermark() IS
    'Somebody set or cleared incremental_value, be it to the same value: counted, and an unfinished backfill is dropped.';

CREATE OR REPLACE FUNCTION control.notice_load_full() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.load_full AND NOT control.written_by_load() THEN
        NEW.load_full_orders := control.next_mark(OLD.load_full_orders);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION control.notice_load_full() IS 'Counts orders of load_full, so that a load clears only the one it carried.';

CREATE OR REPLACE FUNCTION control.check_status() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    step bigint := NEW.load_seq - OLD.load_seq;
    adopts boolean := control.adopting();
BEGIN
    IF NEW.last_status IS DISTINCT FROM OLD.last_status THEN
        IF NOT coalesce(CASE NEW.last_status
                WHEN 'Queued' THEN (OLD.last_status IS NULL OR OLD.last_status IN ('Succeeded', 'Failed')) AND step = 1
                WHEN 'In Progress' THEN OLD.last_status = 'Queued' AND step = 0
                WHEN 'Succeeded' THEN OLD.last_status = 'In Progress' AND step = 0
                WHEN 'Failed' THEN OLD.last_status IN ('Queued', 'In Progress') AND step = 0
            END, NEW.last_status IS NULL AND OLD.last_status = 'Failed' AND step = 0) THEN
            PERFORM control.refuse(
                format('%s: last_status cannot change from %s to %s (load_seq %s to %s).', OLD.control_key,
                       coalesce(quote_literal(OLD.last_status), 'NULL'), coalesce(quote_literal(NEW.last_status), 'NULL'),
                       OLD.load_seq, NEW.load_seq),
                'Legal are NULL, Succeeded or Failed -> Queued with load_seq + 1, Queued -> In Progress, In Progress -> '
                'Succeeded, Queued or In Progress -> Failed, and Failed -> NULL, which makes the table due at once.');
        END IF;
        NEW.last_status_date_time := clock_timestamp();
        IF NEW.last_status IS NULL THEN
            NEW.next_load_date_time := now();
            NEW.schedule_changed := false;
            NEW.last_status_message := NULL;
        END IF;
    ELSIF step <> 0 AND NOT adopts AND NOT (step > 0 AND OLD.last_status IS NOT DISTINCT FROM 'In Progress') THEN
        PERFORM control.refuse(
            format('%s: load_seq cannot change from %s to %s.', OLD.control_key, OLD.load_seq, NEW.load_seq),
            'It is the fencing token of loads: a claim raises it by one.');
    ELSIF NEW.load_id IS DISTINCT FROM OLD.load_id AND NOT adopts THEN
        PERFORM control.refuse(format('%s: load_id cannot change without a claim.', OLD.control_key),
                               'Claim the table: last_status Queued, load_seq + 1.');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION control.check_status() IS 'The state machine of loads.';

CREATE OR REPLACE FUNCTION control.check_identity() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT control.adopting() THEN
        PERFORM control.refuse(
            format('%s: table_uid never changes; its destination knows the row by it.', OLD.control_key),
            'To take over the destination of another row use `dataloader adopt`.');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION control.check_identity() IS 'table_uid changes only where a destination is adopted.';

CREATE OR REPLACE FUNCTION control.check_names(t control.table_control) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    part text;
    what text;
BEGIN
    FOR what, part IN VALUES ('destination_table_catalog', t.destination_table_catalog),
                             ('destination_table_schema', t.destination_table_schema),
                             ('destination_table_name', t.destination_table_name) LOOP
        IF what = 'destination_table_name' AND part ~ '__backfill_[0-9]+_[0-9a-f]{8}$' THEN
            PERFORM control.refuse(
                format('%s: %s %L is a name of a backfill''s staging table.', t.control_key, what, part),
                'Choose another name.');
        ELSIF part IS NULL OR part !~ '^[A-Za-z0-9_]+$' THEN
            PERFORM control.refuse(
                format('%s: %s %s is not a safe name; allowed are [A-Za-z0-9_]+.', t.control_key, what,
                       coalesce(quote_literal(part), 'NULL')),
                CASE WHEN part IS NULL THEN 'Give one (the schema may come from the source''s default_target_schema).'
                     ELSE format('Write for instance %L.', regexp_replace(part, '[^A-Za-z0-9_]', '_', 'g')) END);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM control.table_control_dbconfig WHERE db_config_key = t.db_config_key) THEN
        PERFORM control.refuse(
            format('%s: unknown source %L; known: %s.', t.control_key, t.db_config_key,
                   coalesce((SELECT string_agg(quote_literal(k), ', ') FROM (
                       SELECT db_config_key AS k FROM control.table_control_dbconfig ORDER BY 1 LIMIT 30) s), 'none')),
            'Add it with `dataloader source add`, or insert it into control.table_control_dbconfig.');
    END IF;
    IF (t.source_table_name IS NULL) = (t.query IS NULL) OR t.source_table_name = '' OR btrim(t.query) = '' THEN
        PERFORM control.refuse(
            format('%s: exactly one of source_table_name and query must be given.', t.control_key),
            'Name a table of the source, or write one SELECT.');
    END IF;
END $$;
COMMENT ON FUNCTION control.check_names(control.table_control) IS 'Source and destination of a row.';

CREATE OR REPLACE FUNCTION control.check_strategy(t control.table_control) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    known control.known_strategies;
    need record;
    becomes text;
    -- What the program can check before the first chunk; a plugin's strategy it could not hand over to.
    successors CONSTANT text[] := '{append_only,check_and_load,full,incremental,rolling}';
BEGIN
    IF jsonb_typeof(t.strategy_options) <> 'object' THEN
        PERFORM control.refuse(format('%s: strategy_options must be a JSON object.', t.control_key), 'Write {} for none.');
    END IF;
    SELECT * INTO known FROM control.known_strategies WHERE name = t.load_strategy;
    becomes := coalesce(t.strategy_options ->> known.then_option, known.then_default);
    IF known.name IS NULL THEN
        PERFORM control.refuse(
            format('%s: unknown load_strategy %L; known: %s.', t.control_key, t.load_strategy,
                   (SELECT string_agg(quote_literal(name), ', ' ORDER BY name) FROM control.known_strategies)),
            'A plugin''s strategy is known once a process that has the plugin has run `dataloader init`.');
    ELSIF becomes <> ALL (successors) THEN
        PERFORM control.refuse(
            format('%s: strategy %L cannot end as %L; allowed: %s.', t.control_key, t.load_strategy, becomes,
                   (SELECT string_agg(quote_literal(name), ', ') FROM unnest(successors) name)),
            'Set the option to one of these, and load_strategy to another one when the backfill is complete.');
    END IF;
    FOR need IN SELECT * FROM control.needs_of(t.load_strategy, t.strategy_options) LOOP
        IF need.keys AND cardinality(t.primary_key_cols) = 0 THEN
            PERFORM control.refuse(
                format('%s: strategy %L merges and needs primary_key_cols.', t.control_key, need.name),
                'Name the columns that are unique and never NULL, for instance ''{id}''.');
        ELSIF need.watermark AND t.incremental_column IS NULL THEN
            PERFORM control.refuse(
                format('%s: strategy %L reads from a watermark and needs incremental_column.', t.control_key, need.name),
                'Name a column that grows with every change; `dataloader discover` proposes one.');
        ELSIF need.rolling AND (t.rolling_column IS NULL OR t.rolling_days IS NULL) THEN
            PERFORM control.refuse(
                format('%s: strategy %L needs rolling_column and rolling_days.', t.control_key, need.name),
                'Name the column of the window, and its length in days.');
        END IF;
    END LOOP;
    IF known.then_option IS NOT NULL AND t.incremental_value IS NOT NULL THEN
        PERFORM control.refuse(
            format('%s: incremental_value must be NULL while the strategy is %L.', t.control_key, t.load_strategy),
            'A backfill fixes its own watermark; clear incremental_value in the same statement.');
    END IF;
END $$;
COMMENT ON FUNCTION control.check_strategy(control.table_control) IS 'The strategy is known and has what it needs.';

CREATE OR REPLACE FUNCTION control.check_values(t control.table_control) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    what text;
    found text;
    allowed text;
    ok boolean;
BEGIN
    FOR what, found, allowed, ok IN VALUES
        ('control_key', t.control_key, 'a text that is not empty', t.control_key <> ''),
        ('time_zone', t.time_zone, 'a name such as ''Europe/Berlin'' (see pg_timezone_names)', control.is_zone(t.time_zone)),
        ('load_cron', t.load_cron, 'a cron expression, or NULL', btrim(t.load_cron) <> ''),
        ('incremental_type', t.incremental_type, 'timestamp, integer or NULL',
            t.incremental_type IN ('timestamp', 'integer')),
        ('incremental_lookback', t.incremental_lookback, 'a number, or an interval such as ''2 hours''',
            control.is_distance(t.incremental_lookback)),
        ('watermark_delay', t.watermark_delay, 'a number, or an interval such as ''2 hours''',
            control.is_distance(t.watermark_delay)),
        ('rolling_days', t.rolling_days::text, 'a number >= 0', t.rolling_days >= 0),
        ('num_partitions', t.num_partitions::text, '1 to 1000', t.num_partitions BETWEEN 1 AND 1000),
        ('row_limit', t.row_limit::text, 'a number >= 1, or NULL', t.row_limit >= 1),
        ('schema_policy', t.schema_policy, 'evolve, freeze or fail', t.schema_policy IN ('evolve', 'freeze', 'fail')),
        ('on_unrepresentable', t.on_unrepresentable, 'fail or null', t.on_unrepresentable IN ('fail', 'null')),
        ('max_delete_fraction', t.max_delete_fraction::text, '0 to 1', t.max_delete_fraction BETWEEN 0 AND 1),
        ('columns', t.columns::text, 'names, or NULL for all',
            cardinality(t.columns) > 0 AND array_position(t.columns, NULL) IS NULL),
        ('primary_key_cols', t.primary_key_cols::text, 'different names', array_position(t.primary_key_cols, NULL) IS NULL
            AND cardinality(t.primary_key_cols) = (SELECT count(DISTINCT c) FROM unnest(t.primary_key_cols) c)),
        ('backfill_cursor', '(JSON)', 'a JSON object, or NULL', jsonb_typeof(t.backfill_cursor) = 'object')
    LOOP
        IF NOT ok THEN
            PERFORM control.refuse(format('%s: %s is %L.', t.control_key, what, found), format('Allowed is %s.', allowed));
        END IF;
    END LOOP;
    IF (t.num_partitions IS NOT NULL OR t.lower_bound IS NOT NULL OR t.upper_bound IS NOT NULL)
       AND t.partition_column IS NULL THEN
        PERFORM control.refuse(
            format('%s: num_partitions, lower_bound and upper_bound need a partition_column.', t.control_key),
            'Name the column to cut on, or leave them NULL.');
    ELSIF (t.lower_bound IS NULL) <> (t.upper_bound IS NULL) THEN
        PERFORM control.refuse(format('%s: lower_bound and upper_bound go together.', t.control_key), 'Give both or none.');
    ELSIF t.is_delete OR t.delete_mode IS NOT NULL OR t.deletes_checked_at IS NOT NULL THEN
        PERFORM control.refuse(
            format('%s: is_delete and delete_mode do nothing yet and are refused until they do.', t.control_key),
            'Leave them out; a rolling window deletes what vanished inside it, load_full what vanished anywhere.');
    ELSIF NOT control.is_watermark(t.incremental_value, t.incremental_type) THEN
        PERFORM control.refuse(
            format('%s: incremental_value %L is no %s.', t.control_key, left(t.incremental_value, 100), t.incremental_type),
            'Write digits, or a time like 2026-01-31 12:00:00, or clear it to load everything again.');
    END IF;
END $$;
COMMENT ON FUNCTION control.check_values(control.table_control) IS 'Settings of a row that have a shape.';

CREATE OR REPLACE FUNCTION control.check_kept_watermark(o control.table_control, n control.table_control) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    kept boolean := o.incremental_value IS NOT NULL OR o.backfill_cursor IS NOT NULL;
    changed text;
BEGIN
    IF kept AND n.watermark_sets = o.watermark_sets THEN
        SELECT string_agg(key, ', ' ORDER BY key) INTO changed
        FROM jsonb_each(to_jsonb(o)) was JOIN jsonb_each(to_jsonb(n)) now_is USING (key)
        WHERE was.value IS DISTINCT FROM now_is.value
          AND key IN ('load_strategy', 'db_config_key', 'source_table_catalog', 'source_table_schema', 'source_table_name',
                      'query', 'filter', 'incremental_column', 'incremental_type', 'primary_key_cols',
                      'destination_table_catalog', 'destination_table_schema', 'destination_table_name');
        PERFORM control.refuse(
            format('%s: %s cannot change while incremental_value %s is kept.', o.control_key, changed,
                   coalesce(quote_literal(o.incremental_value), '(an unfinished backfill)')),
            'Set incremental_value in the same statement, or clear it (NULL) to load everything again.');
    ELSIF n.incremental_value IS NOT NULL AND n.load_strategy <> o.load_strategy AND (
            o.backfill_cursor IS NOT NULL
            OR EXISTS (SELECT FROM control.known_strategies WHERE name = n.load_strategy AND starts_clear)) THEN
        PERFORM control.refuse(
            format('%s: a change from %L to %L must clear incremental_value, which is %L.', o.control_key,
                   o.load_strategy, n.load_strategy, n.incremental_value),
            'Set incremental_value to NULL in the same statement: the next load then reads everything.');
    END IF;
END $$;
COMMENT ON FUNCTION control.check_kept_watermark(control.table_control, control.table_control) IS
    'A watermark belongs to the configuration it was read with: whoever changes that says what becomes of it.';

CREATE OR REPLACE FUNCTION control.check_rules() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- What a load writes was judged when the row was; its end must not fail over a rule that came later.
    IF TG_OP = 'UPDATE' AND control.written_by_load() THEN
        RETURN NEW;
    END IF;
    PERFORM control.check_names(NEW);
    PERFORM control.check_strategy(NEW);
    PERFORM control.check_values(NEW);
    IF TG_OP = 'UPDATE' THEN
        IF control.fingerprint(NEW) <> control.fingerprint(OLD) THEN
            PERFORM control.check_kept_watermark(OLD, NEW);
            NEW.backfill_cursor := NULL;
        END IF;
        IF control.destination_of(NEW) <> control.destination_of(OLD)
           AND lower(control.destination_of(NEW)) = lower(control.destination_of(OLD)) THEN
            PERFORM control.refuse(
                format('%s: destination %s and %s differ only in case.', OLD.control_key, control.destination_of(OLD),
                       control.destination_of(NEW)),
                'In a catalog they are one table, in a folder two. Keep the name, or choose another one.');
        END IF;
        IF control.destination_of(NEW) <> control.destination_of(OLD) THEN
            NEW.committed_version := NULL;
            NEW.disputed_version := NULL;
            NEW.disputed_sets := NULL;
            NEW.adopt_unowned := false;
        END IF;
        IF (NEW.load_cron, NEW.time_zone, NEW.is_active) IS DISTINCT FROM (OLD.load_cron, OLD.time_zone, OLD.is_active)
           AND NEW.next_load_date_time IS NOT DISTINCT FROM OLD.next_load_date_time THEN
            NEW.schedule_changed := true;
        END IF;
        NEW.last_modified_at := clock_timestamp();
        NEW.last_modified_user := control.acting_user();
    ELSE
        NEW.create_user := control.acting_user();
        NEW.last_modified_user := NEW.create_user;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION control.check_rules() IS 'Judges every change of configuration.';

CREATE OR REPLACE FUNCTION control.check_source() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    secret_name CONSTANT text := '(password|passwd|pwd|secret|token|private_key|credential)';
    -- The password of a URI, or one among the settings of a connection string.
    secret_text CONSTANT text := '(://[^/@]*:[^@]+@|(password|passwd|pwd|secret|token|private_key)\s*=)';
    field text;
BEGIN
    SELECT found.field INTO field FROM (
        SELECT 'db_config_value ' || key AS field FROM jsonb_each(
            CASE jsonb_typeof(NEW.db_config_value) WHEN 'object' THEN NEW.db_config_value END)
        WHERE key ~* secret_name AND jsonb_typeof(value) NOT IN ('string', 'null')
        UNION ALL
        SELECT concat_ws(' ', 'db_config_value', name) FROM control.texts_of(NEW.db_config_value) WHERE content ~* secret_text
        UNION ALL
        SELECT concat_ws(' ', 'options', name) FROM control.texts_of(NEW.options)
        WHERE name ~* secret_name OR content ~* secret_text
    ) found LIMIT 1;
    IF field IS NOT NULL THEN
        PERFORM control.refuse(
            format('Source %L: %s holds a secret; its value does not belong into the control database.',
                   NEW.db_config_key, field),
            'Store it as a secret, and write the secret''s name into db_config_value.');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION control.check_source() IS
    'Refuses what looks like a literal password. What a dialect calls its secrets is judged when it connects.';

CREATE OR REPLACE FUNCTION control.close_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, control, pg_temp AS $$
BEGIN
    -- Loads and monitors close their own entry first; this is for whoever writes plain SQL.
    UPDATE control.historical_metadata
       SET load_status = CASE WHEN TG_OP = 'DELETE' THEN 'Cancelled' ELSE 'Failed' END,
           load_end_time = clock_timestamp(),
           total_duration = extract(epoch FROM clock_timestamp() - coalesce(load_start_time, load_queued_time)),
           log_message = CASE WHEN TG_OP = 'DELETE' THEN 'The control row was deleted.' ELSE NEW.last_status_message END
     WHERE load_id = OLD.load_id AND load_status IS NULL;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION control.close_history() IS 'A load that was failed by plain SQL ends in the history as well.';

DROP TRIGGER IF EXISTS a10_source ON control.table_control_dbconfig;
CREATE TRIGGER a10_source BEFORE INSERT OR UPDATE OF db_config_value, options ON control.table_control_dbconfig
    FOR EACH ROW EXECUTE FUNCTION control.check_source();
DROP TRIGGER IF EXISTS a10_defaults ON control.table_control;
CREATE TRIGGER a10_defaults BEFORE INSERT ON control.table_control
    FOR EACH ROW EXECUTE FUNCTION control.fill_defaults();
DROP TRIGGER IF EXISTS a20_watermark ON control.table_control;
CREATE TRIGGER a20_watermark BEFORE UPDATE OF incremental_value ON control.table_control
    FOR EACH ROW EXECUTE FUNCTION control.notice_watermark();
DROP TRIGGER IF EXISTS a30_load_full ON control.table_control;
CREATE TRIGGER a30_load_full BEFORE UPDATE OF load_full ON control.table_control
    FOR EACH ROW EXECUTE FUNCTION control.notice_load_full();
DROP TRIGGER IF EXISTS a40_identity ON control.table_control;
CREATE TRIGGER a40_identity BEFORE UPDATE OF table_uid, config_id ON control.table_control
    FOR EACH ROW WHEN (NEW.table_uid IS DISTINCT FROM OLD.table_uid) EXECUTE FUNCTION control.check_identity();
DROP TRIGGER IF EXISTS a50_status ON control.table_control;
CREATE TRIGGER a50_status BEFORE UPDATE OF last_status, load_seq, load_id ON control.table_control
    FOR EACH ROW EXECUTE FUNCTION control.check_status();
DROP TRIGGER IF EXISTS a60_rules ON control.table_control;
CREATE TRIGGER a60_rules BEFORE INSERT OR UPDATE OF
        control_key, is_active, db_config_key, source_table_catalog, source_table_schema, source_table_name, query, filter,
        columns, destination_table_catalog, destination_table_schema, destination_table_name, load_strategy,
        strategy_options, load_cron, time_zone, primary_key_cols, incremental_column, incremental_type, incremental_value,
        incremental_lookback, watermark_delay, rolling_column, rolling_days, partition_column, num_partitions, lower_bound,
        upper_bound, row_limit, schema_policy, on_unrepresentable, way_of_reading, allow_empty, max_delete_fraction,
        is_delete, delete_mode, deletes_checked_at
    ON control.table_control FOR EACH ROW EXECUTE FUNCTION control.check_rules();
DROP TRIGGER IF EXISTS b10_history_failed ON control.table_control;
CREATE TRIGGER b10_history_failed AFTER UPDATE OF last_status ON control.table_control
    FOR EACH ROW WHEN (NEW.last_status = 'Failed' AND OLD.last_status <> 'Failed')
    EXECUTE FUNCTION control.close_history();
DROP TRIGGER IF EXISTS b20_history_deleted ON control.table_control;
CREATE TRIGGER b20_history_deleted AFTER DELETE ON control.table_control
    FOR EACH ROW WHEN (OLD.last_status IN ('Queued', 'In Progress')) EXECUTE FUNCTION control.close_history();

INSERT INTO control.schema_version (number, name) VALUES (4, '004_rules') ON CONFLICT DO NOTHING;
