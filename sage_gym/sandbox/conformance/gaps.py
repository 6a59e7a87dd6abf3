"""What a backend is known not to hold, by the check's name, and why."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["KNOWN_GAPS"]

NO_PROCESS = "runs no process"
NO_FILE_SYSTEM = "comes without the programs that make links and pipes, show modes, or fill a disk"
NO_BOUNDARY = "is no security boundary: commands are this machine's, under the same user"
PER_PROCESS = "the system keeps the limit for each process, not for all together"

_NO_PROCESS = (
    "runner_cannot_be_altered", "stopped_start_is_a_time_out", "leased_program_is_a_time_out",
    "names_that_no_system_takes_are_said", "zombie_leader_is_ended", "what_is_counted_by_user_is_its_own",
    "signal_is_128_and_its_number", "large_files_are_not_read", "timeout_keeps_what_was_written",
    "timeout_ends_children", "timeout_ends_daemons", "timeout_lets_the_others_be",
    "background_processes_live_on", "memory_is_limited", "memory_kill_is_said", "scratch_memory_is_limited",
    "processes_are_limited", "fork_bomb_is_an_outcome", "fork_bomb_left_behind_is_an_outcome",
    "kernel_files_are_read_only", "there_is_no_network", "there_are_no_capabilities", "privileged_calls_fail",
    "runner_is_out_of_reach", "killing_everything_is_an_outcome", "sandboxes_do_not_meet",
    "reset_ends_processes", "reset_ends_commands_under_way", "reset_removes_shared_memory",
    "killed_in_the_middle_is_infrastructure", "time_to_live_ends_it", "hostile_archive_stays_inside",
    "signal_to_its_own_group_ends_a_command", "both_ends_of_both_outputs_are_kept",
    "input_that_is_closed_does_no_harm", "unread_input_does_not_put_off_the_timeout",
    "endless_output_left_behind_does_not_hold_up", "waiting_takes_no_processor_time",
    "timeout_spares_what_was_there_before", "mounts_are_tight", "there_are_no_groups",
    "commands_are_killed_before_the_runner", "shared_memory_is_limited", "no_core_and_no_queue",
    "processor_time_is_limited", "ended_orphans_are_let_go", "ended_children_of_a_running_command_are_let_go",
    "no_ended_process_stays", "closing_ends_processes",
)  # fmt: skip
_NO_FILE_SYSTEM = (
    "files_in_the_way_are_no_matter", "reset_takes_away_what_folders_were_marked_with",
    "reset_deletes_deep_trees", "closed_folders_are_open_to_their_owner", "file_that_is_no_program_is_126",
    "missing_folder_is_said", "mode_is_kept", "links_are_not_followed_in_reading",
    "links_are_not_followed_in_writing", "changing_links_do_not_lead_out", "pipes_do_not_hold_up_the_reader",
    "full_disk_is_an_outcome", "reset_is_as_fresh_as_new", "missing_file_is_said",
    "failed_write_changes_nothing", "written_file_is_never_seen_in_part",
    "planted_names_do_not_hold_up_the_writer", "every_scratch_folder_is_limited",
    "workspace_that_was_replaced_is_not_served",
)  # fmt: skip
_NO_BOUNDARY = (
    "runner_cannot_be_altered", "stopped_start_is_a_time_out", "reset_takes_away_what_folders_were_marked_with",
    "what_is_counted_by_user_is_its_own", "root_is_read_only", "kernel_files_are_read_only",
    "there_is_no_network", "there_are_no_capabilities", "privileged_calls_fail", "runner_is_out_of_reach",
    "killing_everything_is_an_outcome", "sandboxes_do_not_meet", "processes_are_limited",
    "fork_bomb_is_an_outcome", "fork_bomb_left_behind_is_an_outcome", "reset_removes_shared_memory",
    "reset_is_as_fresh_as_new", "hostile_archive_stays_inside", "mounts_are_tight", "there_are_no_groups",
    "shared_memory_is_limited", "no_core_and_no_queue", "processor_time_is_limited",
    "every_scratch_folder_is_limited", "ended_orphans_are_let_go",
)  # fmt: skip
KNOWN_GAPS: Mapping[str, Mapping[str, str]] = {
    "docker": {},
    "local": {
        **dict.fromkeys(_NO_BOUNDARY, NO_BOUNDARY),
        **dict.fromkeys(("memory_kill_is_said", "scratch_memory_is_limited"), PER_PROCESS),
    },
    "stub": {**dict.fromkeys(_NO_PROCESS, NO_PROCESS), **dict.fromkeys(_NO_FILE_SYSTEM, NO_FILE_SYSTEM)},
}
