-- DataLoader's control schema, part 2: what every column means.

COMMENT ON TABLE control.table_control IS
    'One row for each table that is loaded. The upper half is configuration, edited by people and programs alike; from '
    'next_load_date_time on it is state, written by loads.';
COMMENT ON COLUMN control.table_control.config_id IS 'Number of the row.';
COMMENT ON COLUMN control.table_control.control_key IS
    'Readable name of the row, unique. Where NULL is inserted it becomes db_config_key.schema.table; parts that are not '
    '[A-Za-z0-9_]+ are double-quoted.';
COMMENT ON COLUMN control.table_control.table_uid IS
    'Identity in the destination: dataloader:<table_uid> is the app id of its Delta transactions. Never changes.';
COMMENT ON COLUMN control.table_control.is_active IS 'False: never claimed by schedule.';
COMMENT ON COLUMN control.table_control.db_config_key IS 'The source.';
COMMENT ON COLUMN control.table_control.source_table_catalog IS 'Catalog (database) at the source, where it has several.';
COMMENT ON COLUMN control.table_control.source_table_schema IS 'Schema at the source, as its catalog spells it.';
COMMENT ON COLUMN control.table_control.source_table_name IS 'Table or view at the source; NULL where query is given.';
COMMENT ON COLUMN control.table_control.query IS 'One SELECT to load instead of a table.';
COMMENT ON COLUMN control.table_control.filter IS 'A predicate in the source''s SQL, added to every read.';
COMMENT ON COLUMN control.table_control.columns IS 'The columns to load; NULL: all.';
COMMENT ON COLUMN control.table_control.destination_table_catalog IS 'Unity Catalog''s catalog; [A-Za-z0-9_]+.';
COMMENT ON COLUMN control.table_control.destination_table_schema IS
    'Schema there; where NULL is inserted, the source''s default_target_schema.';
COMMENT ON COLUMN control.table_control.destination_table_name IS
    'Table there. A destination belongs to one row, whatever the case of its letters.';
COMMENT ON COLUMN control.table_control.load_strategy IS 'One of known_strategies.';
COMMENT ON COLUMN control.table_control.strategy_options IS 'Settings of the strategy''s own, checked when it is claimed.';
COMMENT ON COLUMN control.table_control.load_full IS 'One-time order: read everything and overwrite. Clears itself.';
COMMENT ON COLUMN control.table_control.load_cron IS 'Five fields; NULL: one first load, then by hand.';
COMMENT ON COLUMN control.table_control.time_zone IS 'Zone of the cron and of rolling windows, for instance Europe/Berlin.';
COMMENT ON COLUMN control.table_control.primary_key_cols IS 'Key of merges, in order.';
COMMENT ON COLUMN control.table_control.incremental_column IS 'The watermark column (cursor).';
COMMENT ON COLUMN control.table_control.incremental_type IS 'timestamp, integer, or NULL: what the source''s catalog says.';
COMMENT ON COLUMN control.table_control.incremental_value IS
    'The watermark: what has been loaded up to, as the source''s own text. Setting it is an order to go on from there, '
    'clearing it one to load everything.';
COMMENT ON COLUMN control.table_control.incremental_lookback IS 'Re-read this far below the watermark: an interval or a number.';
COMMENT ON COLUMN control.table_control.watermark_delay IS
    'Keep the watermark this far below the newest row: an interval or a number, for sources that cannot prove what is complete.';
COMMENT ON COLUMN control.table_control.rolling_column IS 'The column that a rolling window is taken on.';
COMMENT ON COLUMN control.table_control.rolling_days IS 'Days of the rolling window.';
COMMENT ON COLUMN control.table_control.partition_column IS 'Column for parallel reads by ranges.';
COMMENT ON COLUMN control.table_control.num_partitions IS 'Number of those ranges.';
COMMENT ON COLUMN control.table_control.lower_bound IS 'Where they begin.';
COMMENT ON COLUMN control.table_control.upper_bound IS 'Where they end.';
COMMENT ON COLUMN control.table_control.row_limit IS 'Load at most so many rows (trial environments).';
COMMENT ON COLUMN control.table_control.schema_policy IS 'evolve, freeze or fail: what a changed schema at the source does.';
COMMENT ON COLUMN control.table_control.on_unrepresentable IS 'fail, or null: what a value does that the target type cannot hold.';
COMMENT ON COLUMN control.table_control.way_of_reading IS 'Force one way of reading (parquet, arrow, jdbc ...).';
COMMENT ON COLUMN control.table_control.allow_empty IS 'An empty source may empty the destination.';
COMMENT ON COLUMN control.table_control.max_delete_fraction IS 'The largest part of the rows that one load may take away, 0 to 1.';
COMMENT ON COLUMN control.table_control.is_delete IS 'Reserved for delete detection; must be false.';
COMMENT ON COLUMN control.table_control.delete_mode IS 'Reserved for delete detection; must be NULL.';
COMMENT ON COLUMN control.table_control.deletes_checked_at IS 'Reserved for delete detection.';
COMMENT ON COLUMN control.table_control.next_load_date_time IS 'When it is due; NULL: not by schedule.';
COMMENT ON COLUMN control.table_control.schedule_changed IS 'Cron, zone or is_active was edited: the next tick computes the due time anew.';
COMMENT ON COLUMN control.table_control.last_status IS
    'NULL -> Queued -> In Progress -> Succeeded | Failed. Failed -> NULL is a reset: due at once.';
COMMENT ON COLUMN control.table_control.last_status_date_time IS 'When last_status changed.';
COMMENT ON COLUMN control.table_control.last_status_message IS 'Why it failed, or what the load had to say.';
COMMENT ON COLUMN control.table_control.last_load_date_time IS 'End of the last load that succeeded.';
COMMENT ON COLUMN control.table_control.retry_count IS 'Failures since the last success; cancelled loads do not count.';
COMMENT ON COLUMN control.table_control.staging_model_processed IS 'Its dbt staging files have been written.';
COMMENT ON COLUMN control.table_control.last_dagster_run IS 'Link to the Dagster run of the last load; cleared when it is queued.';
COMMENT ON COLUMN control.table_control.last_databricks_run IS 'Link to the Databricks run of the last load; cleared when it is queued.';
COMMENT ON COLUMN control.table_control.run_id IS 'The orchestrator''s run that carries the current or last load.';
COMMENT ON COLUMN control.table_control.load_seq IS
    'Fencing token: raised by every claim; a commit''s version is load_seq * 2^20 + step.';
COMMENT ON COLUMN control.table_control.load_id IS 'Random id of the current or last claim.';
COMMENT ON COLUMN control.table_control.claim_holder IS 'Who holds, or held, the claim.';
COMMENT ON COLUMN control.table_control.claim_fingerprint IS 'control.fingerprint of the row when the load started.';
COMMENT ON COLUMN control.table_control.claim_closed IS
    'The last claim ended so that nothing of it can still commit; otherwise the next load fences first.';
COMMENT ON COLUMN control.table_control.claim_previous_closed IS 'claim_closed of the claim before this one.';
COMMENT ON COLUMN control.table_control.claim_writing IS 'The load may have begun to write to its destination.';
COMMENT ON COLUMN control.table_control.claim_refused IS 'The last tick failed the row because of the row itself.';
COMMENT ON COLUMN control.table_control.claim_load_full IS 'The load carries the order load_full.';
COMMENT ON COLUMN control.table_control.claim_load_full_orders IS 'load_full_orders when the load started.';
COMMENT ON COLUMN control.table_control.load_queued_at IS 'When the last claim was made.';
COMMENT ON COLUMN control.table_control.load_started_at IS 'When its load started.';
COMMENT ON COLUMN control.table_control.heartbeat_at IS 'Last sign of life of the load.';
COMMENT ON COLUMN control.table_control.progress IS 'Step, rows and bytes of the running load.';
COMMENT ON COLUMN control.table_control.committed_version IS
    'The last commit in the destination that is fully reflected in this row. Newer ones are looked at by the next load.';
COMMENT ON COLUMN control.table_control.watermark_sets IS 'How often somebody set or cleared incremental_value.';
COMMENT ON COLUMN control.table_control.load_full_orders IS 'How often load_full was ordered.';
COMMENT ON COLUMN control.table_control.disputed_version IS 'The commit over whose watermark a load was refused.';
COMMENT ON COLUMN control.table_control.disputed_sets IS 'watermark_sets at that refusal; more now is the order to go on.';
COMMENT ON COLUMN control.table_control.backfill_cursor IS 'Progress of an unfinished backfill.';
COMMENT ON COLUMN control.table_control.staging_tables IS 'Staging tables of its backfills that are still to be dropped.';
COMMENT ON COLUMN control.table_control.adopt_unowned IS 'The next load may take over a destination that belongs to nobody.';

COMMENT ON TABLE control.historical_metadata IS 'One row for each load, made when it is queued. Outlives its table''s row.';
COMMENT ON COLUMN control.historical_metadata.load_status IS 'Succeeded, Failed or Cancelled; NULL: not ended yet.';
COMMENT ON COLUMN control.historical_metadata.total_duration IS 'Seconds from start (or queueing) to end.';
COMMENT ON COLUMN control.historical_metadata.log_message IS 'What the load had to say; may name values of rows.';
COMMENT ON COLUMN control.historical_metadata.attempts IS 'Which attempt since the last success, the first is 1.';
COMMENT ON COLUMN control.historical_metadata.recovered_by IS
    'The load that found this one''s commit in the destination and took over its watermark.';
COMMENT ON COLUMN control.historical_metadata.notes IS 'Bounds, refusals avoided and the like, for people.';

COMMENT ON TABLE control.table_control_history IS 'Every change of configuration, written by a trigger, whoever makes it.';
COMMENT ON COLUMN control.table_control_history.changed_by IS 'The setting dataloader.changed_by, else the database user.';
COMMENT ON COLUMN control.table_control_history.change_source IS
    'The setting dataloader.change_source: apply, single_edit, bulk_edit, clone, promotion; status_reset; '
    'backfill_complete; adopt; sql where nothing was said.';
COMMENT ON COLUMN control.table_control_history.old_values IS 'DELETE: the whole row. UPDATE: the fields that changed.';
COMMENT ON COLUMN control.table_control_history.new_values IS 'INSERT: the configuration. UPDATE: the fields that changed.';

COMMENT ON TABLE control.source_catalog_crawl IS 'When each source''s catalog was crawled, and how that went.';
COMMENT ON TABLE control.source_catalog IS 'The last crawl: columns, keys, indexes, sizes and ranked change columns.';
COMMENT ON COLUMN control.source_catalog.change_columns IS 'Candidates for the watermark, best first, with reasons.';
COMMENT ON TABLE control.ticks IS 'Which process last looked for due tables, and when.';

-- Columns whose names nearly say it.
COMMENT ON COLUMN control.schema_version.number IS 'Number of the file.';
COMMENT ON COLUMN control.schema_version.name IS 'Name of the file, without its ending.';
COMMENT ON COLUMN control.schema_version.applied_at IS 'When it was applied.';
COMMENT ON COLUMN control.schema_version.applied_by IS 'The database user who did.';
COMMENT ON COLUMN control.known_strategies.name IS 'What table_control.load_strategy says.';
COMMENT ON COLUMN control.table_control_dbconfig.created_at IS 'When the row was made.';
COMMENT ON COLUMN control.table_control_dbconfig.create_user IS 'Who made it.';
COMMENT ON COLUMN control.table_control_dbconfig.last_modified_at IS 'When it was last changed.';
COMMENT ON COLUMN control.table_control_dbconfig.last_modified_user IS 'Who changed it.';
COMMENT ON COLUMN control.table_control.created_at IS 'When the row was made.';
COMMENT ON COLUMN control.table_control.create_user IS 'Who made it.';
COMMENT ON COLUMN control.table_control.last_modified_at IS 'When its configuration was last changed.';
COMMENT ON COLUMN control.table_control.last_modified_user IS 'Who changed it.';
COMMENT ON COLUMN control.historical_metadata.id IS 'Number of the load, in the order of queueing.';
COMMENT ON COLUMN control.historical_metadata.control_key IS 'The table, as it was called then.';
COMMENT ON COLUMN control.historical_metadata.config_id IS 'The row, as numbered then.';
COMMENT ON COLUMN control.historical_metadata.db_config_key IS 'The source.';
COMMENT ON COLUMN control.historical_metadata.run_id IS 'The orchestrator''s run.';
COMMENT ON COLUMN control.historical_metadata.load_seq IS 'Fencing token of the load.';
COMMENT ON COLUMN control.historical_metadata.load_id IS 'Random id of the load; its commits carry it.';
COMMENT ON COLUMN control.historical_metadata.load_queued_time IS 'When it was claimed.';
COMMENT ON COLUMN control.historical_metadata.load_start_time IS 'When it started; NULL: never.';
COMMENT ON COLUMN control.historical_metadata.load_end_time IS 'When it ended.';
COMMENT ON COLUMN control.historical_metadata.source_table_catalog IS 'Catalog at the source.';
COMMENT ON COLUMN control.historical_metadata.source_table_schema IS 'Schema at the source.';
COMMENT ON COLUMN control.historical_metadata.source_table_name IS 'Table at the source; NULL: a query.';
COMMENT ON COLUMN control.historical_metadata.target_table_catalog IS 'Catalog of the destination.';
COMMENT ON COLUMN control.historical_metadata.target_table_schema IS 'Schema of the destination.';
COMMENT ON COLUMN control.historical_metadata.target_table_name IS 'Table of the destination.';
COMMENT ON COLUMN control.historical_metadata.load_strategy IS 'Strategy of the load.';
COMMENT ON COLUMN control.historical_metadata.load_full IS 'It carried the order to load everything.';
COMMENT ON COLUMN control.historical_metadata.row_limit IS 'It was limited to so many rows.';
COMMENT ON COLUMN control.historical_metadata.holder IS 'Who ran it.';
COMMENT ON COLUMN control.historical_metadata.rows_processed IS 'Rows written.';
COMMENT ON COLUMN control.historical_metadata.rows_deleted IS 'Rows deleted.';
COMMENT ON COLUMN control.historical_metadata.bytes_processed IS 'Bytes written.';
COMMENT ON COLUMN control.historical_metadata.watermark_before IS 'Watermark when it started.';
COMMENT ON COLUMN control.historical_metadata.watermark_after IS 'Watermark when it had committed.';
COMMENT ON COLUMN control.historical_metadata.committed_version IS 'Version of its last commit under the row''s app id.';
COMMENT ON COLUMN control.historical_metadata.table_version IS 'Delta''s own version of that commit.';
COMMENT ON COLUMN control.historical_metadata.metrics IS 'Further figures, as JSON.';
COMMENT ON COLUMN control.table_control_history.history_id IS 'Number of the change.';
COMMENT ON COLUMN control.table_control_history.control_key IS 'The row, as it was called then.';
COMMENT ON COLUMN control.table_control_history.config_id IS 'The row; no foreign key, so that the trail outlives it.';
COMMENT ON COLUMN control.table_control_history.changed_at IS 'When.';
COMMENT ON COLUMN control.table_control_history.change_type IS 'INSERT, UPDATE or DELETE.';
COMMENT ON COLUMN control.table_control_history.changed_fields IS 'UPDATE: which columns.';
COMMENT ON COLUMN control.source_catalog_crawl.crawl_id IS 'Number of the crawl.';
COMMENT ON COLUMN control.source_catalog_crawl.db_config_key IS 'The source.';
COMMENT ON COLUMN control.source_catalog_crawl.started_at IS 'When it began.';
COMMENT ON COLUMN control.source_catalog_crawl.finished_at IS 'When it ended.';
COMMENT ON COLUMN control.source_catalog_crawl.crawl_status IS 'Succeeded or Failed; NULL: under way.';
COMMENT ON COLUMN control.source_catalog_crawl.message IS 'Why it failed.';
COMMENT ON COLUMN control.source_catalog_crawl.tables_found IS 'How many tables it found.';
COMMENT ON COLUMN control.source_catalog.db_config_key IS 'The source.';
COMMENT ON COLUMN control.source_catalog.source_table_catalog IS 'Catalog; '''' where the source has one only.';
COMMENT ON COLUMN control.source_catalog.source_table_schema IS 'Schema.';
COMMENT ON COLUMN control.source_catalog.source_table_name IS 'Table or view.';
COMMENT ON COLUMN control.source_catalog.crawl_id IS 'The crawl that saw it last.';
COMMENT ON COLUMN control.source_catalog.table_kind IS 'table, view, materialized view ...';
COMMENT ON COLUMN control.source_catalog.table_comment IS 'The source''s own comment.';
COMMENT ON COLUMN control.source_catalog.columns IS 'Columns with their types, as JSON.';
COMMENT ON COLUMN control.source_catalog.primary_key_cols IS 'Primary key.';
COMMENT ON COLUMN control.source_catalog.unique_keys IS 'Unique keys without NULLs.';
COMMENT ON COLUMN control.source_catalog.indexes IS 'Indexes.';
COMMENT ON COLUMN control.source_catalog.row_estimate IS 'The catalog''s estimate of the rows.';
COMMENT ON COLUMN control.source_catalog.size_bytes IS 'The catalog''s estimate of the size.';
COMMENT ON COLUMN control.source_catalog.proposal IS 'How it could be loaded, with reasons.';
COMMENT ON COLUMN control.ticks.host IS 'Host of the process.';
COMMENT ON COLUMN control.ticks.pid IS 'Its process id.';
COMMENT ON COLUMN control.ticks.kind IS 'dagster, worker or hand.';
COMMENT ON COLUMN control.ticks.ticked_at IS 'Its last look.';
COMMENT ON COLUMN control.ticks.claimed IS 'Tables that it claimed then.';

INSERT INTO control.schema_version (number, name) VALUES (2, '002_comments') ON CONFLICT DO NOTHING;
