"""Checks that no path and no link leads out of where files belong."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sage_gym.errors import SandboxFileError, SandboxLostError
from sage_gym.sandbox.conformance.programs import HOSTILE_ARCHIVE, SWAP_FOLDER_AND_LINK
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, expect_error, python, shell

__all__ = ["CHECKS"]

OUTSIDE = ("/etc/planted", "../../../etc/planted", "inner/../../../../etc/planted", "/proc/planted", "/planted")


def writes_stay_in_the_scratch_folders(subject: Subject) -> None:
    """No path leads out of them, to a neighbour of theirs neither."""
    with subject.open() as sandbox:
        beside = (f"{sandbox.workspace}/../dev/shm/planted", f"{sandbox.workspace}-beside/planted", "/dev/shm/planted")
        for path in (*beside, *OUTSIDE):
            with expect_error(SandboxFileError, path):
                sandbox.write(path, b"x")


def links_are_not_followed_in_reading(subject: Subject) -> None:
    """A link that a command made leads the reader nowhere, neither the file nor a folder above it."""
    with subject.open() as sandbox:
        shell(sandbox, "ln -s /etc/passwd file; ln -s /etc folder")
        for path in ("file", "folder/passwd"):
            with expect_error(SandboxFileError, path):
                sandbox.read(path)


def links_are_not_followed_in_writing(subject: Subject) -> None:
    """A link that a command made is replaced, not written through, and one to a folder is refused."""
    with subject.open() as sandbox:
        shell(sandbox, "echo kept > target; ln -s target file; ln -s /tmp folder")
        sandbox.write("file", b"new")
        expect(sandbox.read("target") == b"kept\n", "the target as it was", sandbox.read("target"))
        with expect_error(SandboxFileError, "a linked folder"):
            sandbox.write("folder/planted", b"x")


def changing_links_do_not_lead_out(subject: Subject) -> None:
    """A folder that becomes a link and back while it is written to never lets a file through."""
    with subject.open() as sandbox, ThreadPoolExecutor(1) as threads:
        swapping = threads.submit(python, sandbox, SWAP_FOLDER_AND_LINK)
        time.sleep(0.5)
        written = refused = 0
        while not swapping.done():
            try:
                sandbox.write("swapped/planted", b"x")
                written += 1
            except SandboxFileError:
                refused += 1
        expect(
            swapping.result().is_ok and written > 0 and refused > 0,
            "both to be met",
            (swapping.result(), written, refused),
        )
        expect(not shell(sandbox, "test -e target/planted").is_ok, "nothing planted", "a file")


def planted_names_do_not_hold_up_the_writer(subject: Subject) -> None:
    """A pipe, link or folder in the way of a file that is written, under any name, does no harm."""
    with subject.open() as sandbox:
        shell(sandbox, "echo kept > target; for n in $(seq 20); do mkfifo .a.$n; ln -s target .b.$n; mkdir .c.$n; done")
        for name in "abc":
            sandbox.write(name, b"new")
            expect(sandbox.read(name) == b"new", "the new content", name)
        expect(sandbox.read("target") == b"kept\n", "the target as it was", sandbox.read("target"))
        expect(sandbox.exec(["true"]).is_ok, "the next to run", "not")


def workspace_that_was_replaced_is_not_served(subject: Subject) -> None:
    """A link that a command puts in the workspace's place leads nowhere, and a reset does not call it clean."""
    with subject.open() as sandbox:
        swapped = shell(sandbox, 'mkdir ../target 2>/dev/null; mv "$PWD" ../aside && mkdir "$PWD"', 5)
        if swapped.is_ok:  # where it is mounted it cannot be
            with expect_error(SandboxFileError, "another folder"):
                sandbox.write("planted", b"x")
            with expect_error(SandboxLostError, "another folder"):
                sandbox.reset()


def hostile_archive_stays_inside(subject: Subject) -> None:
    """An archive with paths and links that lead out is unpacked without anything appearing there."""
    with subject.open() as sandbox:
        python(sandbox, HOSTILE_ARCHIVE)
        result = shell(sandbox, "mkdir out && tar --absolute-names -C out -xf hostile.tar")
        expect(b"planted" in result.stderr, "a word about what could not be unpacked", result)
        found = shell(sandbox, "ls /etc/planted /usr/planted 2>/dev/null")
        expect(found.stdout == b"", "nothing planted", found)


CHECKS: tuple[Check, ...] = (
    writes_stay_in_the_scratch_folders,
    links_are_not_followed_in_reading,
    links_are_not_followed_in_writing,
    changing_links_do_not_lead_out,
    planted_names_do_not_hold_up_the_writer,
    workspace_that_was_replaced_is_not_served,
    hostile_archive_stays_inside,
)
