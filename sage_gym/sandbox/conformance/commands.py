"""Checks of running a command: how it ends, what it is given, what it writes, when it takes too long."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sage_gym.sandbox.conformance.programs import DAEMON
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, is_running, python, shell

__all__ = ["CHECKS"]


def success_is_zero(subject: Subject) -> None:
    """A command that succeeds ends with 0 and nothing written."""
    with subject.open() as sandbox:
        result = sandbox.exec(["true"])
        expect((result.exit_code, result.stdout, result.stderr) == (0, b"", b""), "0 and no output", result)
        expect(result.is_ok, "a result that is ok", result)


def failure_has_its_code(subject: Subject) -> None:
    """A command that fails is a result, not an error."""
    with subject.open() as sandbox:
        result = sandbox.exec(["false"])
        expect(result.exit_code == 1 and not result.is_ok, "1", result)


def signal_is_128_and_its_number(subject: Subject) -> None:
    """A command that a signal ends has the code that a shell gives."""
    with subject.open() as sandbox:
        result = shell(sandbox, "kill -TERM $$")
        expect(result.exit_code == 143, "143", result)


def missing_program_is_127(subject: Subject) -> None:
    """A program that does not exist is said in words."""
    with subject.open() as sandbox:
        result = sandbox.exec(["no-such-program"])
        expect(result.exit_code == 127 and b"no-such-program" in result.stderr, "127 and its name", result)


def file_that_is_no_program_is_126(subject: Subject) -> None:
    """A file that may not be run is said in words."""
    with subject.open() as sandbox:
        sandbox.write("notes.txt", b"hello")
        result = sandbox.exec(["./notes.txt"])
        expect(result.exit_code == 126 and bool(result.stderr), "126 and a word", result)


def missing_folder_is_said(subject: Subject) -> None:
    """A folder to run in that does not exist is said in words."""
    with subject.open() as sandbox:
        result = sandbox.exec(["true"], cwd="nowhere")
        expect(result.exit_code == 126 and b"nowhere" in result.stderr, "126 and the folder", result)


def stderr_is_apart(subject: Subject) -> None:
    """What goes to stderr is not in stdout."""
    with subject.open() as sandbox:
        result = sandbox.exec(["cat", "missing"])
        expect(result.stdout == b"" and b"missing" in result.stderr, "words on stderr alone", result)


def large_output_is_cut_with_a_notice(subject: Subject) -> None:
    """Of much output the two ends are kept, with a notice between, and all of it is counted."""
    with subject.open(output_bytes=1000) as sandbox:
        result = sandbox.exec(["head", "-c", "100000000", "/dev/zero"])
        expect(result.exit_code == 0 and result.stdout_bytes == 100_000_000, "100 MB counted", result.stdout_bytes)
        expect(b"99999000 bytes left out" in result.stdout, "a notice", result.stdout[490:560])
        expect(len(result.stdout) < 1100, "about 1000 bytes", len(result.stdout))


def binary_data_passes(subject: Subject) -> None:
    """Every byte comes through standard input and output unchanged."""
    content = bytes(range(256)) * 999
    with subject.open() as sandbox:
        expect(sandbox.exec(["cat"], stdin=content).stdout == content, "the same bytes", "others")


def unicode_passes(subject: Subject) -> None:
    """Arguments may hold any character."""
    with subject.open() as sandbox:
        result = sandbox.exec(["echo", "naïve Ω 漢字 🙂"])
        expect(result.stdout.decode() == "naïve Ω 漢字 🙂\n", "the same text", result)


def no_shell_reads_arguments(subject: Subject) -> None:
    """Arguments are handed over as they are."""
    with subject.open() as sandbox:
        result = sandbox.exec(["echo", "$HOME; `id` * \n'\""])
        expect(result.stdout == b"$HOME; `id` * \n'\"\n", "the same text", result)


def zero_byte_in_an_argument_is_refused(subject: Subject) -> None:
    """What no system call can carry is answered, not raised."""
    with subject.open() as sandbox:
        result = shell(sandbox, "echo a\0b")
        expect(result.exit_code == 126, "126", result)


def variables_are_given(subject: Subject) -> None:
    """Variables asked for are there beside the sandbox's own."""
    with subject.open() as sandbox:
        result = sandbox.exec(["env"], env={"COLOUR": "blue"})
        expect(b"COLOUR=blue\n" in result.stdout and b"HOME=" in result.stdout, "COLOUR and HOME", result)


def host_variables_stay_out(subject: Subject) -> None:
    """Nothing of this process's environment is seen."""
    with subject.open() as sandbox:
        names = {line.partition(b"=")[0] for line in sandbox.exec(["env"]).stdout.splitlines()}
        known = {b"PATH", b"HOME", b"LANG", b"TERM", b"TMPDIR", b"LC_CTYPE", b"USER", b"LOGNAME"}
        expect(names <= known, f"at most {sorted(known)}", names)


def starts_in_the_workspace(subject: Subject) -> None:
    """Commands start in the workspace."""
    with subject.open() as sandbox:
        expect(sandbox.exec(["pwd"]).stdout.decode().strip() == sandbox.workspace, sandbox.workspace, "elsewhere")


