"""The journal of trajectories: damage named, a killed collection continued, nothing overwritten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sage_gym.errors import RecordError, TooManyFailuresError
from sage_gym.rollout import Request, collect
from sage_gym.rollout.journal import Journal, load, read_trajectories, scan
from sage_gym.rollout.recording import recorded
from sage_gym.types import (
    Budget,
)
from tests.recorded_rollouts import playing, prints, record_all
from tests.scripted_rollouts import CountingEnv, ScriptedPolicy, count_by_lot, requests

BUDGET = Budget(max_turns=12)


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
        "from tests.recorded_rollouts import playing\n"
        "from tests.scripted_rollouts import requests\n"
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
        "import resource, sys; from pathlib import Path; from tests.recorded_rollouts import record_all\n"
        "from tests.scripted_rollouts import requests\n"
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
