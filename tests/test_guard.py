"""The guard: tables of commands that are denied and allowed, disguises, rules as data."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sage_gym.evaluation.intervals import wilson
from sage_gym.sandbox.guard import Guard, Match, Places, Rule, read_rules
from sage_gym.sandbox.guard.places import UNKNOWN
from sage_gym.sandbox.guard.shell import read

CASES = Path(__file__).parent / "cases"
GUARD = Guard()


def cases(name: str) -> Iterator[tuple[str, bool, str]]:
    """The commands of a file, whether they must be denied, and their kind."""
    for line in (CASES / name).read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        yield case["command"], case["deny"], case["kind"]


FILES = ("guard_seen.jsonl", "guard_unseen.jsonl", "guard_fresh.jsonl")
ALL = [case for name in FILES for case in cases(name)]


@pytest.mark.parametrize("kind", sorted({kind for _, is_denied, kind in ALL if is_denied}))
def test_every_destructive_case_is_denied_with_a_reason(kind: str) -> None:
    verdicts = {command: GUARD.judge(command) for command, _, own in ALL if own == kind}
    assert [command for command, verdict in verdicts.items() if verdict.action != "deny"] == []
    assert all(verdict.reason and verdict.rule and verdict.call for verdict in verdicts.values())


def test_at_most_one_in_a_hundred_ordinary_commands_is_denied() -> None:
    ordinary = [command for command, is_denied, _ in ALL if not is_denied]
    denied = [command for command in ordinary if not GUARD.judge(command).is_allowed]
    assert len(ordinary) > 700
    assert wilson(len(denied), len(ordinary)).high < 0.01, denied


def test_the_table_is_as_large_as_it_should_be_and_is_bash() -> None:
    assert sum(is_denied for _, is_denied, _ in ALL) >= 150
    for name in FILES:
        commands = [command for command, _, _ in cases(name)]
        assert len(set(commands)) == len(commands)
    sample = "\n".join(f"f{i}() {{\n{command}\n}}" for i, command in enumerate(commands[:20]) if "<<" not in command)
    assert subprocess.run(["bash", "-n"], input=sample, text=True, capture_output=True, check=False).returncode == 0


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_any_text_is_judged_and_what_is_only_printed_is_allowed(text: str) -> None:
    GUARD.judge(text)
    quoted = "'" + text.replace("'", "'\\''").replace("\0", "") + "'"
    assert GUARD.judge(f"echo {quoted}").is_allowed
    assert GUARD.judge(f"echo {quoted} > notes.txt").is_allowed


PIECES = st.sampled_from(["{}", "'{}'", '"{}"', "\\{}", "$'{}'", "''{}", '{}""'])


@given(st.lists(PIECES, min_size=2, max_size=2), st.sampled_from(["/", "~", "$HOME", "/etc", "../..", "'/'usr"]))
@settings(max_examples=60, deadline=None)
def test_quotes_hide_neither_the_program_nor_the_place(pieces: list[str], place: str) -> None:
    name = "".join(piece.format(letter) for piece, letter in zip(pieces, "rm", strict=True))
    assert not GUARD.judge(f"{name} -rf {place}").is_allowed
    assert not GUARD.judge(f"x={name}; true && $x -r -f {place}").is_allowed
    assert not GUARD.judge(f'bash -c "{name.replace(chr(34), "")} -rf /"').is_allowed or '"' in name or "$" in name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=(1 2); f \"${a[@]}\" x", ("f", "1", "2", "x")),
        ("f {a,b}{1,2}", ("f", "a1", "a2", "b1", "b2")),
        ("f {3..1}", ("f", "3", "2", "1")),
        ("x=a.tar.gz; f ${x%%.*} ${x#*.} ${x/tar/zip}", ("f", "a", "tar.gz", "a.zip.gz")),
        ("x=a.tar.gz; f ${x:2:3} ${y:-z} ${x^^}", ("f", "tar", "z", "A.TAR.GZ")),
        ("f $(printf '%s-%s' a b) $((1+1)) ~/x", ("f", "a-b", UNKNOWN, "/home/agent/x")),
        ("f $'\\x41\\102\\tC' \"a\\\"b\"", ("f", "AB\tC", 'a"b')),
        ("f \"$(echo YQ== | base64 -d)\" `echo c | tr a-c x-z`", ("f", "a", "z")),
        ("sudo -u me env A=1 nice -n 5 f x", ("f", "x")),
        ("g() { f \"$@\"; }; g 'a b' c", ("f", "a", "b", "c")),
        ("cd sub && f ./x", ("f", "./x")),
    ],
)  # fmt: skip
def test_words_are_what_bash_would_make_of_them(text: str, words: tuple[str, ...]) -> None:
    assert read(text, Places()).commands[-1].argv == words


def test_paths_follow_the_folder_and_links() -> None:
    assert read("cd sub && f ../../etc/x", Places()).commands[-1].operands == ("/etc/x",)
    assert read("ln -s /etc l; f l/passwd", Places()).commands[-1].operands == ("/etc/passwd",)
    assert read("f x", Places(), cwd="/tmp/y").commands[-1].operands == ("/tmp/y/x",)


def test_a_call_as_words_is_judged_as_it_is() -> None:
    assert not GUARD.judge(["rm", "-rf", "/"]).is_allowed
    assert GUARD.judge(["echo", "; rm -rf /"]).is_allowed
    assert not GUARD.judge("rm -rf *", cwd="/").is_allowed
    assert GUARD.judge("rm -rf *", cwd="/workspace/build").is_allowed


def test_other_folders_can_be_the_agents_own() -> None:
    guard = Guard(Places(workspace="/srv/job", home="/srv/home", scratch=("/srv/tmp",)))
    assert guard.judge("rm -rf /srv/job/build").is_allowed
    assert not guard.judge("rm -rf /srv/job").is_allowed
    assert not guard.judge("rm -rf /workspace/build").is_allowed


def test_rules_are_data_the_first_that_holds_decides_and_the_strictest_call_counts() -> None:
    ask = Rule(
        name="pushing", action="ask", reason="this publishes", match=(Match(programs=("git",), argument="^push$"),)
    )
    guard = Guard(rules=(ask, *read_rules()))
    assert (guard.judge("git push").action, guard.judge("git push").rule) == ("ask", "pushing")
    assert guard.judge("git push && rm -rf /").rule == "whole-deletion"
    assert guard.judge("git pull").is_allowed
    assert str(guard.judge("git push")) == "ask (pushing): this publishes: git push"


def test_a_file_of_rules_that_is_wrong_says_where(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n- {name: a, action: forbid, reason: b, match: [{program: [x]}]}\n", encoding="utf-8")
    with pytest.raises(ValidationError, match=r"rules\.0\.action(.|\n)*rules\.0\.match\.0\.program"):
        read_rules(path)
    path.write_text("rules:\n- {name: a, action: deny, reason: b, match: [{text: '('}]}\n", encoding="utf-8")
    with pytest.raises(ValidationError, match="expected a regular expression"):
        read_rules(path)


def test_what_cannot_be_read_is_asked_about() -> None:
    verdict = GUARD.judge("for do ( <<")
    assert (verdict.action, verdict.rule) == ("ask", "unreadable")
    assert GUARD.judge("rm -rf / ; for do (").action == "deny"


def test_what_multiplies_itself_ends_the_reading_too() -> None:
    assert not GUARD.judge(".(){ .|.& };.").is_allowed
    assert len(read("f() { g; g; }; g() { h; h; }; h() { i; i; }; i() { f; f; }; f", Places()).commands) < 3000
    assert read("; ".join(["x"] * 5000), Places()).commands
