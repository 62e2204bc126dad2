-- DataLoader's control schema, part 5: the audit trail, what people may order by plain SQL, and the views.

CREATE OR REPLACE FUNCTION control.configuration_of(t control.table_control) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT to_jsonb(t) - ARRAY[
        'next_load_date_time', 'schedule_changed', 'last_status', 'last_status_date_time', 'last_status_message',
        'last_load_date_time', 'retry_count', 'staging_model_processed', 'last_dagster_run', 'last_databricks_run', 'run_id',
        'load_seq', 'load_id', 'claim_holder', 'claim_fingerprint', 'claim_closed', 'claim_previous_closed', 'claim_writing',
        'claim_refused', 'claim_load_full', 'claim_load_full_orders', 'load_queued_at', 'load_started_at', 'heartbeat_at',
        'progress', 'committed_version', 'watermark_sets', 'load_full_orders', 'disputed_version', 'disputed_sets',
        'backfill_cursor', 'adopt_unowned', 'staging_tables', 'created_at', 'create_user', 'last_modified_at', 'last_modified_user']
$$;
COMMENT ON FUNCTION control.configuration_of(control.table_control) IS 'The columns that people edit, as JSON.';

CREATE OR REPLACE FUNCTION control.record_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, control, pg_temp AS $$
DECLARE
    old_config jsonb := '{}';
    new_config jsonb := '{}';
    fields text[];
    source text := coalesce(nullif(current_setting('dataloader.change_source', true), ''), 'sql');
    row_key text;
    row_id bigint;
BEGIN
    IF TG_OP = 'UPDATE' AND control.written_by_load() AND NEW.load_strategy = OLD.load_strategy THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        old_config := control.configuration_of(OLD);
        row_key := OLD.control_key;
        row_id := OLD.config_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        new_config := control.configuration_of(NEW);
        row_key := NEW.control_key;
        row_id := NEW.config_id;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF control.written_by_load() THEN
            source := 'backfill_complete';
        ELSIF OLD.last_status = 'Failed' AND NEW.last_status IS NULL THEN
            source := 'status_reset';
            old_config := old_config || jsonb_build_object('last_status', OLD.last_status);
            new_config := new_config || jsonb_build_object('last_status', NEW.last_status);
        END IF;
        SELECT array_agg(key ORDER BY key) INTO fields
        FROM jsonb_each(old_config) was JOIN jsonb_each(new_config) now_is USING (key)
        WHERE was.value IS DISTINCT FROM now_is.value;
        IF fields IS NULL THEN
            RETURN NULL;
        END IF;
        SELECT jsonb_object_agg(f, old_config -> f), jsonb_object_agg(f, new_config -> f)
        INTO old_config, new_config FROM unnest(fields) f;
    END IF;
    INSERT INTO control.table_control_history
        (control_key, config_id, changed_by, change_type, change_source, old_values, new_values, changed_fields)
    VALUES (row_key, row_id, control.acting_user(), TG_OP, source,
            CASE TG_OP WHEN 'INSERT' THEN NULL WHEN 'DELETE' THEN to_jsonb(OLD) ELSE old_config END,
            CASE TG_OP WHEN 'DELETE' THEN NULL ELSE new_config END, fields);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION control.record_change() IS
    'Writes table_control_history. A deleted row is kept whole: `adopt` finds its identity and version there.';

DROP TRIGGER IF EXISTS c10_audit ON control.table_control;
CREATE TRIGGER c10_audit AFTER INSERT OR DELETE OR UPDATE OF
        control_key, table_uid, is_active, db_config_key, source_table_catalog, source_table_schema, source_table_name, query,
        filter, columns, destination_table_catalog, destination_table_schema, destination_table_name, load_strategy,
        strategy_options, load_full, load_cron, time_zone, primary_key_cols, incremental_column, incremental_type,
        incremental_value, incremental_lookback, watermark_delay, rolling_column, rolling_days, partition_column,
        num_partitions, lower_bound, upper_bound, row_limit, schema_policy, on_unrepresentable, way_of_reading, allow_empty,
        max_delete_fraction, is_delete, delete_mode, deletes_checked_at
    ON control.table_control FOR EACH ROW EXECUTE FUNCTION control.record_change();
DROP TRIGGER IF EXISTS c20_audit_reset ON control.table_control;
CREATE TRIGGER c20_audit_reset AFTER UPDATE OF last_status ON control.table_control
    FOR EACH ROW WHEN (OLD.last_status = 'Failed' AND NEW.last_status IS NULL) EXECUTE FUNCTION control.record_change();