def starts_in_the_folder_asked_for(subject: Subject) -> None:
    """A relative folder is one of the workspace."""
    with subject.open() as sandbox:
        sandbox.write("inner/file", b"")
        result = sandbox.exec(["pwd"], cwd="inner")
        expect(result.stdout.decode().strip() == sandbox.workspace + "/inner", "the inner folder", result)


def unread_input_does_no_harm(subject: Subject) -> None:
    """A command that does not read what it is fed ends as it would otherwise."""
    with subject.open() as sandbox:
        expect(sandbox.exec(["true"], stdin=b"x" * 10_000_000).is_ok, "success", "failure")


def no_input_is_the_end_of_input(subject: Subject) -> None:
    """A command that reads without being fed does not wait."""
    with subject.open() as sandbox:
        result = sandbox.exec(["cat"], 10)
        expect(result.is_ok and result.stdout == b"", "an empty success", result)


def timeout_ends_the_command(subject: Subject) -> None:
    """A command that takes too long is ended, and said to be."""
    with subject.open() as sandbox:
        started = time.monotonic()
        result = sandbox.exec(["sleep", "60"], 0.3)
        expect(result.is_timed_out and result.exit_code == 137, "a time-out and 137", result)
        expect(time.monotonic() - started < 5, "an end after 0.3 s", time.monotonic() - started)


def timeout_keeps_what_was_written(subject: Subject) -> None:
    """What was written before a time-out is not lost."""
    with subject.open() as sandbox:
        result = shell(sandbox, "echo before; sleep 60; echo after", 0.5)
        expect(result.is_timed_out and result.stdout == b"before\n", "`before`", result)


def timeout_ends_children(subject: Subject) -> None:
    """What a command started in other sessions ends with it."""
    with subject.open() as sandbox:
        result = shell(sandbox, "setsid sleep 4243 & (setsid setsid sleep 4243 &) ; sleep 4243", 0.5)
        expect(result.is_timed_out, "a time-out", result)
        expect(not is_running(sandbox, "4243"), "no process left", "some")


def timeout_ends_daemons(subject: Subject) -> None:
    """What forked twice and gave itself to the first process ends with the command too."""
    with subject.open() as sandbox:
        expect(python(sandbox, DAEMON, 1.0).is_timed_out, "a time-out", "none")
        expect(not is_running(sandbox, "4244"), "no process left", "some")


def timeout_lets_the_others_be(subject: Subject) -> None:
    """A command beside the one that is ended goes on."""
    with subject.open() as sandbox, ThreadPoolExecutor(2) as threads:
        other = threads.submit(shell, sandbox, "sleep 1.5; echo done")
        threads.submit(sandbox.exec, ["sleep", "60"], 0.3).result()
        expect(other.result().stdout == b"done\n", "`done`", other.result())


def background_processes_live_on(subject: Subject) -> None:
    """A command is over when it ends, whatever it leaves running with its output open."""
    with subject.open() as sandbox:
        started = time.monotonic()
        result = shell(sandbox, "sleep 4245 & echo started")
        expect(result.stdout == b"started\n" and time.monotonic() - started < 10, "an end at once", result)
        running = shell(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 4245'")
        expect(running.stdout.strip() != b"0", "a process that lives on", running)


def commands_run_side_by_side(subject: Subject) -> None:
    """Eight commands take as long as one."""
    with subject.open() as sandbox, ThreadPoolExecutor(8) as threads:
        started = time.monotonic()
        for result in threads.map(lambda _: sandbox.exec(["sleep", "1"]), range(8)):
            expect(result.is_ok, "success", result)
        expect(time.monotonic() - started < 4, "about a second", time.monotonic() - started)


def side_by_side_outputs_do_not_mix(subject: Subject) -> None:
    """Each of many commands gets its own output."""
    with subject.open() as sandbox, ThreadPoolExecutor(8) as threads:
        results = threads.map(lambda number: sandbox.exec(["echo", f"this is {number}"]), range(50))
        for number, result in enumerate(results):
            expect(result.stdout == b"this is %d\n" % number, f"output {number}", result)


CHECKS: tuple[Check, ...] = (
    success_is_zero,
    failure_has_its_code,
    signal_is_128_and_its_number,
    missing_program_is_127,
    file_that_is_no_program_is_126,
    missing_folder_is_said,
    stderr_is_apart,
    large_output_is_cut_with_a_notice,
    binary_data_passes,
    unicode_passes,
    no_shell_reads_arguments,
    zero_byte_in_an_argument_is_refused,
    variables_are_given,
    host_variables_stay_out,
    starts_in_the_workspace,
    starts_in_the_folder_asked_for,
    unread_input_does_no_harm,
    no_input_is_the_end_of_input,
    timeout_ends_the_command,
    timeout_keeps_what_was_written,
    timeout_ends_children,
    timeout_ends_daemons,
    timeout_lets_the_others_be,
    background_processes_live_on,
    commands_run_side_by_side,
    side_by_side_outputs_do_not_mix,
)
