-- DataLoader's control schema, part 8: roles and all that they may. Where the user may not create roles they are
-- skipped with a warning; run this file again as one who may. It comes last, so that it covers every table.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['dataloader_reader', 'dataloader_editor', 'dataloader_loader'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            END IF;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE WARNING 'Role % is not there and % may not create it; skipped.', role, current_user
                    USING HINT = 'Run sql/008_roles.sql as one who may.';
            WHEN duplicate_object OR unique_violation THEN
                NULL;  -- Roles belong to the whole server: another database's set-up was faster.
        END;
    END LOOP;
END $$;

DO $$
DECLARE
    configuration text := 'control_key, is_active, db_config_key, source_table_catalog, source_table_schema, '
        'source_table_name, query, filter, columns, destination_table_catalog, destination_table_schema, '
        'destination_table_name, load_strategy, strategy_options, load_full, load_cron, time_zone, primary_key_cols, '
        'incremental_column, incremental_type, incremental_value, incremental_lookback, watermark_delay, rolling_column, '
        'rolling_days, partition_column, num_partitions, lower_bound, upper_bound, row_limit, schema_policy, '
        'on_unrepresentable, way_of_reading, allow_empty, max_delete_fraction, is_delete, delete_mode, next_load_date_time';
    role text;
BEGIN
    REVOKE ALL ON FUNCTION control.reset_table(text), control.cancel_load(text, text) FROM PUBLIC;
    FOREACH role IN ARRAY ARRAY['dataloader_reader', 'dataloader_editor', 'dataloader_loader'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('GRANT USAGE ON SCHEMA control TO %I', role);
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA control TO %I', role);
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'dataloader_editor') THEN
        EXECUTE format('GRANT INSERT (%1$s), UPDATE (%1$s), DELETE ON control.table_control TO dataloader_editor',
                       configuration);
        GRANT INSERT, UPDATE, DELETE ON control.table_control_dbconfig, control.source_catalog,
            control.source_catalog_crawl TO dataloader_editor;
        GRANT EXECUTE ON FUNCTION control.reset_table(text), control.cancel_load(text, text) TO dataloader_editor;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'dataloader_loader') THEN
        GRANT UPDATE ON control.table_control TO dataloader_loader;
        -- Locking a source's row, which is how limits hold, takes the right to update some column of it.
        GRANT UPDATE (last_modified_at) ON control.table_control_dbconfig TO dataloader_loader;
        GRANT INSERT, UPDATE ON control.historical_metadata, control.known_strategies TO dataloader_loader;
        GRANT INSERT, UPDATE, DELETE ON control.ticks TO dataloader_loader;
        GRANT INSERT, DELETE ON control.source_notes TO dataloader_loader;
        GRANT INSERT, UPDATE, DELETE ON control.launched_runs TO dataloader_loader;
        GRANT EXECUTE ON FUNCTION control.reset_table(text), control.cancel_load(text, text) TO dataloader_loader;
    END IF;
END $$;

INSERT INTO control.schema_version (number, name) VALUES (8, '008_roles') ON CONFLICT DO NOTHING;
