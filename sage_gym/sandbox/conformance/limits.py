"""Checks that limits are kept, and that running into one is an outcome."""

from __future__ import annotations

import time

from sage_gym.sandbox.conformance.programs import BOMB_IN_THE_BACKGROUND, BURN, FORK_BOMB, MANY_PROCESSES, SHARE_MUCH
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, is_running, new_mark, python, shell

__all__ = ["CHECKS"]


def memory_is_limited(subject: Subject) -> None:
    """A command that takes too much memory fails, and the next one runs."""
    with subject.open(memory_mib=128) as sandbox:
        result = python(sandbox, "x = bytearray(1_000_000_000)")
        expect(result.exit_code in (1, 137), "an error or a kill", result)
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


def memory_kill_is_said(subject: Subject) -> None:
    """A command that was killed for memory is told from one that was killed otherwise."""
    with subject.open(memory_mib=128) as sandbox:
        result = shell(sandbox, "python3 -c 'x = bytearray(1_000_000_000)'; echo after")
        expect(result.is_out_of_memory and b"after" in result.stdout, "is_out_of_memory and the rest run", result)
        expect(not shell(sandbox, "kill -9 $$").is_out_of_memory, "no such word of another kill", "one")


def commands_are_killed_before_the_runner(subject: Subject) -> None:
    """When memory is short, a command is the first to go."""
    with subject.open() as sandbox:
        result = shell(sandbox, "sleep 0.3; cat /proc/self/oom_score_adj /proc/1/oom_score_adj")
        own, first = map(int, result.stdout.split())
        expect(own > first, "a higher score than the first process's", result)


def scratch_memory_is_limited(subject: Subject) -> None:
    """Files in every scratch folder at once do not end the sandbox."""
    fill = "for f in /workspace/a /tmp/a /var/tmp/a /dev/shm/a; do head -c 400000000 /dev/zero > $f; done"
    with subject.open(memory_mib=32, scratch_mib=64) as sandbox:
        shell(sandbox, fill)
        sandbox.reset()
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


def every_scratch_folder_is_limited(subject: Subject) -> None:
    """No scratch folder takes more than the limit, neither in bytes nor in files."""
    with subject.open(scratch_mib=8, scratch_files=100) as sandbox:
        for folder in ("/workspace", "/tmp", "/var/tmp", "/dev/shm"):
            result = shell(
                sandbox, f"head -c {100_000_000 if 'shm' in folder else 12_000_000} /dev/zero > {folder}/fill"
            )
            expect(result.exit_code != 0, f"no more in {folder}", result)
        for folder in ("/workspace", "/tmp", "/var/tmp"):
            result = shell(sandbox, f"rm -f {folder}/fill; for i in $(seq 200); do : > {folder}/$i || exit 3; done")
            expect(result.exit_code != 0, f"no 200 files in {folder}", result)


def shared_memory_is_limited(subject: Subject) -> None:
    """There is no shared memory beyond its own small limit, and no more than a few thousand open files."""
    with subject.open() as sandbox:
        result = python(sandbox, SHARE_MUCH)
        expect(result.stdout == b"-1 True\n", "neither", result)


def no_core_and_no_queue(subject: Subject) -> None:
    """A crash writes no core, and there are no message queues that would outlive a reset."""
    text = "import resource as r; print(r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_MSGQUEUE))"
    with subject.open() as sandbox:
        result = python(sandbox, text)
        expect(result.stdout == b"(0, 0) (0, 0)\n", "none of either", result)
        expect(not shell(sandbox, ": > /dev/mqueue/q").is_ok, "no queue", "one")


def processor_time_is_limited(subject: Subject) -> None:
    """A command gets no more processor time than the limit, however many processes it has."""
    with subject.open(cpus=0.1) as sandbox:
        used = float(python(sandbox, BURN).stdout)
        expect(used < 0.4, "0.2 s of 2", used)


def processes_are_limited(subject: Subject) -> None:
    """No more processes than the limit live at a time."""
    with subject.open(processes=20) as sandbox:
        result = python(sandbox, MANY_PROCESSES)
        expect(5 <= int(result.stdout or b"0") <= 28, "at most 20 and a few", result)


def ended_orphans_are_let_go(subject: Subject) -> None:
    """Many commands that leave ended children to the first process do not use up the processes."""
    with subject.open(processes=20) as sandbox:
        for _ in range(15):
            result = shell(sandbox, "(sleep 0.05 &) ; (sleep 0.05 &) ; (sleep 0.05 &) ; (sleep 0.05 &)")
            expect(result.is_ok, "success", result)
            time.sleep(0.15)  # those still asleep count as well: a quick backend would use up the processes with them


def ended_children_of_a_running_command_are_let_go(subject: Subject) -> None:
    """A command that leaves ended orphans behind while it runs does not use up its processes."""
    with subject.open(processes=20) as sandbox:
        result = shell(sandbox, "for i in $(seq 60); do (true &); sleep 0.02; done; echo done")
        expect(result.stdout == b"done\n" and result.stderr == b"", "`done` alone", result)


def no_ended_process_stays(subject: Subject) -> None:
    """What a command left behind and has ended is not kept as a zombie."""
    with subject.open() as sandbox:
        shell(sandbox, "for i in 1 2 3 4 5; do (sleep 0.3 &); done")
        time.sleep(2.5)
        seen = shell(sandbox, "grep -lE '^State:.*Z' /proc/[0-9]*/status | wc -l")
        expect(seen.stdout.strip() == b"0", "no zombie", seen)


def fork_bomb_is_an_outcome(subject: Subject) -> None:
    """A fork bomb takes its own time and no more: nothing of it lives on."""
    mark = new_mark()
    with subject.open(processes=32) as sandbox:
        for _ in range(3):
            result = sandbox.exec(["python3", "-c", FORK_BOMB, mark], 1.0)
            expect(result.is_timed_out, "a time-out", result)
            expect(not is_running(sandbox, mark), "no process left", "some")


def fork_bomb_left_behind_is_an_outcome(subject: Subject) -> None:
    """So does one that lives on in the background."""
    with subject.open(processes=32) as sandbox:
        python(sandbox, BOMB_IN_THE_BACKGROUND, 5.0)
        for _ in range(3):
            result = sandbox.exec(["true"], 5.0)
        expect(result.is_ok, "a later command to run", result)
        sandbox.reset()
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


CHECKS: tuple[Check, ...] = (
    memory_is_limited,
    memory_kill_is_said,
    commands_are_killed_before_the_runner,
    scratch_memory_is_limited,
    every_scratch_folder_is_limited,
    shared_memory_is_limited,
    no_core_and_no_queue,
    processor_time_is_limited,
    processes_are_limited,
    ended_orphans_are_let_go,
    ended_children_of_a_running_command_are_let_go,
    no_ended_process_stays,
    fork_bomb_is_an_outcome,
    fork_bomb_left_behind_is_an_outcome,
)
