"""Bad input, item by item: where each is held, from claim to outcome.

``test_map.py`` reads this page, and ``databricks.py`` and ``spark.py`` beside it, and checks that every test named
there exists. Tests elsewhere hold what does not need a whole load; those of this folder see the exit code, the message,
and that nothing is lost.

unknown strategy
    test_control.py::test_an_unknown_strategy_or_source_is_refused_in_a_file_with_the_known_ones
    test_control.py::test_a_strategy_of_a_plugin_that_is_gone_fails_its_table_alone
unknown source
    ../cli/test_setup_commands.py::test_an_unknown_source_is_named_with_the_known_ones
unknown column or key
    test_sources.py::test_an_unknown_column_is_named_with_the_known_ones
unknown secret
    test_sources.py::test_a_secret_that_is_not_there_is_named
unreachable host
    test_sources.py::test_an_unreachable_host_is_a_passing_fault
wrong password
    test_sources.py::test_a_wrong_password_is_told_and_not_shown
no permission
    test_sources.py::test_without_permission_the_grant_is_named
a table dropped or renamed while configured
    test_sources.py::test_a_table_that_went_away_after_it_was_configured_is_named
a table renamed while being read
    test_sources.py::test_a_table_that_is_renamed_while_it_is_being_loaded_loses_nothing
a table dropped while being read
    ../sources/postgresql/test_snapshot.py::test_a_table_that_is_read_cannot_be_dropped_meanwhile
a table emptied while being read
    ../sources/postgresql/test_snapshot.py::test_a_table_truncated_after_the_snapshot_is_no_empty_table
an empty source
    test_rows.py::test_an_empty_source_empties_nothing_unless_that_is_allowed
most rows gone
    test_rows.py::test_a_source_that_lost_most_of_its_rows_is_refused_with_the_counts
zero rows
    test_rows.py::test_a_table_of_zero_rows_is_a_table_of_zero_rows
    test_rows.py::test_a_backfill_of_zero_rows_becomes_what_it_is_to_become
keys NULL or doubled
    test_rows.py::test_keys_that_are_null_or_doubled_fail_by_column
keys in messages
    ../cli/test_load_commands.py::test_values_of_rows_stay_in_the_control_database
a nullable watermark
    test_watermarks.py::test_a_watermark_that_can_be_null_is_reported_and_its_rows_come_with_the_full_load
ties of a date
    test_watermarks.py::test_ties_of_a_date_are_neither_lost_nor_doubled
a watermark that goes backwards
    test_watermarks.py::test_a_column_that_goes_backwards_never_takes_the_watermark_along
a watermark that is text
    test_watermarks.py::test_a_text_is_no_watermark
a source that dies
    test_sources.py::test_a_source_that_dies_in_mid_stream_is_a_passing_fault_and_loses_nothing
NaN, infinity, BC, 10000
    test_rows.py::test_a_value_that_delta_cannot_hold_fails_by_column_and_kind_or_becomes_null
bytes that are no UTF-8
    test_rows.py::test_bytes_that_are_no_utf8_fail_by_column
100 MB
    test_rows.py::test_a_value_of_100_megabytes_arrives_or_names_the_memory_that_it_takes
1,500 columns
    test_rows.py::test_fifteen_hundred_columns_arrive_and_are_merged
columns called like our own
    test_rows.py::test_a_column_that_a_merge_needs_for_itself_is_refused_by_name
    test_rows.py::test_columns_called_like_parts_of_our_own_statements_are_merged
no columns
    test_rows.py::test_a_table_without_columns_is_refused_by_name
no Delta table
    test_destinations.py::test_a_folder_that_is_no_delta_table_is_left_as_it_is
another schema
    test_destinations.py::test_a_table_with_another_schema_is_refused_by_column
deleted
    test_destinations.py::test_a_table_that_was_deleted_is_refused_and_not_begun_in_the_middle
dropped and made again
    test_destinations.py::test_a_table_that_was_dropped_and_made_again_is_refused
    test_destinations.py::test_a_table_of_this_row_that_was_made_again_empty_is_refused
restored
    test_destinations.py::test_a_table_that_was_restored_to_an_older_version_is_refused
of another row
    test_destinations.py::test_a_table_of_another_control_row_is_refused_naming_it
    test_destinations.py::test_two_rows_cannot_have_one_destination
of nobody
    test_destinations.py::test_a_table_with_rows_of_nobody_is_refused_with_both_cures
files taken away
    test_destinations.py::test_files_that_somebody_took_away_are_named_and_nothing_is_written
a watermark of garbage
    test_watermarks.py::test_a_watermark_of_garbage_is_refused_before_it_reaches_the_source
a watermark of another column
    test_watermarks.py::test_a_watermark_of_another_column_is_refused_where_its_type_differs
    ../control/test_rules.py::test_what_a_watermark_depends_on_changes_only_together_with_it
a secret that may not be used
    test_sources.py::test_a_secret_that_the_source_may_not_use_is_refused_though_it_exists
    test_sources.py::test_a_folder_of_secrets_that_is_not_listed_is_refused
the plan of a query
    test_control.py::test_the_plan_of_a_query_says_that_it_is_one
two statements, a change
    test_control.py::test_a_query_of_two_statements_or_one_that_changes_data_never_reaches_the_source
a function that writes
    test_control.py::test_a_function_that_writes_is_stopped_by_the_read_only_transaction
no write permission
    test_destinations.py::test_a_folder_without_write_permission_is_named
a lake turned read-only
    test_destinations.py::test_a_lake_that_turned_read_only_is_named
a full disk
    test_destinations.py::test_a_full_disk_is_a_passing_fault_and_loses_nothing
malformed YAML
    ../cli/test_tables_file.py::test_malformed_yaml_is_explained
    ../cli/test_setup_commands.py::test_one_wrong_entry_keeps_all_out
two inits at once
    ../cli/test_setup_commands.py::test_two_inits_at_once_both_succeed
two applies at once
    ../cli/test_setup_commands.py::test_two_applies_at_once_end_as_if_one_came_after_the_other
no control database, in a load
    test_control.py::test_a_control_database_that_goes_away_in_the_middle_of_a_load_loses_nothing
no control database, before a load
    test_control.py::test_without_its_control_database_nothing_is_loaded_and_the_exit_code_says_so
no control database, a resume
    test_control.py::test_a_backfill_whose_control_database_fails_as_it_resumes_goes_on_where_it_was
clocks that jump back
    test_watermarks.py::test_a_watermark_in_the_future_is_reported_and_costs_no_row_for_ever
clocks that jump ahead
    test_watermarks.py::test_a_row_dated_2087_takes_the_watermark_nowhere
clocks that change
    ../control/test_schedule.py::test_a_daily_load_comes_once_a_day_whatever_the_clocks_do
    ../sources/postgresql/test_postgresql_cap.py::test_in_a_repeated_hour_the_cap_waits_at_its_beginning
"""
