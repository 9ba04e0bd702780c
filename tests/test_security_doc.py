"""Each named sentence of docs/security.md is shown by tests, and each of these exists."""

from __future__ import annotations

import pytest

import shown_by

SHOWN_BY: shown_by.ShownBy = {
    "V1": [
        "vision/test_decoder.py::test_a_crash_in_the_middle_is_told_and_the_next_video_is_read",
        "vision/test_decoder.py::test_a_process_that_hangs_is_killed_after_the_stall_time",
        "vision/test_decoder.py::test_a_video_that_needs_more_memory_than_allowed_is_at_fault",
        "real/test_decoders.py::test_a_video_that_crashes_its_decoder_again_and_again_has_failed",
        "real/test_bad_inputs.py::test_more_than_two_hundred_bad_inputs_and_a_few_good_ones",
    ],
    "V2": [
        "vision/test_decode.py::test_a_picture_larger_than_allowed_is_refused_before_it_is_decoded"
    ],
    "V3": [
        "vision/test_decoder.py::test_a_process_that_talks_nonsense_is_not_believed",
        "vision/test_decoder.py::test_more_frames_than_there_is_room_for_are_not_believed",
    ],
    "V4": [
        "vision/test_bad_inputs.py::test_each_of_more_than_200_bad_inputs_has_one_clear_outcome"
    ],
    "V5": [
        "vision/test_decoder.py::test_the_process_is_not_given_the_keys_of_its_owner",
        "vision/test_decoder.py::test_nothing_is_imported_from_the_current_directory",
        "vision/test_decoder.py::test_no_core_file_is_written",
    ],
    "V6": ["real/test_crashes.py::test_a_video_that_kills_every_daemon_is_recorded_as_failed"],
    "N1": [
        "base/test_logs.py::test_no_name_can_forge_a_line_or_reach_the_terminal",
        "base/test_logs.py::test_a_value_cannot_be_taken_for_another_field",
        "cli/test_commands.py::test_no_name_breaks_a_table",
        "cli/test_commands.py::test_messages_can_do_nothing_to_the_terminal",
    ],
    "N2": [
        "service/test_board.py::test_names_cannot_pose_as_anything_else",
        "service/test_board.py::test_the_script_makes_no_markup_of_what_it_is_told",
        "real/test_status_page.py::test_it_is_readable_and_alive_in_a_browser",
    ],
    "N3": [
        "storage/test_posix.py::test_links_to_files_in_the_folder_are_followed_and_others_are_told",
        "real/test_names.py::test_links_are_followed_inside_of_the_folder_only",
    ],
    "N4": [
        "storage/test_posix.py::test_a_fifo_blocks_nobody",
        "storage/test_posix.py::test_a_file_that_becomes_a_fifo_blocks_nobody",
        "storage/test_behaviour.py::test_what_is_no_regular_file_is_not_read",
    ],
    "N5": [
        "worker/test_publish.py::test_a_foreign_file_is_never_overwritten",
        "worker/test_publish.py::test_a_foreign_file_that_comes_at_the_last_moment_is_not_overwritten",
        "real/test_names.py::test_a_foreign_file_with_the_name_of_a_receipt_is_left_alone",
    ],
    "N6": ["storage/test_behaviour.py::test_whatever_lies_in_a_name_it_is_only_a_name"],
    "N7": [
        "formats/test_receipt.py::test_no_value_of_any_field_makes_the_reader_raise",
        "claims/test_record.py::test_whatever_the_bytes_nothing_is_raised",
        "formats/test_pose_npz.py::test_no_damage_raises_anything_else",
        "formats/test_pose_npz.py::test_a_zip_bomb_is_not_unpacked",
    ],
    "N8": ["claims/test_survey.py::test_no_record_can_ask_for_more_than_a_day"],
    "H1": [
        "service/test_http.py::test_dns_rebinding_is_refused",
        "service/test_http.py::test_a_page_from_elsewhere_cannot_pose_as_this_machine",
        "service/test_http.py::test_a_page_is_served_with_careful_headers",
    ],
    "H2": [
        "service/test_pages.py::test_the_board_is_for_this_machine_unless_somebody_says_otherwise",
        "real/test_status_page.py::test_beyond_loopback_no_video_is_named",
    ],
    "H3": [
        "service/test_board.py::test_only_the_pages_own_script_and_style_may_run",
        "service/test_board.py::test_the_page_is_one_file_that_asks_nobody_else",
        "real/test_status_page.py::test_nothing_can_be_made_to_run_in_it",
    ],
    "H4": [
        "service/test_http.py::test_only_get_and_head",
        "service/test_http.py::test_bad_requests_are_refused",
        "service/test_http.py::test_a_client_that_trickles_is_cut_off",
        "service/test_http.py::test_a_client_that_does_not_read_is_cut_off",
        "service/test_http.py::test_no_more_clients_than_allowed",
    ],
    "H5": ["service/test_board.py::test_the_picture_has_nothing_of_the_video_in_it"],
    "K1": ["storage/test_s3_place.py::test_no_secret_is_ever_shown"],
    "K2": ["storage/test_mounted.py::test_a_process_of_somebody_else_is_not_believed"],
    "K3": ["service/test_checkup.py::test_credentials"],
    "M1": [
        "models/test_download.py::test_another_file_of_that_name_is_refused",
        "models/test_repository.py::test_another_file_than_the_card_names_is_refused",
        "models/test_pull.py::test_a_wheel_of_the_user_is_compared_with_the_card_too",
        "models/test_pull.py::test_published_files_are_compared_with_the_card",
    ],
    "M2": [
        "models/test_wheel.py::test_a_wheel_with_other_members_is_refused",
        "models/test_wheel.py::test_nothing_is_written_anywhere",
        "models/test_wheel.py::test_a_member_that_unpacks_for_ever_costs_no_memory",
        "models/test_download.py::test_a_pip_in_the_current_folder_is_not_run",
    ],
    "M3": [
        "packaging/test_package_index.py::TestDownload::test_a_wheel_with_another_digest_is_refused",
        "packaging/test_package_index.py::TestDownload::test_a_password_goes_to_its_own_host_only",
    ],
    "M4": ["vision/test_privacy.py::test_onnxruntime_leaves_no_device_id_and_sends_nothing_home"],
    "U1": ["systemd/test_unit.py::test_it_gives_little_away"],
    "U2": [
        "systemd/test_unit.py::test_a_request_for_power_off_is_waited_for_where_the_service_leaves_it",
        "service/test_idler.py::test_a_service_asks_for_the_power_to_be_cut",
        "service/test_idler.py::test_a_command_is_run_without_a_shell",
    ],
    "U3": ["storage/test_ec2.py::test_this_instance_is_stopped_and_no_other"],
    "U4": ["test_cache.py::test_a_reservation_is_a_private_folder_that_vanishes"],
}


def test_every_sentence_is_shown_by_tests_and_every_test_shows_a_sentence() -> None:
    shown_by.check("security.md", SHOWN_BY)


@pytest.mark.parametrize("path", shown_by.paths(SHOWN_BY))
def test_the_tests_exist(path: str) -> None:
    shown_by.check_there(path, SHOWN_BY)
