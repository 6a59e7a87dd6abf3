"""Checks of running a command: how it is started, and how it ends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sage_gym.errors import SandboxFileError
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, expect_error, shell

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


def signal_to_its_own_group_ends_a_command(subject: Subject) -> None:
    """A command that signals its process group reaches nothing but itself."""
    with subject.open() as sandbox:
        result = shell(sandbox, "echo before; kill -TERM 0")
        expect(result.exit_code == 143 and result.stdout == b"before\n", "143", result)


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


def no_shell_reads_arguments(subject: Subject) -> None:
    """Arguments are handed over as they are."""
    with subject.open() as sandbox:
        result = sandbox.exec(["echo", "$HOME; `id` * \n'\""])
        expect(result.stdout == b"$HOME; `id` * \n'\"\n", "the same text", result)


def unicode_passes(subject: Subject) -> None:
    """Arguments may hold any character."""
    with subject.open() as sandbox:
        result = sandbox.exec(["echo", "naïve Ω 漢字 🙂"])
        expect(result.stdout.decode() == "naïve Ω 漢字 🙂\n", "the same text", result)


def calls_of_no_use_are_errors(subject: Subject) -> None:
    """What is wrong with the caller is said before anything is sent."""
    with subject.open() as sandbox:
        for argv, timeout_s in (
            ([], 1.0),
            ("true", 1.0),
            (["true", 1], 1.0),
            (["true"], 0.0),
            (["true"], float("inf")),
        ):
            with expect_error(ValueError, repr((argv, timeout_s))):
                sandbox.exec(argv, timeout_s)  # type: ignore[arg-type]


def names_that_no_system_takes_are_said(subject: Subject) -> None:
    """A zero byte or half a character, in a path, a word or a variable, is an answer; the sandbox lives on."""
    with subject.open() as sandbox:
        for text in ("a\0b", "a\ud800b"):
            for use in (lambda path: sandbox.read(path), lambda path: sandbox.write(path, b"x")):
                with expect_error(SandboxFileError, repr(text)):
                    use(text)
            for result in (
                sandbox.exec([text]),
                sandbox.exec(["true", text]),
                sandbox.exec(["true"], cwd=text),
                sandbox.exec(["true"], env={"A": text}),
            ):
                expect(result.exit_code == 126 and bool(result.stderr), "126 and a word", result)
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


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


def closed_folders_are_open_to_their_owner(subject: Subject) -> None:
    """A command can start in a folder that is closed to all but its user."""
    with subject.open() as sandbox:
        shell(sandbox, "mkdir inner && chmod 700 inner . && echo hello > inner/note")
        result = sandbox.exec(["cat", "note"], cwd="inner")
        expect(result.stdout == b"hello\n", "the note", result)
        expect(sandbox.read("inner/note") == b"hello\n", "the note", "not")


def elapsed_time_is_measured(subject: Subject) -> None:
    """How long a command took is said, whether it ended or was ended."""
    with subject.open() as sandbox:
        for timeout_s, least in ((10.0, 0.7), (0.3, 0.3)):
            result = sandbox.exec(["sleep", "0.7"], timeout_s)
            expect(least <= result.elapsed_s < least + 3, f"{least} s or a little more", result)


def background_processes_live_on(subject: Subject) -> None:
    """A command is over when it ends, and what it leaves running with its output open lives on."""
    with subject.open() as sandbox:
        started = time.monotonic()
        result = shell(sandbox, "sleep 60 & echo $!")
        expect(result.is_ok and time.monotonic() - started < 10, "an end at once", result)
        line = shell(sandbox, f"cat /proc/{int(result.stdout)}/cmdline").stdout  # empty where it has ended
        expect(line == b"sleep\0" + b"60\0", "a process that lives on", line)


def commands_run_side_by_side(subject: Subject) -> None:
    """Eight commands take as long as one."""
    with subject.open() as sandbox, ThreadPoolExecutor(8) as threads:
        started = time.monotonic()
        for result in threads.map(lambda _: sandbox.exec(["sleep", "1"]), range(8)):
            expect(result.is_ok, "success", result)
        expect(time.monotonic() - started < 4, "about a second", time.monotonic() - started)


CHECKS: tuple[Check, ...] = (
    success_is_zero,
    failure_has_its_code,
    signal_is_128_and_its_number,
    signal_to_its_own_group_ends_a_command,
    missing_program_is_127,
    file_that_is_no_program_is_126,
    missing_folder_is_said,
    no_shell_reads_arguments,
    unicode_passes,
    calls_of_no_use_are_errors,
    names_that_no_system_takes_are_said,
    variables_are_given,
    host_variables_stay_out,
    starts_in_the_workspace,
    starts_in_the_folder_asked_for,
    closed_folders_are_open_to_their_owner,
    elapsed_time_is_measured,
    background_processes_live_on,
    commands_run_side_by_side,
)
