"""Checks of what a command cannot do, however it tries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sage_gym.sandbox.conformance.programs import ALTER_THE_RUNNER, CALL_WITH_PRIVILEGE, NETWORK
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, is_running, new_mark, python, shell

__all__ = ["CHECKS"]

KERNEL_FILES = (
    "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/proc/1/oom_score_adj",
    "/proc/1/mem", "/proc/self/uid_map", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/memory.max", "/dev/mem", "/dev/kmsg", "/dev/sda",
)  # fmt: skip


def root_is_read_only(subject: Subject) -> None:
    """Nothing outside of the scratch folders can be written."""
    with subject.open() as sandbox:
        for folder in ("/", "/etc", "/usr/bin", "/opt", "/dev", "/run", "/root"):
            result = sandbox.exec(["tee", f"{folder.rstrip('/')}/planted"], stdin=b"x")
            expect(result.exit_code != 0, f"no writing in {folder}", result)


def mounts_are_tight(subject: Subject) -> None:
    """The root is read-only whoever asks, and scratch folders give no privilege and no device."""
    with subject.open() as sandbox:
        lines = shell(sandbox, "cat /proc/mounts").stdout.decode().splitlines()
        options = {line.split()[1]: set(line.split()[3].split(",")) for line in lines}
        expect("ro" in options["/"], "a read-only root", options["/"])
        for folder in ("/workspace", "/tmp", "/var/tmp", "/dev/shm"):
            expect({"nosuid", "nodev"} <= options[folder], f"nosuid and nodev for {folder}", options[folder])


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


def there_are_no_groups(subject: Subject) -> None:
    """Commands belong to no group but their own."""
    with subject.open() as sandbox:
        status = shell(sandbox, "grep -E '^(Gid|Groups):' /proc/self/status").stdout.decode()
        fields = {name: value.split() for name, value in (line.split(":") for line in status.splitlines())}
        expect("0" not in fields["Gid"] and fields["Groups"] in ([], fields["Gid"][:1]), "no group", fields)


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


def runner_cannot_be_altered(subject: Subject) -> None:
    """No limit, priority or place of the first process can be changed, nor that of a thread of it."""
    with subject.open() as sandbox:
        result = python(sandbox, ALTER_THE_RUNNER)
        expect(result.stdout == b"[]\n", "every call to fail", result)
        sandbox.reset()
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


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
    mark = new_mark()
    with subject.open() as one, subject.open() as other:
        one.write("/tmp/planted", b"x")
        shell(one, f"echo x > /dev/shm/planted; sleep {mark} >/dev/null 2>&1 &")
        seen = shell(other, "ls /tmp /dev/shm")
        expect(b"planted" not in seen.stdout, "no file of the other", seen)
        expect(is_running(one, mark, patience_s=0), "the one's process to be seen there", "not")
        expect(not is_running(other, mark, patience_s=0), "no process of the other", "one")


def what_is_counted_by_user_is_its_own(subject: Subject) -> None:
    """What one sandbox's user uses up, as watches, signals and pipes are, is not missing in another."""
    with subject.open() as one, subject.open() as other:
        users = {sandbox.exec(["id", "-u"]).stdout for sandbox in (one, other)}
        expect(len(users) == 2 and b"0\n" not in users, "two users", users)


CHECKS: tuple[Check, ...] = (
    root_is_read_only,
    mounts_are_tight,
    kernel_files_are_read_only,
    there_is_no_network,
    there_are_no_capabilities,
    there_are_no_groups,
    privileged_calls_fail,
    runner_is_out_of_reach,
    runner_cannot_be_altered,
    killing_everything_is_an_outcome,
    sandboxes_do_not_meet,
    what_is_counted_by_user_is_its_own,
)
