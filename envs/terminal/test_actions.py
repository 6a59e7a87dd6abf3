"""What may be written, and what is shown."""

from __future__ import annotations

import pytest

from envs.terminal.actions import Action, parse_action
from envs.terminal.output import CUT, shown
from sage_gym.sandbox import Result

BLOCKS = "Think: two.\n\nAct: bash\n\n```bash\nls\n```\nand\n```bash\npwd\n```"


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("bash[ls -l]", Action("bash", "ls -l")),
        ("  BASH[ls]", Action("bash", "ls")),
        ("bash[a=(1 2); echo ${a[0]}] and more", Action("bash", "a=(1 2); echo ${a[0]}")),
        ("bash[\nls\npwd\n]", Action("bash", "ls\npwd")),
        ("bash[```bash\nls\n```]", Action("bash", "ls")),
        ("answer[42]", Action("answer", "42")),
        ("answer[]", Action("answer", "")),
        ("done[]", Action("done")),
        (BLOCKS, Action("bash", "ls\n\npwd")),
        ("Think: x\nAct: answer(220)", Action("answer", "220")),
        ("Act: Answer(f(x) = 1)", Action("answer", "f(x) = 1")),
        ("Act: finish", Action("done")),
        ("Act: bash\n```bash\nls\n```\nAct: finish", Action("done")),
        ("Act: answer(1)\nAct: answer 2", Action("answer", "1")),
    ],
)
def test_both_grammars_are_read(written: str, wanted: Action) -> None:
    assert parse_action(written) == wanted


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "expected bash[command], answer[text] or done[], got ''"),
        ("ls -l", "got 'ls -l'"),
        ("bash[  ]", "expected a command between bash[ and ]"),
        ("bash[a\0b]", "without NUL"),
        ("bash[a\ud800]", "lone surrogates"),
        ("Act: bash\nls", "in a block that opens with ```bash"),
        ("Act: answer 5", "expected bash[command]"),
        ("Act: think", "expected bash[command]"),
    ],
)
def test_what_is_wrong_is_said(written: str, reason: str) -> None:
    found = parse_action(written)
    assert found.kind == "invalid"
    assert reason in found.content


def result(**given: object) -> Result:
    return Result(**{"exit_code": 0, **given})  # type: ignore[arg-type]


def test_output_is_cut_as_agentbench_cuts_it() -> None:
    assert shown(result(stdout=b"x" * 800), 800) == "x" * 800
    assert shown(result(stdout=b"x" * 801), 800) == "x" * 780 + CUT
    assert CUT == "\n[truncated because the output is too long]"


def test_how_a_command_ended_is_never_cut() -> None:
    assert shown(result(stdout=b"x" * 900, exit_code=3), 800) == "x" * 780 + CUT + "\n[exit code 3]"
    assert shown(result(exit_code=137, is_timed_out=True, elapsed_s=30.0), 800).startswith("[stopped after 30 s")
    assert shown(result(stdout=b"a\n", stderr=b"b\n", exit_code=1, is_out_of_memory=True), 800) == (
        "a\nb\n[out of memory: a process was killed]\n[exit code 1]"
    )
    assert shown(result(exit_code=126, denial="deny (x): y: z" * 90), 800) == f"[not run: {'deny (x): y: z' * 90}]"


def test_an_output_that_ends_like_a_notice_is_kept() -> None:
    assert shown(result(stdout=b"[exit code 1]\n", exit_code=1), 800) == "[exit code 1]\n[exit code 1]"


def test_no_output_is_said_and_terminal_codes_are_neutralised() -> None:
    assert shown(result(), 800) == "[no output]"
    assert shown(result(stdout=b"\x1b]0;title\x07red\x1b[31m\x00"), 800) == "red\\x00"
