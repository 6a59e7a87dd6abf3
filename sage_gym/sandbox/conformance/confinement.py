"""Checks of what a command cannot do, however it tries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sage_gym.sandbox.conformance.programs import (
    BOMB_IN_THE_BACKGROUND,
    CALL_WITH_PRIVILEGE,
    FORK_BOMB,
    MANY_PROCESSES,
    NETWORK,
)
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, is_running, python, shell

__all__ = ["CHECKS"]

KERNEL_FILES = (
    "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/proc/1/oom_score_adj",
    "/proc/1/mem", "/proc/self/uid_map", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/memory.max", "/dev/mem", "/dev/kmsg", "/dev/sda",
)  # fmt: skip


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


def scratch_memory_is_limited(subject: Subject) -> None:
    """Files in every scratch folder at once do not end the sandbox."""
    fill = "for f in /workspace/a /tmp/a /var/tmp/a /dev/shm/a; do head -c 400000000 /dev/zero > $f; done"
    with subject.open(memory_mib=32, scratch_mib=64) as sandbox:
        shell(sandbox, fill)
        sandbox.reset()
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


def processes_are_limited(subject: Subject) -> None:
    """No more processes than the limit live at a time."""
    with subject.open(processes=20) as sandbox:
        result = python(sandbox, MANY_PROCESSES)
        expect(5 <= int(result.stdout or b"0") <= 28, "at most 20 and a few", result)


def fork_bomb_is_an_outcome(subject: Subject) -> None:
    """A fork bomb takes its own time and no more, and the next command runs."""
    with subject.open(processes=32) as sandbox:
        result = python(sandbox, FORK_BOMB, 1.0)
        expect(result.is_timed_out, "a time-out", result)
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


def fork_bomb_left_behind_is_an_outcome(subject: Subject) -> None:
    """So does one that lives on in the background."""
    with subject.open(processes=32) as sandbox:
        python(sandbox, BOMB_IN_THE_BACKGROUND, 5.0)
        for _ in range(3):
            result = sandbox.exec(["true"], 5.0)
        expect(result.is_ok, "a later command to run", result)
        sandbox.reset()
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


def root_is_read_only(subject: Subject) -> None:
    """Nothing outside of the scratch folders can be written."""
    with subject.open() as sandbox:
        for folder in ("/", "/etc", "/usr/bin", "/opt", "/dev", "/run", "/root"):
            result = sandbox.exec(["tee", f"{folder.rstrip('/')}/planted"], stdin=b"x")
            expect(result.exit_code != 0, f"no writing in {folder}", result)


def kernel_files_are_read_only(subject: Subject) -> None:
    """What /proc and /sys offer for writing is not offered here."""
    with subject.open() as sandbox:
        for path in KERNEL_FILES:
            result = shell(sandbox, f"echo 0 > {path}")
            expect(result.exit_code != 0, f"no writing to {path}", result)


def there_is_no_network(subject: Subject) -> None:
    """No interface but the loopback, no way out, no raw socket."""
    with subject.open() as sandbox:
        result = python(sandbox, NETWORK)
        expect(result.stdout in (b"['lo']\n", b"[]\n"), "the loopback alone", result)


def there_are_no_capabilities(subject: Subject) -> None:
    """Commands run as nobody in particular, without a capability and without a way to gain one."""
    with subject.open() as sandbox:
        status = shell(sandbox, "grep -E '^(Uid|CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status").stdout
        fields = dict(line.split(":\t") for line in status.decode().splitlines())
        expect(fields["Uid"].split()[0] != "0", "not root", fields)
        for name in ("CapPrm", "CapEff", "CapBnd"):
            expect(int(fields[name], 16) == 0, f"no capability in {name}", fields)
        expect(fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2", "no new privileges, and a filter", fields)


def privileged_calls_fail(subject: Subject) -> None:
    """Mounting, name spaces, changing the user, tracing the runner, loading code into the kernel."""
    with subject.open() as sandbox:
        result = python(sandbox, CALL_WITH_PRIVILEGE)
        expect(result.stdout == b"[]\n", "every call to fail", result)


def runner_is_out_of_reach(subject: Subject) -> None:
    """Commands cannot kill the first process, stop it, or look into its files and memory."""
    with subject.open() as sandbox:
        shell(sandbox, "for s in KILL TERM INT HUP STOP ALRM USR1 SEGV PIPE CHLD; do kill -$s 1; done")
        result = shell(sandbox, "ls /proc/1/fd; cat /proc/1/environ; cat /proc/1/maps; head -c 1 /proc/1/mem")
        expect(result.stdout == b"", "nothing of the runner to be seen", result)
        expect(sandbox.exec(["true"]).is_ok, "the runner to answer", "not")


def killing_everything_is_an_outcome(subject: Subject) -> None:
    """A command that kills all that it may is answered, and the next one runs."""
    with subject.open() as sandbox:
        with ThreadPoolExecutor(1) as threads:
            other = threads.submit(sandbox.exec, ["sleep", "60"], 60)
            while not is_running(sandbox, "60", patience_s=0):
                pass
            shell(sandbox, "kill -9 -1")
            expect(other.result(10).exit_code == 137, "137", other.result())
        result = shell(sandbox, "sleep 60 & kill -STOP -1; wait", 1.0)
        expect(result.exit_code == 137 and result.is_timed_out, "a time-out", result)
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


def sandboxes_do_not_meet(subject: Subject) -> None:
    """One sandbox sees neither files nor processes nor shared memory of another."""
    with subject.open() as one, subject.open() as other:
        for sandbox in (one, other):
            sandbox.write("/tmp/mine", sandbox.workspace.encode())
        one.write("/tmp/planted", b"x")
        shell(one, "echo x > /dev/shm/planted; sleep 4246 >/dev/null 2>&1 &")
        seen = shell(other, "ls /tmp /dev/shm; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        expect(b"planted" not in seen.stdout and b"4246 " not in seen.stdout, "nothing of the other", seen)


CHECKS: tuple[Check, ...] = (
    memory_is_limited,
    memory_kill_is_said,
    scratch_memory_is_limited,
    processes_are_limited,
    fork_bomb_is_an_outcome,
    fork_bomb_left_behind_is_an_outcome,
    root_is_read_only,
    kernel_files_are_read_only,
    there_is_no_network,
    there_are_no_capabilities,
    privileged_calls_fail,
    runner_is_out_of_reach,
    killing_everything_is_an_outcome,
    sandboxes_do_not_meet,
)
