"""Checks of files: written and read from outside, seen inside, and never through a link."""

from __future__ import annotations

import time

from sage_gym.errors import SandboxFileError
from sage_gym.sandbox.conformance.programs import FILL_DISK, HOSTILE_ARCHIVE, SWAP_FOLDER_AND_LINK
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, expect_error, python, shell

__all__ = ["CHECKS"]


def files_come_back_as_written(subject: Subject) -> None:
    """Every byte is kept, an empty file too."""
    with subject.open() as sandbox:
        for content in (b"", bytes(range(256)) * 4000):
            sandbox.write("deep/er/file", content)
            expect(sandbox.read("deep/er/file") == content, "the same bytes", "others")


def commands_see_files(subject: Subject) -> None:
    """What is written from outside is read by commands."""
    with subject.open() as sandbox:
        sandbox.write("note.txt", b"hello\n")
        expect(sandbox.exec(["cat", "note.txt"]).stdout == b"hello\n", "the content", "another")
        sandbox.write(sandbox.workspace + "/note.txt", b"changed\n")
        expect(sandbox.exec(["cat", "note.txt"]).stdout == b"changed\n", "the new content", "another")


def files_of_commands_come_back(subject: Subject) -> None:
    """What a command writes is read from outside."""
    with subject.open() as sandbox:
        sandbox.exec(["tee", "made.txt"], stdin=b"by a command")
        expect(sandbox.read("made.txt") == b"by a command", "the content", "another")


def mode_is_kept(subject: Subject) -> None:
    """A script that is written to be run can be."""
    with subject.open() as sandbox:
        sandbox.write("run.sh", b"#!/bin/sh\necho ran\n", 0o755)
        expect(sandbox.exec(["./run.sh"]).stdout == b"ran\n", "`ran`", "not")


def missing_file_is_said(subject: Subject) -> None:
    """A file that is not there is an error of its own kind, as a system call has it."""
    with subject.open() as sandbox, expect_error(SandboxFileError, "a missing file"):
        sandbox.read("missing")


def folder_is_no_file(subject: Subject) -> None:
    """A folder cannot be read as a file."""
    with subject.open() as sandbox:
        sandbox.write("folder/file", b"")
        with expect_error(SandboxFileError, "a folder"):
            sandbox.read("folder")


def writes_stay_in_the_scratch_folders(subject: Subject) -> None:
    """No path leads out of them."""
    with subject.open() as sandbox:
        for path in (
            "/etc/planted",
            "../../../etc/planted",
            "inner/../../../../etc/planted",
            "/proc/planted",
            "/planted",
        ):
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
    with subject.open() as sandbox:
        sandbox.write("swap.py", SWAP_FOLDER_AND_LINK.encode())
        shell(sandbox, "python3 swap.py >/dev/null 2>&1 &")
        until = time.monotonic() + 3
        while time.monotonic() < until:
            try:
                sandbox.write("swapped/planted-by-a-link", b"x")
            except SandboxFileError:
                continue
        expect(not shell(sandbox, "test -e /tmp/planted-by-a-link").is_ok, "nothing planted", "a file")


def pipes_do_not_hold_up_the_reader(subject: Subject) -> None:
    """What is no regular file is refused at once."""
    with subject.open() as sandbox:
        shell(sandbox, "mkfifo pipe")
        with expect_error(SandboxFileError, "a pipe"):
            sandbox.read("pipe")


def large_files_are_not_written(subject: Subject) -> None:
    """A file beyond the limit is refused."""
    with subject.open(file_bytes=1000) as sandbox:
        sandbox.write("large", b"x" * 1000)
        with expect_error(SandboxFileError, "a large file"):
            sandbox.write("large", b"x" * 1001)


def large_files_are_not_read(subject: Subject) -> None:
    """A file beyond the limit is refused, one that has no end too."""
    with subject.open(file_bytes=1000) as sandbox:
        shell(sandbox, "head -c 1001 /dev/zero > large")
        for path in ("large", "/dev/zero"):
            with expect_error(SandboxFileError, path):
                sandbox.read(path)


def full_disk_is_an_outcome(subject: Subject) -> None:
    """A command that fills the disk is told so, and afterwards there is room again."""
    with subject.open(scratch_mib=8) as sandbox:
        result = python(sandbox, FILL_DISK)
        expect(result.exit_code == 1 and b"Error" in result.stderr, "an error of its own", result)
        shell(sandbox, "rm -f fill")
        sandbox.write("note", b"x" * 1000)
        expect(len(sandbox.read("note")) == 1000, "room again", "none")


def hostile_archive_stays_inside(subject: Subject) -> None:
    """An archive with paths and links that lead out is unpacked without anything appearing there."""
    with subject.open() as sandbox:
        python(sandbox, HOSTILE_ARCHIVE)
        found = shell(sandbox, "ls /etc/planted /usr/planted 2>/dev/null")
        expect(found.stdout == b"", "nothing planted", found)


CHECKS: tuple[Check, ...] = (
    files_come_back_as_written,
    commands_see_files,
    files_of_commands_come_back,
    mode_is_kept,
    missing_file_is_said,
    folder_is_no_file,
    writes_stay_in_the_scratch_folders,
    links_are_not_followed_in_reading,
    links_are_not_followed_in_writing,
    changing_links_do_not_lead_out,
    pipes_do_not_hold_up_the_reader,
    large_files_are_not_written,
    large_files_are_not_read,
    full_disk_is_an_outcome,
    hostile_archive_stays_inside,
)
