"""Checks against a hostile agent that aims at the runner, at the next command, or at whoever has the sandbox next."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sage_gym.errors import SandboxFileError
from sage_gym.sandbox.conformance.programs import (
    ALTER_THE_RUNNER,
    DEEP_TREE,
    LEASE,
    MARK_FOLDERS,
    STOP_STARTING_PROCESSES,
    ZOMBIE_LEADER,
)
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, expect_error, python, shell

__all__ = ["CHECKS"]

MARKS = (
    "stat -c %a /workspace /tmp /var/tmp /dev/shm && mkdir d && touch d/f && cat d/f && touch g && python3 -c "
    "'import os; print([os.listxattr(f) for f in (\"/workspace\", \"/tmp\", \"/var/tmp\", \"/dev/shm\")])'"
)


def runner_cannot_be_altered(subject: Subject) -> None:
    """No limit, priority or place of the first process can be changed, nor that of a thread of it."""
    with subject.open() as sandbox:
        result = python(sandbox, ALTER_THE_RUNNER)
        expect(result.stdout == b"[]\n", "every call to fail", result)
        sandbox.reset()
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


def stopped_start_is_a_time_out(subject: Subject) -> None:
    """A command that another stops before it has become its program is ended in time, and holds up none beside it."""
    with subject.open() as sandbox:
        python(sandbox, STOP_STARTING_PROCESSES)
        started = time.monotonic()
        for _ in range(8):
            result = sandbox.exec(["true"], 0.5)
            expect(result.is_ok or result.is_timed_out, "success or a time-out", result)
        expect(time.monotonic() - started < 10, "an end within each time-out", time.monotonic() - started)
        sandbox.reset()
        expect(sandbox.exec(["true"], 5).is_ok, "the next to run", "not")


def leased_program_is_a_time_out(subject: Subject) -> None:
    """A program that cannot be opened for as long as somebody holds a lease on it holds up its own command alone."""
    with subject.open() as sandbox, ThreadPoolExecutor(1) as threads:
        sandbox.write("program", b"#!/bin/sh\necho hello\n", 0o755)
        python(sandbox, LEASE)
        other = threads.submit(shell, sandbox, "sleep 2; echo beside")
        result = sandbox.exec(["./program"], 0.5)
        expect(result.is_timed_out and result.elapsed_s < 2, "a time-out", result)
        expect(other.result().stdout == b"beside\n", "`beside`", other.result())


def files_in_the_way_are_no_matter(subject: Subject) -> None:
    """Whatever a command puts where a file is written to, the write comes back, and so does the next command."""
    with subject.open() as sandbox:
        shell(sandbox, "mkfifo pipe .pipe.1 .pipe.tmp; mkdir folder; ln -s /proc/1/mem link")
        sandbox.write("pipe", b"x")
        sandbox.write("link", b"x")
        with expect_error(SandboxFileError, "a folder"):
            sandbox.write("folder", b"x")
        expect(sandbox.read("pipe") + sandbox.read("link") == b"xx", "what was written", "not")
        expect(sandbox.exec(["cat"], stdin=b"y" * 1_000_000).stdout_bytes == 1_000_000, "the next to run", "not")


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


def zombie_leader_is_ended(subject: Subject) -> None:
    """A process whose first thread has ended while others go on is not taken for dead."""
    with subject.open() as sandbox:
        result = python(sandbox, ZOMBIE_LEADER, 1.5)
        expect(result.is_timed_out, "a time-out", result)
        before = sandbox.read("beat")
        time.sleep(0.6)
        expect(sandbox.read("beat") == before, "no more beats", "some")


def reset_takes_away_what_folders_were_marked_with(subject: Subject) -> None:
    """Access lists and attributes of the scratch folders themselves do not reach whoever comes next."""
    with subject.open() as sandbox:
        fresh = shell(sandbox, MARKS).stdout
        sandbox.reset()
        expect(b"marked" in python(sandbox, MARK_FOLDERS).stdout, "folders that were marked", "not")
        sandbox.reset()
        result = shell(sandbox, MARKS)
        expect(result.is_ok and result.stdout == fresh, f"success and {fresh!r}", result)


def reset_deletes_deep_trees(subject: Subject) -> None:
    """So does not a tree that is deeper than most programs can follow."""
    with subject.open() as sandbox:
        expect(python(sandbox, DEEP_TREE).is_ok, "a deep tree", "none")
        sandbox.reset()
        expect(shell(sandbox, "ls -A").stdout == b"", "an empty workspace", "files")


def closed_folders_are_open_to_their_owner(subject: Subject) -> None:
    """A command can start in a folder that is closed to all but its user."""
    with subject.open() as sandbox:
        shell(sandbox, "mkdir inner && chmod 700 inner . && echo hello > inner/note")
        result = sandbox.exec(["cat", "note"], cwd="inner")
        expect(result.stdout == b"hello\n", "the note", result)
        expect(sandbox.read("inner/note") == b"hello\n", "the note", "not")


def what_is_counted_by_user_is_its_own(subject: Subject) -> None:
    """What one sandbox's user uses up, as watches, signals and pipes are, is not missing in another."""
    with subject.open() as one, subject.open() as other:
        users = {sandbox.exec(["id", "-u"]).stdout for sandbox in (one, other)}
        expect(len(users) == 2 and b"0\n" not in users, "two users", users)


CHECKS: tuple[Check, ...] = (
    runner_cannot_be_altered,
    stopped_start_is_a_time_out,
    leased_program_is_a_time_out,
    files_in_the_way_are_no_matter,
    names_that_no_system_takes_are_said,
    calls_of_no_use_are_errors,
    zombie_leader_is_ended,
    reset_takes_away_what_folders_were_marked_with,
    reset_deletes_deep_trees,
    closed_folders_are_open_to_their_owner,
    what_is_counted_by_user_is_its_own,
)
