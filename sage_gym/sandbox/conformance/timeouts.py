"""Checks of commands that take too long."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sage_gym.sandbox.conformance.programs import DAEMON, LEASE, STOP_STARTING_PROCESSES, ZOMBIE_LEADER
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, is_running, new_mark, python, shell

__all__ = ["CHECKS"]


def usual_timeout_is_the_limits(subject: Subject) -> None:
    """A command for which no time-out is asked has the one of the limits."""
    with subject.open(timeout_s=0.5) as sandbox:
        result = sandbox.exec(["sleep", "5"])
        expect(result.is_timed_out, "a time-out after 0.5 s", result)


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
    mark = new_mark()
    with subject.open() as sandbox:
        result = shell(sandbox, f"setsid sleep {mark} & (setsid setsid sleep {mark} &) ; sleep {mark}", 0.5)
        expect(result.is_timed_out, "a time-out", result)
        expect(not is_running(sandbox, mark), "no process left", "some")


def timeout_ends_daemons(subject: Subject) -> None:
    """What forked twice and gave itself to the first process ends with the command too."""
    mark = new_mark()
    with subject.open() as sandbox:
        result = sandbox.exec(["python3", "-c", DAEMON, mark], 1.0)
        expect(result.is_timed_out, "a time-out", result)
        expect(not is_running(sandbox, mark), "no process left", "some")


def zombie_leader_is_ended(subject: Subject) -> None:
    """A process whose first thread has ended while others go on is not taken for dead."""
    with subject.open() as sandbox:
        result = python(sandbox, ZOMBIE_LEADER, 1.5)
        expect(result.is_timed_out, "a time-out", result)
        before = sandbox.read("beat")
        time.sleep(0.6)
        expect(sandbox.read("beat") == before, "no more beats", "some")


def timeout_lets_the_others_be(subject: Subject) -> None:
    """A command beside the one that is ended goes on."""
    with subject.open() as sandbox, ThreadPoolExecutor(2) as threads:
        other = threads.submit(shell, sandbox, "sleep 1.5; echo done")
        threads.submit(sandbox.exec, ["sleep", "60"], 0.3).result()
        expect(other.result().stdout == b"done\n", "`done`", other.result())


def timeout_spares_what_was_there_before(subject: Subject) -> None:
    """What an earlier command left running outlives the time-out of a later one."""
    with subject.open() as sandbox:
        left = int(shell(sandbox, "sleep 60 >/dev/null 2>&1 & echo $!").stdout)
        time.sleep(0.2)
        expect(sandbox.exec(["sleep", "60"], 0.3).is_timed_out, "a time-out", "none")
        line = shell(sandbox, f"cat /proc/{left}/cmdline").stdout  # empty where it has ended
        expect(line == b"sleep\0" + b"60\0", "a process that lives on", line)


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


CHECKS: tuple[Check, ...] = (
    usual_timeout_is_the_limits,
    timeout_ends_the_command,
    timeout_keeps_what_was_written,
    timeout_ends_children,
    timeout_ends_daemons,
    zombie_leader_is_ended,
    timeout_lets_the_others_be,
    timeout_spares_what_was_there_before,
    stopped_start_is_a_time_out,
    leased_program_is_a_time_out,
)
