"""Checks of files: written and read from outside, seen inside."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor

from sage_gym.errors import SandboxFileError
from sage_gym.sandbox.conformance.programs import FILL_DISK, WATCH_SIZE
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
    """A file has the very mode that it is written with."""
    with subject.open() as sandbox:
        for mode in (0o777, 0o600):
            sandbox.write("file", b"", mode)
            found = shell(sandbox, "stat -c %a file").stdout
            expect(found == b"%o\n" % mode, f"{mode:o}", found)


def missing_file_is_said(subject: Subject) -> None:
    """What is wrong with a file is told by the number that a system call gives."""
    with subject.open(file_bytes=1000) as sandbox:
        sandbox.write("large", b"x" * 1000)
        sandbox.read("large")
        shell(sandbox, "head -c 1001 /dev/zero > large")
        sandbox.write("folder/file", b"")
        for path, number in (
            ("missing", errno.ENOENT),
            ("large", errno.EFBIG),
            ("large/file", errno.ENOTDIR),
            ("no/file", errno.ENOENT),
        ):
            try:
                sandbox.read(path)
            except SandboxFileError as error:
                expect(error.errno == number, f"{errno.errorcode[number]} for {path}", error.errno)
            else:
                raise AssertionError(f"expected an error for {path}, got nothing")
        expect(b"no\n" not in sandbox.exec(["ls"]).stdout, "reading to make no folder", "one")


def folder_is_no_file(subject: Subject) -> None:
    """A folder cannot be read as a file."""
    with subject.open() as sandbox:
        sandbox.write("folder/file", b"")
        with expect_error(SandboxFileError, "a folder"):
            sandbox.read("folder")


def folders_and_files_are_not_exchanged(subject: Subject) -> None:
    """A folder is not replaced by a file, nor a file by a folder."""
    with subject.open() as sandbox:
        sandbox.write("folder/file", b"x")
        for path in ("folder", "folder/file/inner"):
            with expect_error(SandboxFileError, path):
                sandbox.write(path, b"x")
        expect(sandbox.read("folder/file") == b"x", "the file as it was", "another")


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


def pipes_do_not_hold_up_the_reader(subject: Subject) -> None:
    """What is no regular file is refused at once."""
    with subject.open() as sandbox:
        shell(sandbox, "mkfifo pipe")
        with expect_error(SandboxFileError, "a pipe"):
            sandbox.read("pipe")


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


def failed_write_changes_nothing(subject: Subject) -> None:
    """A file for which there is no room is as it was, and no part of the new one stays."""
    with subject.open(scratch_mib=8) as sandbox:
        sandbox.write("note", b"old")
        with expect_error(SandboxFileError, "a file larger than the disk"):
            sandbox.write("note", b"x" * 9_000_000)
        expect(sandbox.read("note") == b"old", "the old content", sandbox.read("note")[:10])
        listed = shell(sandbox, "ls -A").stdout
        expect(listed == b"note\n", "that file alone", listed)


def written_file_is_never_seen_in_part(subject: Subject) -> None:
    """Whoever reads a file while it is written anew sees the old one or the new one."""
    with subject.open() as sandbox, ThreadPoolExecutor(1) as threads:
        sandbox.write("file", b"x" * 2_000_000)
        watching = threads.submit(python, sandbox, WATCH_SIZE)
        while not watching.done():
            sandbox.write("file", b"x" * 2_000_000)
        expect(watching.result().stdout == b"[2000000]\n", "one size", watching.result())


def full_disk_is_an_outcome(subject: Subject) -> None:
    """A command that fills the disk is told so, and afterwards there is room again."""
    with subject.open(scratch_mib=8) as sandbox:
        result = python(sandbox, FILL_DISK)
        expect(result.exit_code == 1 and b"Error" in result.stderr, "an error of its own", result)
        shell(sandbox, "rm -f fill")
        sandbox.write("note", b"x" * 1000)
        expect(len(sandbox.read("note")) == 1000, "room again", "none")


CHECKS: tuple[Check, ...] = (
    files_come_back_as_written,
    commands_see_files,
    files_of_commands_come_back,
    mode_is_kept,
    missing_file_is_said,
    folder_is_no_file,
    folders_and_files_are_not_exchanged,
    large_files_are_not_written,
    large_files_are_not_read,
    pipes_do_not_hold_up_the_reader,
    files_in_the_way_are_no_matter,
    failed_write_changes_nothing,
    written_file_is_never_seen_in_part,
    full_disk_is_an_outcome,
)