CREATE OR REPLACE FUNCTION control.reset_table(key text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, control, pg_temp AS $$
DECLARE
    found control.table_control;
BEGIN
    SELECT * INTO found FROM control.table_control WHERE control_key = key FOR UPDATE;
    IF found.config_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('There is no table %L.', key);
    ELSIF found.last_status IS DISTINCT FROM 'Failed' THEN
        PERFORM control.refuse(
            format('%s is %s; only a Failed table can be reset.', key, coalesce(found.last_status, 'not loaded yet (NULL)')),
            CASE WHEN found.last_status IN ('Queued', 'In Progress') THEN 'Cancel it first.'
                 ELSE 'To load it now use `dataloader load`, or set next_load_date_time.' END);
    END IF;
    UPDATE control.table_control SET last_status = NULL WHERE config_id = found.config_id;
END $$;
COMMENT ON FUNCTION control.reset_table(text) IS 'Failed -> NULL: the table is due at once. For editors, too.';

CREATE OR REPLACE FUNCTION control.cancel_load(key text, message text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, control, pg_temp AS $$
DECLARE
    found control.table_control;
BEGIN
    SELECT * INTO found FROM control.table_control WHERE control_key = key FOR UPDATE;
    IF found.config_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('There is no table %L.', key);
    ELSIF found.last_status IS NULL OR found.last_status NOT IN ('Queued', 'In Progress') THEN
        PERFORM control.refuse(
            format('%s is %s; there is no load to cancel.', key, coalesce(found.last_status, 'not loaded yet (NULL)')),
            'To keep it from being loaded set is_active = false.');
    END IF;
    UPDATE control.historical_metadata
       SET load_status = 'Cancelled', load_end_time = clock_timestamp(), log_message = left(message, 2000),
           total_duration = extract(epoch FROM clock_timestamp() - coalesce(load_start_time, load_queued_time))
     WHERE load_id = found.load_id;
    UPDATE control.table_control SET last_status = 'Failed', last_status_message = left(message, 2000), progress = NULL
     WHERE config_id = found.config_id;
END $$;
COMMENT ON FUNCTION control.cancel_load(text, text) IS
    'Ends the claim of a table: Failed here, Cancelled in the history. Its load notices at its next step.';

CREATE OR REPLACE VIEW control.dataloader_control_vw AS
    SELECT t.*, s.db_type, s.max_concurrent_loads
    FROM control.table_control t
    JOIN control.table_control_dbconfig s USING (db_config_key)
    WHERE t.is_active AND s.is_active AND NOT t.schedule_changed
      AND (t.last_status IS NULL OR t.last_status IN ('Succeeded', 'Failed'))
      AND t.next_load_date_time <= now();
COMMENT ON VIEW control.dataloader_control_vw IS
    'Tables that are ready: active, due, and not claimed. `dataloader why TABLE` tells why another one is not here.';

CREATE OR REPLACE VIEW control.table_control_history_vw AS
    SELECT h.history_id, h.control_key, h.config_id, h.changed_at, h.changed_by, h.change_type, h.change_source,
           f.field, h.old_values -> f.field AS old_value, h.new_values -> f.field AS new_value
    FROM control.table_control_history h
    LEFT JOIN LATERAL unnest(h.changed_fields) AS f (field) ON true;
COMMENT ON VIEW control.table_control_history_vw IS 'The audit trail, a row for each field that changed.';

COMMENT ON COLUMN control.table_control_history_vw.field IS 'UPDATE: the column that changed; else NULL.';
COMMENT ON COLUMN control.table_control_history_vw.old_value IS 'Its value before.';
COMMENT ON COLUMN control.table_control_history_vw.new_value IS 'Its value since.';

DO $$
DECLARE
    col record;
BEGIN
    -- What a view passes on means there what it means in its table.
    FOR col IN
        SELECT v.attrelid::regclass AS view_name, v.attname, col_description(t.attrelid, t.attnum) AS meaning
        FROM (VALUES ('control.dataloader_control_vw'::regclass, 'control.table_control'::regclass),
                     ('control.dataloader_control_vw', 'control.table_control_dbconfig'),
                     ('control.table_control_history_vw', 'control.table_control_history')) pair (view_id, table_id)
        JOIN pg_attribute v ON v.attrelid = pair.view_id AND v.attnum > 0
        JOIN pg_attribute t ON t.attrelid = pair.table_id AND t.attnum > 0 AND t.attname = v.attname
        WHERE pair.table_id <> 'control.table_control_dbconfig'::regclass OR v.attname IN ('db_type', 'max_concurrent_loads')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', col.view_name, col.attname, col.meaning);
    END LOOP;
END $$;

INSERT INTO control.schema_version (number, name) VALUES (5, '005_audit_and_views') ON CONFLICT DO NOTHING;
