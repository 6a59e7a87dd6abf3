"""Checks of a sandbox's life: made fresh, closed, lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sage_gym.errors import InfrastructureError, SandboxClosedError, SandboxFileError, SandboxLostError
from sage_gym.sandbox.conformance.programs import ATTACH_EVERYWHERE, DEEP_TREE, MARK_FOLDERS
from sage_gym.sandbox.conformance.subject import (
    Check,
    Subject,
    expect,
    expect_error,
    is_running,
    new_mark,
    python,
    shell,
)

__all__ = ["CHECKS"]

LITTER = (
    "touch /tmp/f /var/tmp/g /dev/shm/h; mkdir -p a/b deep .hidden locked && echo x > a/b/c && echo x > .hidden/d && "
    "echo x > locked/e && ln -s /etc out && ln -s /etc deep/out && mkfifo pipe && touch -- -rf 'with space' && "
    "chmod 000 locked a/b . /tmp /var/tmp"
)
TREE = "find . /tmp /var/tmp /dev/shm /dev/mqueue -printf '%p %m %u %s\\n' | sort"
MARKS = (
    "stat -c %a /workspace /tmp /var/tmp /dev/shm && mkdir d && touch d/f && cat d/f && touch g && python3 -c "
    '\'import os; print([os.listxattr(f) for f in ("/workspace", "/tmp", "/var/tmp", "/dev/shm")])\''
)


def reset_deletes_files(subject: Subject) -> None:
    """Nothing that was written can be read afterwards."""
    with subject.open() as sandbox:
        sandbox.write("note", b"x")
        sandbox.exec(["tee", "inner"], stdin=b"y")
        sandbox.reset()
        expect(sandbox.exec(["ls"]).stdout == b"", "an empty workspace", "files")
        with expect_error(SandboxFileError, "a deleted file"):
            sandbox.read("note")


def reset_is_as_fresh_as_new(subject: Subject) -> None:
    """Hidden, locked and linked litter in every scratch folder goes, and the folders' modes come back."""
    with subject.open() as sandbox:
        fresh = shell(sandbox, TREE).stdout
        shell(sandbox, LITTER)
        expect(shell(sandbox, TREE).stdout != fresh, "litter", "none")
        sandbox.reset()
        expect(shell(sandbox, TREE).stdout == fresh, fresh.decode(), shell(sandbox, TREE).stdout.decode())


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


def reset_ends_processes(subject: Subject) -> None:
    """What runs in the background ends."""
    mark = new_mark()
    with subject.open() as sandbox:
        shell(sandbox, f"setsid sleep {mark} >/dev/null 2>&1 &")
        sandbox.reset()
        expect(not is_running(sandbox, mark), "no process left", "some")


def reset_ends_commands_under_way(subject: Subject) -> None:
    """A command that is running when it comes is answered as killed."""
    with subject.open() as sandbox, ThreadPoolExecutor(1) as threads:
        running = threads.submit(sandbox.exec, ["sleep", "60"], 60)
        time.sleep(0.5)
        sandbox.reset()
        expect(running.result(10).exit_code == 137, "137", running.result())


def reset_removes_shared_memory(subject: Subject) -> None:
    """Shared memory, queues and semaphores, which outlive processes, are gone."""
    with subject.open() as sandbox:
        python(sandbox, ATTACH_EVERYWHERE)
        expect(shell(sandbox, "cat /proc/sysvipc/*").stdout.count(b"\n") >= 5, "a queue and a semaphore", "not")
        sandbox.reset()
        expect(shell(sandbox, "cat /proc/sysvipc/*").stdout.count(b"\n") == 3, "none", "some")


def reset_can_be_repeated(subject: Subject) -> None:
    """A sandbox is as good after many resets as after one."""
    with subject.open() as sandbox:
        for number in range(20):
            sandbox.write("note", b"%d" % number)
            expect(sandbox.exec(["cat", "note"]).stdout == b"%d" % number, str(number), "another")
            sandbox.reset()


def use_after_close_is_said(subject: Subject) -> None:
    """A closed sandbox says that it is."""
    sandbox = subject.open()
    sandbox.close()
    for use in (lambda: sandbox.exec(["true"]), lambda: sandbox.read("x"), sandbox.reset, sandbox.ping):
        with expect_error(SandboxClosedError, "use after close"):
            use()


def closing_twice_does_no_harm(subject: Subject) -> None:
    """Close may be called again, and a `with` block does."""
    with subject.open() as sandbox:
        sandbox.close()
    sandbox.close()


def closing_ends_processes(subject: Subject) -> None:
    """What runs in the background ends when its sandbox is closed, or when the sandbox's time is over."""
    mark = new_mark()
    with subject.open() as other:
        with subject.open() as sandbox:
            shell(sandbox, f"setsid sleep {mark} >/dev/null 2>&1 &")
        expect(not is_running(other, mark), "no process left after the end", "some")
        with subject.open(ttl_s=1.0) as sandbox:
            shell(sandbox, f"setsid sleep {mark} >/dev/null 2>&1 &")
            time.sleep(2.5)
            expect(not is_running(other, mark), "no process left after its time", "some")


def killed_from_outside_is_infrastructure(subject: Subject) -> None:
    """A sandbox that is gone is nobody's failure, and says so at once."""
    with subject.open() as sandbox:
        sandbox.kill()
        started = time.monotonic()
        with expect_error(SandboxLostError, "a lost sandbox"):
            sandbox.exec(["true"])
        expect(time.monotonic() - started < 5, "an answer at once", time.monotonic() - started)
        expect(issubclass(SandboxLostError, InfrastructureError), "infrastructure", SandboxLostError.__mro__)


def killed_in_the_middle_is_infrastructure(subject: Subject) -> None:
    """A command that is running when its sandbox is lost is not waited for."""
    with subject.open() as sandbox, ThreadPoolExecutor(1) as threads:
        running = threads.submit(sandbox.exec, ["sleep", "60"], 60)
        time.sleep(0.5)
        sandbox.kill()
        with expect_error(SandboxLostError, "a lost sandbox"):
            running.result(10)


def time_to_live_ends_it(subject: Subject) -> None:
    """Without requests it ends by itself, however busy its commands are; requests let it live on."""
    with subject.open(ttl_s=2.0) as sandbox:
        shell(sandbox, "while :; do :; done >/dev/null 2>&1 &")
        for _ in range(5):
            time.sleep(0.7)
            sandbox.ping()
        time.sleep(3.5)
        with expect_error(SandboxLostError, "the end of its time"):
            sandbox.exec(["true"])


CHECKS: tuple[Check, ...] = (
    reset_deletes_files,
    reset_is_as_fresh_as_new,
    reset_takes_away_what_folders_were_marked_with,
    reset_deletes_deep_trees,
    reset_ends_processes,
    reset_ends_commands_under_way,
    reset_removes_shared_memory,
    reset_can_be_repeated,
    use_after_close_is_said,
    closing_twice_does_no_harm,
    closing_ends_processes,
    killed_from_outside_is_infrastructure,
    killed_in_the_middle_is_infrastructure,
    time_to_live_ends_it,
)
