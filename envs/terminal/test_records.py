"""AgentBench's record format, with records of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.terminal.environment import Terminal
from envs.terminal.experts import expert, play, unattainable
from envs.terminal.pools import pool_of
from envs.terminal.problems import Code, Record
from envs.terminal.record_judging import judge_record, set_up
from envs.terminal.records import read_records
from sage_gym.errors import CatalogError
from sage_gym.sandbox import BASE_IMAGE
from sage_gym.sandbox.local import LocalSandbox
from sage_gym.sandbox.stub import StubSandbox

MATCH = {"description": "What is the word?", "evaluation": {"match": "heron"}, "labels": ["file", "text"]}
REGEX = {"description": "Which year?", "evaluation": {"match": {"regex": "^19\\d\\d$"}}}
COUNT = {
    "description": "How many lines has list.txt?",
    "create": {"local": "default", "init": [{"code": "printf 'a\\nb\\nc\\n' > list.txt"}, "touch other.txt"]},
    "evaluation": {
        "check": [None, {"language": "python", "file": "check/equal.py"}],
        "example": "grep -c '' list.txt",
    },
}
MAKE = {
    "description": "Make the folder made.",
    "create": {"init": {"file": "init.sh"}},
    "start": "touch started",
    "evaluation": {"check": {"code": "test -d made && test -f started"}, "example": {"code": "mkdir made"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scripts" / "check").mkdir(parents=True)
    (tmp_path / "scripts" / "check" / "equal.py").write_text(
        "import sys\nsys.exit(int(sys.argv[1]) != int(sys.argv[2]))"
    )
    (tmp_path / "scripts" / "init.sh").write_text("touch before")
    (tmp_path / "mine.json").write_text(json.dumps([MATCH, REGEX, COUNT, MAKE]))
    return tmp_path


@pytest.fixture(scope="module")
def lent() -> Iterator[LocalSandbox]:
    with LocalSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def local(lent: LocalSandbox) -> LocalSandbox:
    lent.reset()
    return lent


def record(folder: Path, at: int) -> Record:
    goal = read_records(str(folder))["mine"].problem(at).goal
    assert isinstance(goal, Record)
    return goal


def test_records_are_tasks_of_a_split_of_their_own(folder: Path) -> None:
    env = Terminal(records=str(folder), sandbox="stub", split="mine")
    assert env.splits()[-1] == "mine"
    assert [task.key for task in env.tasks("mine")] == [f"terminal/mine/{at:05d}" for at in range(4)]
    assert env.tasks("mine")[0].family == "file,text"
    first, _ = env.reset(options={"task": "terminal/mine/00000"})
    assert first.startswith("What is the word?\n")
    _, reward, *_, info = env.step("Think: I see.\n\nAct: answer( heron )")
    assert reward == 1.0
    assert info["reward_components"] == {"match": 1.0}


def test_the_parts_of_a_record_are_read(folder: Path) -> None:
    assert record(folder, 0) == Record(answer="heron", is_stripped=True)
    assert record(folder, 1) == Record(pattern="^19\\d\\d$")
    count = record(folder, 2)
    assert count.init == (Code("bash", "printf 'a\\nb\\nc\\n' > list.txt"), Code("bash", "touch other.txt"))
    assert [code and code.language for code in count.chain] == [None, "python"]
    assert count.example == Code("bash", "grep -c '' list.txt")
    assert (record(folder, 3).start, record(folder, 3).init) == (
        Code("bash", "touch started"),
        (Code("bash", "touch before"),),
    )


def test_a_file_may_have_one_record_or_one_a_line_and_upstreams_folders(tmp_path: Path) -> None:
    (tmp_path / "data" / "7").mkdir(parents=True)
    (tmp_path / "scripts" / "7").mkdir(parents=True)
    (tmp_path / "scripts" / "7" / "init.sh").write_text("touch x")
    (tmp_path / "data" / "7" / "one.json").write_text(json.dumps(MAKE))
    (tmp_path / "data" / "7" / "lines.jsonl").write_text(f"{json.dumps(MATCH)}\n\n{json.dumps(REGEX)}\n")
    found = {split: len(file) for split, file in read_records(str(tmp_path / "data" / "7")).items()}
    assert found == {"lines": 2, "one": 1}


@pytest.mark.parametrize(
    ("answer", "wanted"), [("heron", 1.0), (" heron\n", 1.0), ("Heron", 0.0), ("", 0.0), (None, 0.0)]
)
def test_a_match_is_compared_stripped(folder: Path, answer: str | None, wanted: float) -> None:
    assert judge_record(record(folder, 0), answer, StubSandbox(), frozenset()) == {"match": wanted}


@pytest.mark.parametrize(("answer", "wanted"), [("1987", 1.0), (" 1987", 0.0), ("2087", 0.0), (None, 0.0)])
def test_a_pattern_is_searched_for_and_strips_only_where_it_says_so(
    folder: Path, answer: str | None, wanted: float
) -> None:
    assert judge_record(record(folder, 1), answer, StubSandbox(), frozenset()) == {"match": wanted}


@pytest.mark.parametrize(("answer", "wanted"), [("3", 1.0), ("4", 0.0), ("three", 0.0), (None, 0.0)])
def test_a_chain_is_given_the_answer_and_what_came_before(
    folder: Path, local: LocalSandbox, answer: str | None, wanted: float
) -> None:
    goal = record(folder, 2)
    assert judge_record(goal, answer, local, set_up(goal, local)) == {"check": wanted}


def test_a_check_of_the_state_looks_where_the_agent_was(folder: Path, local: LocalSandbox) -> None:
    goal = record(folder, 3)
    spared = set_up(goal, local)
    assert local.read("started") == local.read("before") == b""
    assert judge_record(goal, None, local, spared) == {"check": 0.0}
    local.exec(["mkdir", "made"])
    assert judge_record(goal, None, local, spared) == {"check": 1.0}


def test_a_check_takes_no_module_from_where_the_agent_was(folder: Path, local: LocalSandbox) -> None:
    chain = (Code("python", "import colorsys, sys\nsys.exit(colorsys.__file__.startswith(sys.argv[1]))"),)
    local.write("colorsys.py", b"")
    assert judge_record(Record(chain=chain), local.workspace, local, frozenset()) == {"check": 1.0}


def test_the_example_is_the_reference_solution_and_what_it_cannot_reach_is_listed(folder: Path) -> None:
    env = Terminal(records=str(folder), sandbox="local", split="mine")
    for at in (0, 2, 3):
        env.reset(options={"task": f"terminal/mine/{at:05d}"})
        assert play(env, expert(env).action)[0] == 1.0
        env.reset(options={"task": f"terminal/mine/{at:05d}"})
        assert env.step("Act: finish")[1] == 0.0
    assert list(unattainable(env, "mine")) == ["terminal/mine/00001"]
    played = env.session
    assert list(unattainable(env, "mine")) == ["terminal/mine/00001"]
    assert unattainable(env, "train") == {}
    assert env.session is played, "what is known is not played again"


def test_a_record_may_name_its_image(tmp_path: Path) -> None:
    named = {**MATCH, "create": {"image": "some/image:2"}}
    (tmp_path / "mine.json").write_text(json.dumps([named, MATCH]))
    env = Terminal(records=str(tmp_path), sandbox="stub", split="mine")
    for at, image in enumerate(("some/image:2", BASE_IMAGE)):
        env.reset(options={"task": f"terminal/mine/{at:05d}"})
        assert env.session.lease.pool is pool_of("stub", image, env.session.lease.sandbox.limits)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ([], "expected an object with a description"),
        ({"evaluation": {"match": "x"}}, "misses 'description'"),
        ({"description": "x"}, "misses 'evaluation'"),
        ({"description": "x", "evaluation": {}}, "expected match or check"),
        ({"description": "x", "evaluation": {"match": {"word": "x"}}}, "expected answer or regex in match, got"),
        ({"description": "x", "evaluation": {"match": {"regex": "("}}}, "unterminated"),
        ({"description": "x", "evaluation": {"check": [None]}}, "expected an example"),
        ({"description": "x", "evaluation": {"check": {"language": "perl", "code": "1"}}}, "got 'perl'"),
        ({"description": "x", "evaluation": {"check": {"file": "../../../etc/passwd"}}}, "expected the script"),
        ({"description": "x", "evaluation": {"check": {"file": "none.sh"}}}, "expected the script 'none.sh'"),
    ],
)
def test_a_bad_record_is_named_by_file_and_number(tmp_path: Path, raw: Any, complaint: str) -> None:
    (tmp_path / "mine.json").write_text(json.dumps([MATCH, raw]))
    with pytest.raises(CatalogError, match=complaint) as caught:
        Terminal(records=str(tmp_path))
    assert "mine.json, record 1" in str(caught.value)


def test_what_is_no_record_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"expected AgentBench's .json or .jsonl records in .*, got none"):
        Terminal(records=str(tmp_path))
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(CatalogError, match=r"mine\.json: expected JSON"):
        Terminal(records=str(tmp_path))


def test_two_files_cannot_be_one_split(tmp_path: Path) -> None:
    for suffix in ("json", "jsonl"):
        (tmp_path / f"mine.{suffix}").write_text(json.dumps(MATCH))
    with pytest.raises(CatalogError, match=r"expected one file a split, got mine\.json and mine\.jsonl"):
        Terminal(records=str(tmp_path))


def test_a_file_cannot_take_the_name_of_a_generated_split(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(MATCH))
    with pytest.raises(CatalogError, match="not named like a generated split, got train"):
        Terminal(records=str(tmp_path))
