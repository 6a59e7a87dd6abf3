"""Trajectories on disk: nothing lost, damage named, a killed collection continued."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_gym.errors import RecordError, TooManyFailuresError
from sage_gym.rollout import Request, collect
from sage_gym.rollout.journal import Journal, load, read_trajectories, scan
from sage_gym.rollout.recording import recorded
from sage_gym.rollout.records import decode, encode, fingerprint
from sage_gym.rollout.tables import write_table
from sage_gym.types import (
    Budget,
    Candidate,
    Decision,
    Failure,
    Ledger,
    Origin,
    StopReason,
    Task,
    Trajectory,
    Turn,
)
from tests.scripted_rollouts import CountingEnv, ScriptedPolicy, count_by_lot, requests

BUDGET = Budget(max_turns=12)
FLOATS = st.floats(allow_nan=False)
TEXT = st.text(st.characters(), max_size=8)
JSON = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=2,
)
P = st.none() | FLOATS


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    n = draw(st.integers(0, 5))

    def row(of: st.SearchStrategy[Any]) -> Any:
        return tuple(draw(st.lists(of, min_size=n, max_size=n)))

    ids = st.lists(st.integers(0, 200_000), max_size=3).map(tuple)
    allowed = draw(st.booleans()) and row(st.none() | ids)
    return Ledger(
        draw(ids), row(st.integers(0, 9)), row(FLOATS), row(st.booleans()), allowed or (), draw(st.booleans()),
        draw(FLOATS),
    )  # fmt: skip


CANDIDATES = st.lists(st.builds(Candidate, TEXT, P, P, P), max_size=2).map(tuple)
STOPS = st.none() | st.sampled_from(StopReason)
DECISIONS = st.builds(
    Decision, TEXT, TEXT, TEXT, st.none() | ledgers(), P, P, P, CANDIDATES, st.sampled_from(Origin),
    st.integers(0, 3), STOPS, JSON,
)  # fmt: skip
TURNS = st.lists(st.builds(Turn, TEXT, DECISIONS, FLOATS, st.booleans(), FLOATS, JSON), max_size=3).map(tuple)
FAILURES = st.none() | st.builds(Failure, TEXT, TEXT, TEXT, st.integers(1, 3))
TASKS = st.builds(Task, TEXT, TEXT, TEXT, st.integers(), TEXT, TEXT, TEXT)
TRAJECTORIES = st.builds(
    Trajectory, TEXT, TASKS, TURNS, st.sampled_from(StopReason), FLOATS, st.booleans(), st.integers(), TEXT,
    st.integers(), st.integers(), TEXT, JSON, st.booleans(), FAILURES, FLOATS, st.lists(TEXT, max_size=2).map(tuple),
)  # fmt: skip


@given(TRAJECTORIES)
@settings(max_examples=150, deadline=None)
def test_a_trajectory_comes_back_from_its_line_as_it_was(trajectory: Trajectory) -> None:
    line = encode(trajectory)
    assert "\n" not in line
    assert decode(line) == trajectory


def test_every_field_of_the_contract_is_in_the_property() -> None:
    built = decode(encode(full_trajectory()))
    for thing in (built, built.task, built.turns[0], built.turns[0].decision, built.turns[0].decision.ledger):
        default = [name for name in thing.__slots__ if getattr(thing, name) in ((), {}, None, "", 0.0, False)]
        assert not default, f"fill {default} here and in TRAJECTORIES"


def full_trajectory() -> Trajectory:
    ledger = Ledger((1,), (2, 3), (-0.1, -0.2), (True, False), (None, (3, 4)), True, 0.7)
    decision = Decision(
        "text", "act", "plan", ledger, 0.1, 0.2, 0.3, (Candidate("x", -1.0, 0.5, 0.25),), Origin.TEACHER, 1,
        StopReason.TURN_TOKENS, {"a": [1]},
    )  # fmt: skip
    task = Task("k", "i", "train", 1, "h", "e", "f")
    turn = Turn("obs", decision, 0.5, True, 0.1, {"b": 2})
    return Trajectory(
        "id", task, (turn,), StopReason.MAX_TURNS, 0.5, True, 3, "p", 4, 5, "end", {"c": None}, True,
        Failure("sandbox", "E", "m", 2), 0.25, ("try again",),
    )  # fmt: skip


def test_what_a_policy_may_write_survives_even_where_utf8_cannot_hold_it() -> None:
    decision = Decision("\ud800 \n\u2028", "x", notes={"best": float("inf")})
    trajectory = replace(full_trajectory(), turns=(Turn("", decision, 0.0),))
    assert decode(encode(trajectory)) == trajectory


def test_notes_that_json_cannot_hold_are_refused_by_name() -> None:
    trajectory = replace(full_trajectory(), info={"handle": object()})
    with pytest.raises(TypeError, match="expected info and notes that JSON can hold, got object"):
        encode(trajectory)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "x"', "expected one trajectory as JSON"),
        ('{"id": 3}', "id: Input should be a valid string; task: Field required"),
        (encode(full_trajectory()).replace("max_turns", "bored"), "stop_reason: Input should be 'terminated'"),
        (encode(full_trajectory()).replace("[-0.1,-0.2]", "[-0.1]"), "ledger holds 2 sampled ids"),
    ],
)
def test_a_bad_line_says_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(RecordError, match=message.replace("[", r"\[")):
        decode(line)


def test_a_fingerprint_leaves_out_the_clock_and_nothing_else() -> None:
    one = full_trajectory()
    turn = one.turns[0]
    same = replace(one, elapsed_s=9.0, failure=None, turns=(replace(turn, elapsed_s=7.0, info={"b": 2, "host": "h"}),))
    other = replace(one, turns=(replace(turn, decision=replace(turn.decision, p_fail=0.21)),))
    assert fingerprint(one) == fingerprint(same)
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) != fingerprint(replace(one, seed=4))


def playing(wanted: Sequence[Request], **settings: Any) -> Any:
    return collect(
        CountingEnv, ScriptedPolicy(count_by_lot), wanted, **{"budget": BUDGET, "concurrency": 4, **settings}
    )


def prints(chunks: Any) -> list[list[str]]:
    return [[fingerprint(one) for one in chunk] for chunk in chunks]


def record_all(path: Path, wanted: Sequence[Request], play: Any = playing) -> list[list[str]]:
    return prints(recorded(path, wanted, play, concurrency=4))


def test_a_journal_gives_back_what_was_written(tmp_path: Path) -> None:
    chunks = list(playing(requests(10)))
    with Journal(tmp_path / "run" / "t.jsonl") as journal:
        for number, chunk in enumerate(chunks):
            journal.append(number, chunk)
    assert list(read_trajectories(tmp_path / "run" / "t.jsonl")) == chunks


def test_a_file_that_is_cut_off_anywhere_continues_to_the_same_result(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    expected = record_all(whole, requests(10))
    content = whole.read_bytes()
    for kept in sorted({0, 5, len(content), *range(0, len(content), len(content) // 23)}):
        path = tmp_path / f"{kept}.jsonl"
        path.write_bytes(content[:kept])
        asked: list[int] = []

        def counting(wanted: Sequence[Request], asked: list[int] = asked) -> Any:
            asked.append(len(wanted))
            return playing(wanted)

        on_record = len(scan(path).chunks)
        assert record_all(path, requests(10), counting) == expected
        assert asked == [(10, 6, 2, 0)[on_record]]
        assert scan(path).damage == ()
        assert len(scan(path).chunks) == 3


def test_a_finished_collection_is_read_and_not_played_again(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    expected = record_all(path, requests(10))
    before = path.read_bytes()
    assert record_all(path, requests(10), never_play) == expected
    assert path.read_bytes() == before


def never_play(wanted: Sequence[Request]) -> Any:
    assert not wanted
    yield from ()


def test_a_killed_process_continues_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    program = (
        "import os, sys; from pathlib import Path; from sage_gym.rollout.recording import recorded\n"
        "from tests.test_rollout_records import playing, record_all, requests\n"
        "for n, _ in enumerate(recorded(Path(sys.argv[1]), requests(10), playing, concurrency=4)):\n"
        "    if n == 1: os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, timeout=60, check=False)
    assert done.returncode == -9
    assert sorted(scan(path).chunks) == [0, 1]
    assert record_all(path, requests(10)) == prints(playing(requests(10)))


def test_a_damaged_last_line_is_named_skipped_and_cut_off_on_opening(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    record_all(path, requests(8))
    content = path.read_bytes()
    path.write_bytes(content + b'{"id":"r0/count/008#0","ta')
    found = scan(path)
    assert [(damage.line, damage.episodes) for damage in found.damage] == [(12, 1)]
    assert "expected one trajectory as JSON" in found.damage[0].reason
    assert sorted(found.chunks) == [0, 1]
    with Journal(path) as journal:
        assert journal.damage == found.damage
    assert path.read_bytes() == content


def test_damage_in_the_middle_costs_its_chunk_alone_which_is_played_again(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    expected = record_all(path, requests(10))
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    lines[7] = lines[7].replace(b'"reward":', b'"reward";', 1)
    path.write_bytes(b"".join(lines))
    found = scan(path)
    assert sorted(found.chunks) == [0, 2]
    assert [(damage.line, damage.episodes) for damage in found.damage] == [(8, 4)]
    assert record_all(path, requests(10)) == expected
    assert sorted(scan(path).chunks) == [0, 1, 2]


def test_a_digit_that_flipped_on_the_disk_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    record_all(path, requests(4))
    content = path.read_bytes()
    at = content.index(b'"prompt_ids":[1') + len(b'"prompt_ids":[')
    path.write_bytes(content[:at] + b"2" + content[at + 1 :])
    found = scan(path)
    assert not found.chunks
    assert found.damage[0].reason == "the lines are not those that were written"


def test_a_chunk_written_again_counts_in_its_last_form(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    first, second = playing(requests(8))
    with Journal(path) as journal:
        journal.append(0, first)
        journal.append(0, second)
    assert load(path, scan(path).chunks[0]) == second


def test_a_file_of_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    record_all(path, requests(8))
    before = path.read_bytes()
    with pytest.raises(RecordError, match=r"chunk 0: expected the episodes of this run .* another configuration"):
        record_all(path, requests(8, run_seed=1))
    with pytest.raises(RecordError, match=r"chunk 0: .* got 4 episodes for 8"):
        next(recorded(path, requests(8), playing, concurrency=8))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["my diary\n", "my diary", '{"kind":"header","format":2}\n'])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(RecordError, match="no trajectory file, or was written by another version"):
        Journal(path)
    assert path.read_text() == content


def test_two_writers_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with Journal(path), pytest.raises(RecordError, match="another process writes to it"):
        Journal(path)
    Journal(path).close()


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    record_all(path, requests(4))
    before = path.read_bytes()
    program = (
        "import resource, sys; from pathlib import Path; from tests.test_rollout_records import record_all, requests\n"
        "limit = int(sys.argv[2]); resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "record_all(Path(sys.argv[1]), requests(8))\n"
    )
    command = [sys.executable, "-c", program, str(path), str(len(before) + 700)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, timeout=60, check=False, capture_output=True, text=True)
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert path.read_bytes() == before
    assert record_all(path, requests(8)) == prints(playing(requests(8)))


def test_chunks_before_too_many_failures_are_kept(tmp_path: Path) -> None:
    def trouble(key: str, turn: int) -> None:
        if key >= "count/008":
            raise RuntimeError("out of stock")

    def failing(wanted: Sequence[Request]) -> Any:
        policy = ScriptedPolicy(count_by_lot)
        return collect(partial(CountingEnv, trouble), policy, wanted, budget=BUDGET, concurrency=4)

    path = tmp_path / "t.jsonl"
    with pytest.raises(TooManyFailuresError, match="out of stock"):
        record_all(path, requests(12), failing)
    assert sorted(scan(path).chunks) == [0, 1]
    assert record_all(path, requests(12)) == prints(playing(requests(12)))


def test_the_table_opens_in_datasets_and_holds_the_ledgers(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    chunks = [*playing(requests(6)), [full_trajectory(), replace(full_trajectory(), final_observation="\ud800")]]
    assert write_table(chunks, tmp_path / "t.parquet") == 8
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    table = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "t.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    first, full = chunks[0][0], table[6]
    assert table.num_rows == 8
    assert table[0]["id"] == first.id
    assert [turn["sampled_ids"] for turn in table[0]["turns"]] == [
        list(turn.decision.ledger.sampled_ids) for turn in first.turns if turn.decision.ledger
    ]
    assert full["turns"][0]["allowed"] == [None, [3, 4]]
    assert full["turns"][0]["logprobs"] == [-0.1, -0.2]
    assert (full["hints"], table[0]["hints"]) == (["try again"], [])
    assert full["failure"] == '{"where": "sandbox", "error": "E", "message": "m", "attempts": 2}'
    assert table[7]["final_observation"] == "?"


def test_a_table_that_fails_half_way_does_not_appear(tmp_path: Path) -> None:
    def chunks() -> Any:
        yield from playing(requests(4))
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        write_table(chunks(), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []
