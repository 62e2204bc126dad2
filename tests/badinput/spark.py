"""Bad input where Spark loads, item by item: the same kind of map as that of this package.

Tables that Spark's own SQL made, processes that are really killed. Refusals of Unity Catalog are told from the texts
that Databricks documents: there is none here to ask.

no Java
    ../engines/spark/test_spark_without_java.py::test_a_jvm_that_is_missing_is_named_with_its_cure
    ../engines/spark/test_spark_without_java.py::test_the_doctor_says_what_is_there_and_what_is_missing
no Java that comes up
    ../engines/spark/test_drivers.py::test_a_java_that_does_not_come_up_is_told_as_why
no jar of Delta
    ../engines/spark/test_spark_without_java.py::test_jars_that_do_not_fit_are_named
    ../engines/spark/test_drivers.py::test_a_java_that_does_not_come_up_is_told_as_why
    ../engines/spark/test_drivers.py::test_a_jar_that_cannot_be_fetched_is_one_sentence
no JDBC driver
    ../engines/spark/test_drivers.py::test_a_folder_of_jars_brings_the_driver
    ../engines/spark/test_drivers.py::test_on_databricks_nothing_is_brought
    ../engines/spark/test_reading_failures.py::test_a_driver_that_is_not_there_is_named_with_its_coordinates
JDBC by Spark Connect, whose server writes down the password
    ../engines/spark/test_reading_connect.py::test_a_read_by_jdbc_is_refused_before_its_password_is_sent
no package of ours on the executors
    ../engines/spark/test_reading_failures.py::test_a_python_without_the_package_is_told_as_that
wrong versions: Java
    ../engines/spark/test_spark_without_java.py::test_an_old_java_is_refused
wrong versions: PySpark
    ../engines/spark/test_spark_without_java.py::test_a_pyspark_without_delta_is_refused
wrong versions: Delta, Scala
    ../engines/spark/test_spark_without_java.py::test_jars_that_do_not_fit_are_named
    ../engines/spark/test_spark_without_java.py::test_what_spark_says_is_told_as_our_errors_without_a_value
Spark without Delta
    ../engines/spark/test_spark_without_java.py::test_a_session_without_delta_is_refused
a session of another time zone
    ../engines/spark/test_spark_engine.py::test_a_session_of_another_time_zone_is_refused
no grant on catalog, schema, table
    ../engines/spark/test_spark_without_java.py::test_what_spark_says_is_told_as_our_errors_without_a_value
a schema that is missing
    ../engines/spark/test_spark_engine.py::test_a_schema_that_is_missing_is_named
no place for rows to wait, or credentials in it
    ../engines/spark/test_spark_without_java.py::test_a_catalogs_rows_need_a_place_to_wait
    ../engines/spark/test_spark_without_java.py::test_credentials_in_an_address_are_refused_and_not_shown
a table there that is not Delta, or is a view
    ../engines/spark/test_spark_engine.py::test_what_is_no_delta_table_is_refused
column mapping
    ../engines/spark/test_spark_strange_tables.py::test_a_table_with_column_mapping_is_loaded_and_keeps_it
deletion vectors
    ../engines/spark/test_spark_strange_tables.py::test_rows_that_a_deletion_vector_hides_never_come_back
    ../conformance/test_vectors.py::test_the_local_engine_refuses_by_name_while_there_are_vectors
    ../conformance/test_vectors.py::test_after_the_cure_it_writes_and_no_deleted_row_is_back
clustering
    ../engines/spark/test_spark_strange_tables.py::test_a_clustered_table_is_changed_and_stays_clustered
    ../engines/spark/test_spark_engine.py::test_tuning_sets_what_nobody_chose_and_leaves_the_rest
    ../engines/spark/test_spark_layout.py::test_an_overwrite_of_all_rows_keeps_clustering_in_its_own_commit
    ../engines/spark/test_spark_layout.py::test_clustering_survives_a_death_behind_an_overwrite_that_takes_the_schema_whole
    ../engines/spark/test_spark_layout.py::test_clustering_by_a_column_that_is_none_to_cluster_by_any_more_ends_with_a_note
keys that Delta cannot cluster by
    ../engines/spark/test_spark_layout.py::test_tuning_clusters_by_no_key_that_delta_cannot_skip_by
    ../engines/spark/test_spark_layout.py::test_tuning_clusters_by_no_key_without_statistics
tables for readers without deletion vectors
    ../engines/spark/test_spark_layout.py::test_tuning_sets_no_deletion_vectors_where_other_readers_could_not_read_them
    ../engines/spark/test_spark_layout.py::test_what_a_table_refuses_all_the_same_is_a_note_of_the_load
column defaults
    ../engines/spark/test_spark_layout.py::test_an_overwrite_keeps_column_defaults
a column named as Spark's own of files, a comment like a variable, a key on a day that Java's calendar lacks
    ../engines/spark/test_spark_keys.py::test_a_column_that_is_called_as_sparks_own_of_files_is_one_like_any_other
    ../engines/spark/test_spark_keys.py::test_a_comment_that_looks_like_a_variable_stays_as_it_is
    ../engines/spark/test_spark_keys.py::test_a_key_on_one_of_the_days_that_javas_calendar_lacks_is_neither_doubled_nor_lost
a table named like a pattern
    ../engines/spark/test_spark_layout.py::test_the_log_of_a_table_whose_name_looks_like_a_pattern_is_read
generated columns of an old protocol, or of one that has none
    ../engines/spark/test_spark_layout.py::test_an_overwrite_loses_no_generated_column_of_an_old_protocol
    ../engines/spark/test_spark_layout.py::test_a_protocol_that_could_have_generated_columns_and_has_none_is_no_obstacle
a key that was renamed in the table
    ../engines/spark/test_spark_strange_tables.py::test_a_key_that_was_renamed_in_the_table_is_refused_by_both_its_names
partitions
    ../engines/spark/test_spark_engine.py::test_a_partitioned_table_keeps_its_partitions_or_its_schema_change_is_refused
    ../engines/spark/test_spark_layout.py::test_a_cluster_that_overwrites_only_partitions_that_are_written_loses_none
generated and identity columns, NOT NULL, append-only, transactions that are forgotten
    ../engines/spark/test_spark_strange_tables.py::test_what_would_lose_something_in_silence_is_refused_by_name
    ../engines/spark/test_spark_without_java.py::test_what_would_lose_something_in_silence_is_named
    ../engines/spark/test_spark_without_java.py::test_columns_that_get_their_own_values_are_refused_by_name
a check constraint
    ../engines/spark/test_spark_strange_tables.py::test_a_check_constraint_is_refused_by_its_name
somebody else's writer
    ../engines/spark/test_spark_strange_tables.py::test_somebody_elses_writer_while_metadata_is_settled_loses_no_row
    ../engines/spark/test_spark_strange_tables.py::test_somebody_elses_writer_between_look_and_commit_loses_no_row
    ../engines/spark/test_spark_strange_tables.py::test_somebody_elses_writer_between_two_loads_is_no_obstacle
    ../engines/spark/test_spark_strange_tables.py::test_somebody_elses_writer_in_the_moment_before_an_overwrite_is_told
two that create at once
    ../engines/spark/test_spark_engine.py::test_of_two_that_create_at_once_one_is_told
a stale load, skipped in silence
    ../engines/spark/test_spark_engine.py::test_a_stale_commit_that_delta_skips_in_silence_is_noticed
the other engine's table on S3
    ../conformance/test_s3.py::test_the_second_engine_refuses_by_name_until_the_mark_is_changed
    ../engines/spark/test_spark_without_java.py::test_on_s3_the_other_engines_table_is_refused_by_name
    ../conformance/test_s3.py::test_a_table_that_spark_takes_over_gets_its_mark
    ../conformance/test_s3.py::test_a_table_whose_catalog_alone_knows_that_it_lies_on_s3_gets_its_mark
credentials in the configuration, a working folder that is not ours
    ../engines/spark/test_spark_starting.py::test_no_command_line_shows_a_storage_key_that_the_session_knows
    ../engines/spark/test_spark_starting.py::test_a_jvm_that_the_engine_starts_leaves_nothing_in_the_working_folder
a log that was cleaned up
    ../engines/spark/test_spark_engine.py::test_where_the_log_was_cleaned_up_checkpoints_still_know_the_last_commit
a load cancelled while it reads
    ../engines/spark/test_reading_failures.py::test_a_cancelled_load_ends_its_job_and_the_sessions_at_the_source
    ../engines/spark/test_reading_connect.py::test_a_cancelled_load_ends_its_job
a load cancelled at every stage
    ../engines/spark/test_spark_deaths.py::test_a_load_cancelled_at_any_stage_leaves_nothing_behind
    ../engines/spark/test_spark_deaths.py::test_a_load_cancelled_between_reading_and_commit_leaves_nothing_behind
a task killed by memory: a Python worker
    ../engines/spark/test_spark_deaths.py::test_a_python_worker_that_is_killed_is_named
a task killed by memory: the JVM, or killed from outside
    ../engines/spark/test_spark_lost.py::test_a_java_that_dies_is_named_and_the_process_loads_on
    ../engines/spark/test_spark_without_java.py::test_what_spark_says_is_told_as_our_errors_without_a_value
a load that was killed
    ../conformance/test_kills.py::test_what_one_engine_leaves_behind_the_other_goes_on_from
    ../conformance/test_kills.py::test_whichever_engine_dies_the_other_goes_on_by_every_strategy
    ../conformance/test_kills.py::test_a_backfill_that_one_engine_began_the_other_ends
    ../engines/spark/test_spark_without_java.py::test_a_crashed_loads_rows_go_after_a_day_and_a_living_ones_stay
a source that goes away, refuses, takes too long
    ../engines/spark/test_reading_failures.py::test_a_connection_that_ends_in_mid_stream_fails_the_read
    ../engines/spark/test_reading_failures.py::test_what_the_server_refuses_is_told_without_the_value
    ../engines/spark/test_reading_failures.py::test_a_statement_that_takes_too_long_is_told_as_that
a value that no type holds
    ../engines/spark/test_reading_failures.py::test_jdbc_never_passes_such_a_value_on
    ../engines/spark/test_reading_failures.py::test_jdbc_never_passes_such_a_value_on_without_ansi_mode_either
clock skew: commits that lie in the future, a log whose times go backwards
    ../engines/spark/test_spark_strange_tables.py::test_a_log_whose_times_are_wrong_is_looked_at_by_versions
"""
