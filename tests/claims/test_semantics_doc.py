"""Each named sentence of docs/semantics.md is shown by tests, and each of these exists."""

from __future__ import annotations

import pytest

import shown_by

SHOWN_BY: shown_by.ShownBy = {
    "C1": ["claims/test_record.py::test_the_names_of_locks"],
    "C2": [
        "claims/test_race.py::test_of_sixteen_processes_one_wins_each_input",
        "storage/test_behaviour.py::test_of_many_threads_that_create_one_file_one_wins",
        "claims/test_claim.py::test_who_loses_the_race_for_the_next_attempt_is_busy",
    ],
    "C3": [
        "claims/test_claim.py::test_a_lock_that_was_seen_unchanged_for_a_ttl_is_taken_over",
        "claims/test_claim.py::test_an_old_lock_is_not_stale_before_it_was_watched",
        (
            "claims/test_survey.py::"
            "test_time_is_counted_from_the_end_of_the_first_look_to_the_beginning_of_the_last"
        ),
    ],
    "C4": [
        "claims/test_claim.py::test_a_holder_that_beats_is_never_taken_over_from",
        "claims/test_steps.py::test_a_rival_before_each_file_operation",
    ],
    "C5": [
        "claims/test_claim.py::test_the_longer_ttl_counts",
        "claims/test_survey.py::test_no_record_can_ask_for_more_than_a_day",
    ],
    "C6": [
        "claims/test_claim.py::test_a_foreign_or_damaged_lock_is_taken_over_like_any_other",
        "claims/test_record.py::test_whatever_the_bytes_nothing_is_raised",
    ],
    "C7": [
        "storage/test_behaviour.py::test_overwriting_never_brings_a_removed_file_back",
        "storage/test_behaviour.py::test_overwriting_leaves_the_file_of_another_alone",
        (
            "storage/test_posix.py::"
            "test_a_lock_that_is_replaced_while_it_is_overwritten_stays_the_others"
        ),
        "claims/test_claim.py::test_a_removed_lock_is_a_lost_claim_and_stays_removed",
    ],
    "C8": [
        "claims/test_claim.py::test_a_beat_that_fails_is_no_loss_yet",
        "claims/test_claim.py::test_a_beat_that_was_written_though_it_failed_is_ours",
        "claims/test_claim.py::test_a_beat_of_which_a_part_was_written_is_ours",
        "claims/test_record.py::test_a_beat_that_was_written_in_part_still_tells_whose_claim_it_is",
    ],
    "C9": [
        "claims/test_claim.py::test_a_removed_lock_is_a_lost_claim_and_stays_removed",
        "claims/test_claim.py::test_a_replaced_lock_is_a_lost_claim_and_stays_the_others",
        "claims/test_claim.py::test_a_higher_attempt_ends_the_claim",
        "claims/test_claim.py::test_a_silent_claim_beats_no_more",
        "claims/test_claim.py::test_a_claim_whose_beats_keep_failing_is_lost_and_says_why",
    ],
    "C10": ["claims/test_claim.py::test_a_claim_worries_before_it_is_lost"],
    "C11": [
        "claims/test_claim.py::test_a_claim_stands_on_the_locks_below_it",
        "claims/test_claim.py::test_another_claim_below_ends_the_one_above",
    ],
    "C12": [
        "claims/test_claim.py::test_who_finds_a_higher_attempt_steps_back",
        "worker/test_requests.py::test_who_has_seen_a_lock_looks_for_locks",
    ],
    "C13": [
        "claims/test_claim.py::test_taking_over_closes_the_areas_of_all_earlier_attempts",
        "claims/test_steps.py::test_a_rival_before_each_file_operation",
    ],
    "C14": [
        "claims/test_claim.py::test_tries_count_those_at_the_same_job",
        "claims/test_steps.py::test_a_job_that_kills_its_workers_ends_as_a_failure",
    ],
    "C15": [
        "claims/test_claim.py::test_giving_back_lets_others_begin_at_once",
        "claims/test_claim.py::test_giving_back_keeps_the_count_of_the_dead",
    ],
    "C16": [
        "claims/test_claim.py::test_releasing_leaves_nothing",
        (
            "claims/test_claim.py::"
            "test_releasing_a_later_attempt_removes_the_earlier_ones_and_their_areas"
        ),
        "claims/test_claim.py::test_the_own_lock_is_removed_last",
    ],
    "C17": [
        "claims/test_claim.py::test_after_a_pause_nobody_removes_a_lock",
        "claims/test_claim.py::test_a_pause_in_the_middle_of_a_release_ends_it",
    ],
    "C18": [
        "claims/test_survey.py::test_the_locks_of_a_finished_job_are_swept_the_lowest_first",
        "claims/test_survey.py::test_the_locks_of_an_unfinished_job_stay_for_its_next_attempt",
        "claims/test_survey.py::test_nothing_is_swept_before_a_ttl",
        "claims/test_survey.py::test_the_locks_of_an_input_that_is_gone_are_swept",
        "claims/test_survey.py::test_a_living_holder_keeps_the_locks_below",
        "claims/test_survey.py::test_a_lock_without_the_one_below_is_swept",
    ],
    "C19": [
        (
            "claims/test_survey.py::"
            "test_hidden_leftovers_are_swept_after_a_ttl_unless_their_input_is_claimed"
        )
    ],
    "P1": [
        "storage/test_posix.py::test_a_result_is_on_the_disk_before_it_has_its_name",
        "storage/test_behaviour.py::test_publishing_gives_the_name_to_what_was_staged",
    ],
    "P2": [
        "storage/test_behaviour.py::test_publishing_exclusively_leaves_what_is_there",
        "claims/test_steps.py::test_a_foreign_result_is_never_overwritten",
    ],
    "P3": [
        "storage/test_behaviour.py::test_publishing_over_an_expected_version_replaces_it",
        "storage/test_behaviour.py::test_publishing_over_another_version_changes_nothing",
    ],
    "P4": ["claims/test_steps.py::test_the_order_of_publishing"],
    "P5": [
        "storage/test_behaviour.py::test_a_fenced_attempt_publishes_nothing_that_it_has_staged",
        "storage/test_behaviour.py::test_fencing_closes_areas_of_which_nobody_knows_the_token",
        "storage/test_posix.py::test_a_file_that_is_added_while_its_area_is_closed_is_removed_too",
    ],
    "P6": [
        "storage/test_behaviour.py::test_a_fenced_attempt_cannot_begin_to_stage",
        "storage/test_behaviour.py::test_discarding_after_a_fence_leaves_the_area_closed",
    ],
    "P7": [
        "storage/test_posix.py::test_a_creation_whose_answer_was_lost_is_still_ours",
        "storage/test_posix.py::test_a_publication_whose_answer_was_lost_is_still_ours",
    ],
    "P8": [
        "claims/test_steps.py::test_a_rival_before_each_file_operation",
        "claims/test_steps.py::test_a_rival_before_every_system_call",
        "claims/test_steps.py::test_a_rival_before_each_operation_of_the_contract",
        "claims/test_model.py::test_any_play_in_memory",
        "claims/test_model.py::test_any_play_on_a_real_folder",
        "claims/test_seeded_faults.py::test_a_broken_rule_is_noticed",
    ],
    "P9": ["claims/test_steps.py::test_a_rival_while_the_machine_is_suspended"],
    "P10": ["claims/test_steps.py::test_a_worker_that_sees_no_newer_locks_does_no_harm"],
    "P11": ["claims/test_steps.py::test_a_death_before_each_file_operation"],
    "F1": [
        "storage/test_root.py::test_an_unmounted_folder_is_not_an_empty_one",
        "storage/test_root.py::test_a_folder_that_is_gone_is_unmounted",
        "storage/test_root.py::test_a_dead_mount_is_unmounted",
        "storage/test_root.py::test_a_mount_that_is_swapped_while_it_is_listed",
    ],
    "F2": [
        "storage/test_root.py::test_the_same_mount_that_comes_back_is_the_folder",
        "storage/test_root.py::test_a_mount_that_comes_after_the_start_is_the_folder",
        "storage/test_root.py::test_another_mount_in_its_place_is_not_the_folder",
        "storage/test_root.py::test_a_folder_that_is_removed_and_made_again_is_empty",
    ],
    "F3": [
        "storage/test_posix.py::test_a_directory_that_cannot_be_listed_is_told",
        "storage/test_posix.py::test_a_root_that_cannot_be_listed_is_an_error",
    ],
    "F4": [
        "storage/test_posix.py::test_links_to_files_in_the_folder_are_followed_and_others_are_told"
    ],
    "F5": ["storage/test_behaviour.py::test_whatever_lies_in_a_name_it_is_only_a_name"],
    "F6": [
        "storage/test_posix.py::test_a_fifo_blocks_nobody",
        "storage/test_posix.py::test_a_file_that_becomes_a_fifo_blocks_nobody",
        "storage/test_behaviour.py::test_what_is_no_regular_file_is_not_read",
    ],
    "F7": [
        "storage/test_behaviour.py::test_fetch_notices_a_replacement_under_way",
        "storage/test_s3.py::test_what_was_whole_before_its_video_went_is_that_version",
        "storage/test_posix.py::test_an_input_that_grows_while_it_is_copied",
        "storage/test_posix.py::test_an_input_of_which_less_can_be_read_than_it_has",
    ],
    "F8": [
        "storage/test_posix.py::test_whatever_fails_is_an_error_of_ours_and_the_next_life_is_whole",
        "storage/test_tables.py::test_every_error_number_has_a_meaning",
    ],
    "F9": ["storage/test_behaviour.py::test_trouble_with_the_local_file_is_not_the_folders"],
    "F10": [
        "storage/test_tables.py::test_the_probe_refuses_a_storage_that_breaks_a_promise",
        "storage/test_tables.py::test_the_probe_names_a_mount_without_links",
        "storage/test_behaviour.py::test_every_storage_of_ours_can_be_shared",
    ],
    "N1": [
        "storage/test_posix.py::test_a_version_is_asked_for_by_opening_the_file",
        "storage/test_posix.py::test_a_file_that_may_not_be_opened_has_a_version_too",
    ],
    "N2": ["storage/test_posix.py::test_nothing_is_missing_before_its_directory_was_opened"],
    "N3": [
        "storage/test_posix.py::test_closing_an_area_removes_its_files",
        "storage/test_posix.py::test_what_a_server_says_about_a_closed_area",
    ],
    "N4": ["storage/test_posix.py::test_a_file_that_nfs_will_not_remove_cannot_be_published"],
    "N5": ["storage/test_tables.py::test_the_probe_refuses_a_mount_that_remembers_too_much"],
    "S1": [
        "storage/test_s3_probe.py::test_a_good_bucket_is_left_as_it_was",
        "storage/test_s3_probe.py::test_a_bucket_that_breaks_a_promise_is_unsafe",
        "storage/test_s3_probe.py::test_a_server_that_ignores_the_condition_is_found_out",
        "storage/test_s3_probe.py::test_real_servers_can_be_shared",
    ],
    "S2": [
        "storage/test_s3.py::test_a_write_that_seems_to_have_failed_is_done_once",
        "storage/test_s3.py::test_who_is_second_after_an_answer_was_lost_has_lost",
        "storage/test_s3.py::test_equal_content_is_not_taken_for_ones_own",
    ],
    "S3": [
        "storage/test_s3.py::test_a_first_try_that_is_only_late_harms_nobody",
        "claims/test_model.py::test_any_play_in_a_bucket",
    ],
    "S4": [
        "storage/test_s3.py::test_a_receipt_that_is_on_its_way_is_never_committed_after_a_take_over",
        "claims/test_seeded_faults.py::test_a_broken_rule_is_noticed",
    ],
    "S5": ["storage/test_s3.py::test_a_stamp_keeps_the_receipt_that_stands"],
    "S6": ["storage/test_s3.py::test_two_videos_with_one_receipt_do_not_fence_each_other"],
    "S7": [
        "storage/test_s3.py::test_a_scan_costs_one_request_for_each_page",
        "storage/test_s3.py::test_what_no_mount_can_show_is_told_and_folders_are_not_files",
    ],
    "S8": [
        "storage/test_s3.py::test_the_ranges_make_the_whole",
        "storage/test_s3.py::test_a_range_that_breaks_off_goes_on_where_it_was",
        "storage/test_s3.py::test_a_video_that_is_replaced_between_two_ranges",
    ],
    "S9": [
        "storage/test_s3.py::test_a_bucket_that_is_gone_is_not_an_empty_one",
        "storage/test_s3_client.py::test_a_real_server_has_no_such_bucket",
        "storage/test_s3_place.py::test_a_page_that_cannot_be_read_is_no_empty_one",
    ],
    "S10": [
        "claims/test_model.py::test_any_play_in_a_bucket",
        "claims/test_steps.py::test_a_rival_before_each_file_operation",
        "claims/test_steps.py::test_a_rival_while_the_machine_is_suspended",
        "claims/test_steps.py::test_a_worker_that_sees_no_newer_locks_does_no_harm",
        "claims/test_steps.py::test_a_death_before_each_file_operation",
        "claims/test_steps.py::test_a_rival_before_each_request_to_a_real_server",
    ],
    "S11": ["storage/test_s3_race.py::test_of_sixteen_writers_one_wins_each_of_500_keys"],
    "S12": [
        "storage/test_s3_client.py::test_a_wrong_setting_is_named",
        "storage/test_s3_client.py::test_a_real_server_names_the_wrong_credentials",
        "storage/test_s3_probe.py::test_what_does_not_pass_is_a_setting",
    ],
    "S13": [
        "storage/test_s3.py::test_who_decided_by_another_receipt_does_not_stage",
        "worker/test_requests.py::test_who_was_slower_leaves_what_stands",
    ],
    "S14": [
        "worker/test_requests.py::test_one_job_takes_six_requests_besides_its_data",
        "worker/test_requests.py::test_who_has_not_scanned_looks_for_locks",
        "worker/test_requests.py::test_a_lock_that_came_since_the_scan_is_respected",
        "worker/test_requests.py::test_who_worked_for_long_without_a_beat_renews_its_claim_first",
        "worker/test_requests.py::test_after_a_beat_that_failed_the_lock_is_looked_at_before_it_is_removed",
        "storage/test_s3.py::test_a_copy_that_is_there_already_is_asked_for",
        "claims/test_model.py::test_any_play_in_a_bucket",
    ],
    "N6": ["storage/test_posix.py::test_a_removed_lock_on_nfs_is_a_missing_one"],
}


def test_every_sentence_is_shown_by_tests_and_every_test_shows_a_sentence() -> None:
    shown_by.check("semantics.md", SHOWN_BY)


@pytest.mark.parametrize("path", shown_by.paths(SHOWN_BY))
def test_the_tests_exist(path: str) -> None:
    shown_by.check_there(path, SHOWN_BY)
