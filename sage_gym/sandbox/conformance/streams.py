"""Checks of what a command is fed and what it writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sage_gym.sandbox.conformance.programs import WITHOUT_OUTPUT
from sage_gym.sandbox.conformance.subject import Check, Subject, expect, python, shell

__all__ = ["CHECKS"]


def stderr_is_apart(subject: Subject) -> None:
    """What goes to stderr is not in stdout."""
    with subject.open() as sandbox:
        result = sandbox.exec(["cat", "missing"])
        expect(result.stdout == b"" and b"missing" in result.stderr, "words on stderr alone", result)


def both_ends_of_both_outputs_are_kept(subject: Subject) -> None:
    """Of much output the beginning and the end are kept, on stderr as on stdout, within little memory."""
    text = "echo begin; head -c 200000000 /dev/zero; echo end"
    with subject.open(output_bytes=1000, memory_mib=128, scratch_mib=8) as sandbox:
        result = shell(sandbox, f"({text}); ({text}) >&2")
        for kept, counted in ((result.stdout, result.stdout_bytes), (result.stderr, result.stderr_bytes)):
            expect(counted == 200_000_010, "200 MB counted", counted)
            expect(len(kept) < 1100 and kept[:6] == b"begin\n" and kept[-5:] == b"\0end\n", "both ends", kept)


def binary_data_passes(subject: Subject) -> None:
    """Every byte comes through standard input and output unchanged."""
    content = bytes(range(256)) * 999
    with subject.open() as sandbox:
        expect(sandbox.exec(["cat"], stdin=content).stdout == content, "the same bytes", "others")


def input_is_fed_while_output_is_read(subject: Subject) -> None:
    """Input larger than any pipe comes back whole from a command that answers as it reads."""
    content = bytes(range(256)) * 20_000
    with subject.open(output_bytes=8 << 20) as sandbox:
        expect(sandbox.exec(["cat"], 15, content).stdout == content, "the same bytes", "others")


def input_that_is_closed_does_no_harm(subject: Subject) -> None:
    """A command that closes its input and goes on is not hurt by what it was to be fed."""
    with subject.open() as sandbox:
        result = shell(sandbox, "exec 0<&-; sleep 0.5; echo on", stdin=b"x" * 1_000_000)
        expect(result.is_ok and result.stdout == b"on\n", "`on`", result)


def unread_input_does_not_put_off_the_timeout(subject: Subject) -> None:
    """A command that reads a part of what it is fed and does not end is ended in time."""
    with subject.open() as sandbox:
        result = shell(sandbox, "head -c 8192 >/dev/null; exec sleep 60", 0.5, b"x" * 1_000_000)
        expect(result.is_timed_out and result.elapsed_s < 2, "a time-out after 0.5 s", result)


def endless_output_left_behind_does_not_hold_up(subject: Subject) -> None:
    """A command is over when it ends, though what it left behind writes without an end."""
    with subject.open(cpus=2.0) as sandbox:
        result = shell(sandbox, "cat /dev/zero & cat /dev/zero & sleep 0.5; echo started >&2", 10)
        expect(result.exit_code == 0 and not result.is_timed_out and result.elapsed_s < 5, "an end at once", result)


def waiting_takes_no_processor_time(subject: Subject) -> None:
    """Nobody spins while a command that has closed its output goes on."""
    with subject.open() as sandbox:
        python(sandbox, WITHOUT_OUTPUT)
        expect(int(sandbox.read("ticks")) < 30, "less than 0.3 s of processor time", sandbox.read("ticks"))


def side_by_side_inputs_do_not_mix(subject: Subject) -> None:
    """Each of many commands gets its own input, however large."""
    with subject.open(output_bytes=4 << 20) as sandbox, ThreadPoolExecutor(8) as threads:
        inputs = [bytes([number]) * 1_000_000 for number in range(16)]
        for fed, result in zip(
            inputs, threads.map(lambda content: sandbox.exec(["cat"], 20, content), inputs), strict=True
        ):
            expect(result.stdout == fed, "what was fed", result.stdout[:10])


def side_by_side_outputs_do_not_mix(subject: Subject) -> None:
    """Each of many commands gets its own output."""
    with subject.open() as sandbox, ThreadPoolExecutor(8) as threads:
        results = threads.map(lambda number: sandbox.exec(["echo", f"this is {number}"]), range(50))
        for number, result in enumerate(results):
            expect(result.stdout == b"this is %d\n" % number, f"output {number}", result)


CHECKS: tuple[Check, ...] = (
    stderr_is_apart,
    both_ends_of_both_outputs_are_kept,
    binary_data_passes,
    input_is_fed_while_output_is_read,
    input_that_is_closed_does_no_harm,
    unread_input_does_not_put_off_the_timeout,
    endless_output_left_behind_does_not_hold_up,
    waiting_takes_no_processor_time,
    side_by_side_inputs_do_not_mix,
    side_by_side_outputs_do_not_mix,
)
