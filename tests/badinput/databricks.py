"""Bad input where runs happen on Databricks, item by item: the same kind of map as that of this package.

The workspace is the stand-in of ``tests/databricks/workspace``, whose README says what it does not show.
Refusals that Spark itself gets from Unity Catalog are on the page of Spark.

a workspace that is unreachable
    ../databricks/test_launcher.py::test_an_unreachable_workspace_is_told
    ../databricks/test_launcher.py::test_a_workspace_that_stays_silent_is_an_error_that_says_the_run_may_go_on
    ../databricks/test_ends.py::test_an_orphan_in_a_workspace_that_fails_is_cancelled_when_it_answers
    ../control/test_lakebase.py::test_an_unreachable_workspace_is_told_in_time
    ../secrets/test_databricks_scope.py::test_an_unreachable_workspace_is_told_in_time
    ../engines/unity_catalog/test_local_unity_catalog_refusals.py::test_a_workspace_that_is_away_is_named
a login that is never answered
    ../databricks/test_login.py::test_a_login_that_is_not_answered_is_given_up
    ../databricks/test_login.py::test_a_login_whose_connection_is_dead_does_not_stop_later_ones
whoever issues tokens throttles, fails, or is away
    ../databricks/test_login.py::test_whoever_issues_tokens_and_throttles_or_fails_is_no_missing_login
    ../databricks/test_told.py::test_a_token_that_cannot_be_renewed_for_a_while_costs_no_run
    ../databricks/test_told.py::test_a_token_that_is_not_renewed_any_more_ends_the_watch_and_says_why
    ../secrets/test_key_vault.py::test_an_identity_provider_that_throttles_or_fails_is_no_missing_login
    ../secrets/test_key_vault.py::test_an_identity_provider_that_is_away_is_no_missing_login
a workspace or a cloud that has no room
    ../databricks/test_told.py::test_a_workspace_that_is_full_refuses_a_run_for_now
    ../databricks/test_told.py::test_a_run_that_found_no_room_may_find_it_later
no login at all
    ../databricks/test_launcher.py::test_without_a_login_the_variables_are_named
    ../control/test_lakebase.py::test_without_a_workspace_the_cure_names_the_variables
a workspace that answers 403: cluster, job, volume
    ../databricks/test_launcher.py::test_what_the_workspace_refuses_is_told_with_the_setting_to_look_at
a workspace that answers 403: Lakebase
    ../control/test_lakebase.py::test_what_the_workspace_refuses_is_told_with_the_cure
a workspace that answers 403: a secret scope
    ../secrets/test_databricks_scope.py::test_a_scope_that_may_not_be_read_names_the_grant
a workspace that throttles or fails
    ../databricks/test_launcher.py::test_throttling_that_does_not_end_is_told
    ../databricks/test_launcher.py::test_what_the_workspace_cannot_answer_now_is_asked_again
    ../databricks/test_launcher.py::test_a_workspace_that_is_silent_for_a_while_is_waited_for
    ../engines/unity_catalog/test_local_unity_catalog_refusals.py::test_trouble_of_the_workspace_is_transient
    ../control/test_lakebase.py::test_a_workspace_that_throttles_for_a_moment_is_waited_for
    ../secrets/test_databricks_scope.py::test_each_answer_of_the_workspace_is_told
a token that has expired, or expires
    ../databricks/test_launcher.py::test_what_the_workspace_refuses_is_told_with_the_setting_to_look_at
    ../databricks/test_launcher.py::test_a_token_that_expires_in_mid_run_is_renewed
    ../engines/unity_catalog/test_local_unity_catalog_refusals.py::test_a_token_that_expired_is_named_and_its_successor_is_used
    ../control/test_lakebase.py::test_an_expired_token_of_the_workspace_is_an_error_of_its_own
    ../control/test_lakebase.py::test_a_token_that_has_ended_is_replaced_for_the_next_connection
    ../control/test_lakebase.py::test_a_login_that_is_refused_for_a_moment_does_not_lose_what_a_load_has_to_say
no grant on the catalog, the schema
    ../engines/unity_catalog/test_local_unity_catalog_refusals.py::test_a_missing_grant_is_named_and_no_row_is_written_before_it_is_there
    ../engines/unity_catalog/test_local_unity_catalog_refusals.py::test_a_schema_that_is_not_there_is_named
no grant on the table
    ../engines/unity_catalog/test_local_unity_catalog_refusals.py::test_without_the_right_to_see_the_table_nothing_is_written
    ../engines/unity_catalog/test_local_unity_catalog_refusals.py::test_without_the_right_to_change_the_entry_the_load_succeeds_and_says_so
no grant on the volume, or no volume
    ../databricks/test_launcher.py::test_what_the_workspace_refuses_is_told_with_the_setting_to_look_at
    ../databricks/test_launcher.py::test_a_volume_that_is_closed_in_mid_run_costs_no_outcome
a run cancelled at every stage
    ../databricks/test_ends.py::test_cancelling_between_the_request_for_a_run_and_its_answer
    ../databricks/test_ends.py::test_cancelling_a_run_that_waits_for_its_cluster
    ../databricks/test_ends.py::test_cancelling_a_run_before_its_first_table
    ../databricks/test_ends.py::test_cancelling_a_run_in_the_middle_of_a_load
    ../databricks/test_ends.py::test_cancelling_a_run_whose_loads_are_done
a run that cannot be cancelled now
    ../databricks/test_ends.py::test_a_run_that_cannot_be_cancelled_now_is_cancelled_by_a_tick
    ../databricks/test_ends.py::test_a_run_that_is_found_and_cannot_be_cancelled_now_is_cancelled_by_a_tick
    ../dagster/test_instances.py::test_a_run_that_cannot_be_ended_is_told_once_and_tried_again
a run that was asked to end and goes on
    ../databricks/test_told.py::test_a_run_that_was_asked_to_end_and_goes_on_is_not_told_to_have_ended
a task killed by memory, a timeout, a lost cluster, people
    ../databricks/test_ends.py::test_a_run_that_the_workspace_ends_is_red_and_keeps_what_it_reported
    ../databricks/test_ends.py::test_what_a_run_did_and_could_not_say_is_found_in_the_control_database
a message too large
    ../databricks/test_launcher.py::test_a_chunk_that_is_too_large_is_left_out_and_the_next_is_read
    ../dagster/test_messages.py::test_an_outcome_that_is_too_large_is_shortened_and_keeps_its_numbers
an order or a message that somebody else wrote
    ../databricks/test_places.py::test_who_writes_into_the_volume_sets_nothing_in_the_loads_process
    ../databricks/test_launcher.py::test_a_task_cannot_say_which_run_was_launched
a secret scope that does not exist
    ../secrets/test_databricks_scope.py::test_a_missing_scope_and_a_missing_key_are_told_apart
a vault that does not exist
    ../secrets/test_key_vault.py::test_a_vault_that_does_not_exist_is_told_from_one_that_is_away
a library that is none
    ../databricks/test_settings.py::test_what_is_no_library_is_refused_by_name
a certificate that nobody vouches for
    ../control/test_lakebase.py::test_the_servers_certificate_is_checked_without_being_told
a clock that is wrong: the workspace's
    ../control/test_lakebase.py::test_a_workspace_whose_clock_differs_renews_as_often
a clock that is wrong: this computer's
    ../databricks/test_login.py::test_a_computer_whose_clock_is_wrong_logs_in_as_often
"""
