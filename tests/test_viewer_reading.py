"""Files of trajectories found and read: quickly, and without hiding what is wrong with them."""

from __future__ import annotations

import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.evaluation.viewer.cache import Cache
from sage_gym.evaluation.viewer.files import find_files, find_runs
from sage_gym.evaluation.viewer.generated import write_run as generate
from sage_gym.evaluation.viewer.library import Library
from sage_gym.evaluation.viewer.reading import FileRows, load_trajectory, read_journal
from sage_gym.evaluation.viewer.summaries import read_lines, rows_of
from sage_gym.evaluation.viewer.tables import load_row, read_table
from sage_gym.rollout.journal import Journal, read_trajectories
from sage_gym.rollout.records import encode
from sage_gym.rollout.tables import write_table
from sage_gym.types import Failure, StopReason, Trajectory
from tests.viewer_runs import open_library, trajectory, turn, with_turns, write, write_run


@pytest.fixture(scope="module")
def workers():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def places_of(lines: list[bytes]) -> list[tuple[int, int]]:
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    return list(zip(starts, map(len, lines), strict=True))


def rows(found: FileRows) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = found.rows.to_pylist()
    return listed


forecasts = st.none() | st.floats(0, 1)
words = st.text(st.characters(codec="utf-8"), max_size=12)
turns = st.builds(
    turn, words, before=forecasts, p_fail=forecasts, denial=words, text=words, is_invalid=st.booleans()
) | st.just(replace(turn(), decision=replace(turn().decision, ledger=None)))
trajectories = st.builds(
    lambda one, played, policy, touched: replace(one, turns=tuple(played), policy=policy, is_intervened=touched),
    st.builds(
        trajectory,
        st.integers(0, 99),
        round=st.integers(0, 9),
        attempt=st.integers(0, 9),
        success=st.booleans(),
        reward=st.floats(0, 1),
        stop=st.sampled_from(StopReason),
        text=words,
    ),
    st.lists(turns, max_size=4),
    words,
    st.booleans(),
)


@given(st.lists(trajectories, min_size=1, max_size=5))
def test_the_quick_way_and_the_careful_way_read_the_same_rows(played: list[Trajectory]) -> None:
    lines = [encode(one).encode() + b"\n" for one in played]
    quick = read_lines(b"".join(lines), places_of(lines))
    assert quick is not None
    assert quick.to_pylist() == rows_of(played, places_of(lines)).to_pylist()


def test_lines_that_are_not_one_trajectory_each_are_left_to_the_careful_way() -> None:
    line = encode(trajectory(0)).encode()
    assert read_lines(line + line + b"\n", [(0, 2 * len(line) + 1)]) is None
    assert read_lines(b'{"id":"x"}\n', [(0, 11)]) is None


def test_a_row_says_what_the_trajectory_says(tmp_path: Path, workers: ThreadPoolExecutor) -> None:
    played = with_turns(
        trajectory(7, round=3, attempt=2, success=True, stop=StopReason.MAX_TURNS),
        turn(before=0.9, p_fail=0.8, is_invalid=True),
        turn(before=0.3, p_fail=None, denial="no"),
        turn(p_fail=0.1),
    )
    (row,) = rows(read_journal(write(tmp_path / "a.jsonl", [played]), workers))
    assert (row["id"], row["task"], row["round"], row["attempt"]) == ("r3/shop/007#2", "shop/007", 3, 2)
    assert row["outcome"] == 1, "truncated episodes did not succeed"
    assert (row["turns"], row["tokens"], row["invalid"], row["denied"]) == (3, 6, 1, 1)
    assert (row["forecast_before"], row["forecast"], row["forecast_last"]) == (0.9, 0.8, 0.1)
    assert load_trajectory(tmp_path / "a.jsonl", row["place"], row["size"]) == played


@pytest.mark.parametrize("odd", [turn(p_fail=math.inf), turn("click[\ud800]")])
def test_what_the_quick_way_cannot_read_is_read_the_careful_way(
    tmp_path: Path, workers: ThreadPoolExecutor, odd: object
) -> None:
    path = write(tmp_path / "a.jsonl", [with_turns(trajectory(1), odd), trajectory(2)])  # type: ignore[arg-type]
    found = read_journal(path, workers)
    assert [row["task"] for row in rows(found)] == ["shop/001", "shop/002"]
    assert found.damage == ()


def damaged(path: Path, line: int, change) -> Path:  # type: ignore[no-untyped-def]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1])
    path.write_bytes(b"".join(lines))
    return path


def test_a_damaged_line_is_named_skipped_and_counted_and_the_others_are_shown(
    tmp_path: Path, workers: ThreadPoolExecutor
) -> None:
    path = write(tmp_path / "a.jsonl", [trajectory(0), trajectory(1)], [trajectory(n) for n in (2, 3, 4)])
    damaged(path, 6, lambda line: line[:50] + b"\n")
    found = read_journal(path, workers)
    assert [row["task"] for row in rows(found)] == ["shop/000", "shop/001", "shop/002", "shop/004"]
    assert [(one.line, one.episodes) for one in found.damage] == [(6, 1)]
    assert "expected one trajectory as JSON" in found.damage[0].reason
    assert found.skipped == 1
    assert load_trajectory(path, rows(found)[3]["place"], rows(found)[3]["size"]).task.key == "shop/004"


def test_a_line_that_is_no_trajectory_is_named_with_its_fields(tmp_path: Path, workers: ThreadPoolExecutor) -> None:
    path = write(tmp_path / "a.jsonl", [trajectory(0), trajectory(1)])
    damaged(path, 2, lambda line: line.replace(b'"reward":1.0', b'"reward":"much"'))
    found = read_journal(path, workers)
    assert [row["task"] for row in rows(found)] == ["shop/001"]
    assert "reward" in found.damage[0].reason


def test_a_line_that_was_altered_but_can_be_read_is_shown_and_noted(
    tmp_path: Path, workers: ThreadPoolExecutor
) -> None:
    path = write(tmp_path / "a.jsonl", [trajectory(0), trajectory(1)])
    damaged(path, 2, lambda line: line.replace(b'"reward":1.0', b'"reward":0.5'))
    found = read_journal(path, workers)
    assert [row["reward"] for row in rows(found)] == [0.5, 1.0]
    assert [(one.line, one.episodes) for one in found.damage] == [(4, 0)]
    assert "not those that were written" in found.damage[0].reason


@pytest.mark.parametrize(
    "change",
    [
        lambda line: b'{"id":' + b"[" * 100_000 + b"\n",
        lambda line: line.replace(b'"reward":1.0', b'"reward":1.0,"attempt":' + b"9" * 30),
        lambda line: b"\xff\xfe" + line,
        lambda line: b"9" * 5000 + b"\n",
    ],
    ids=["nested", "large", "not UTF-8", "a number"],
)
def test_whatever_a_line_holds_costs_that_line_alone(tmp_path: Path, workers: ThreadPoolExecutor, change) -> None:  # type: ignore[no-untyped-def]
    path = damaged(write(tmp_path / "a.jsonl", [trajectory(0), trajectory(1)]), 2, change)
    found = read_journal(path, workers)
    assert [row["task"] for row in rows(found)] == ["shop/001"]
    assert [(one.line, one.episodes) for one in found.damage] == [(2, 1)]


def test_a_pipe_in_a_run_is_passed_over(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    os.mkfifo(run / "rounds/001/recovery.jsonl")
    os.mkfifo(run / "other.jsonl")
    with open_library(run) as library:
        assert len(library.index.files) == 4


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "rounds/000/trajectories.parquet").write_bytes(b"PAR1 no more than that")
    with open_library(run) as library:
        ((file, found),) = library.damage()
        assert file.name == "rounds/000/trajectories.parquet"
        assert "cannot be read" in found.damage[0].reason
        assert len(library.index) == 40


@pytest.mark.parametrize(("line", "skipped"), [(1, 1), (4, 1)])
def test_a_damaged_header_or_marker_costs_no_trajectory(
    tmp_path: Path, workers: ThreadPoolExecutor, line: int, skipped: int
) -> None:
    path = write(tmp_path / "a.jsonl", [trajectory(0), trajectory(1)], [trajectory(2)])
    damaged(path, line, lambda _: b"{]\n")
    found = read_journal(path, workers)
    assert [row["task"] for row in rows(found)] == ["shop/000", "shop/001", "shop/002"]
    assert [one.line for one in found.damage] == [line]
    assert found.skipped == skipped


def test_lines_without_a_marker_do_not_count_yet(tmp_path: Path, workers: ThreadPoolExecutor) -> None:
    path = write(tmp_path / "a.jsonl", [trajectory(0)])
    with path.open("ab") as file:
        file.write(encode(trajectory(1)).encode() + b"\n" + b'{"id":"r')
    found = read_journal(path, workers)
    assert len(rows(found)) == 1
    assert (found.unfinished, found.damage) == (2, ())


def test_a_chunk_that_was_written_again_counts_in_its_last_whole_form(
    tmp_path: Path, workers: ThreadPoolExecutor
) -> None:
    with Journal(tmp_path / "a.jsonl") as journal:
        journal.append(0, [trajectory(0, success=False)])
        journal.append(1, [trajectory(1)])
        journal.append(0, [trajectory(0, success=True)])
    found = read_journal(tmp_path / "a.jsonl", workers)
    assert [(row["task"], row["outcome"]) for row in rows(found)] == [("shop/000", 0), ("shop/001", 0)]
    damaged(tmp_path / "a.jsonl", 6, lambda line: line[:-9] + b"\n")
    assert [row["outcome"] for row in rows(read_journal(tmp_path / "a.jsonl", workers))] == [1, 0]


def test_a_table_gives_the_rows_and_the_trajectories_of_its_journal(
    tmp_path: Path, workers: ThreadPoolExecutor
) -> None:
    lost = replace(trajectory(1, stop=StopReason.INFRASTRUCTURE), failure=Failure("sandbox", "Lost", "gone", 2))
    played = [
        with_turns(trajectory(0, attempt=3), turn(denial="no such thing"), turn(p_fail=None)),
        lost,
        replace(trajectory(2), turns=(), hints=("try the other one",), info={"reward_components": {"r_att": 0.5}}),
    ]
    write_table([played[:2], played[2:]], tmp_path / "trajectories.parquet")
    table, journal = (
        read_table(tmp_path / "trajectories.parquet"),
        read_journal(write(tmp_path / "a.jsonl", played), workers),
    )
    assert table.rows.drop(["place", "size"]).to_pylist() == journal.rows.drop(["place", "size"]).to_pylist()
    for place, one in enumerate(played):
        again = load_row(tmp_path / "trajectories.parquet", place)
        assert replace(again, task=one.task) == one
        assert replace(again.task, seed=one.task.seed) == one.task


def test_what_was_kept_comes_back_until_the_file_changes(tmp_path: Path, workers: ThreadPoolExecutor) -> None:
    path, cache = write(tmp_path / "a.jsonl", [trajectory(0), trajectory(1)]), Cache(tmp_path / "cache")
    damaged(path, 3, lambda line: b"?\n")
    found = read_journal(path, workers)
    assert cache.load(path) is None
    cache.save(path, found)
    kept = Cache(tmp_path / "cache").load(path)
    assert kept is not None
    assert rows(kept) == rows(found)
    assert (kept.damage, kept.bytes, kept.mtime_ns) == (found.damage, found.bytes, found.mtime_ns)
    os.utime(path, ns=(1, 1))
    assert cache.load(path) is None


def test_a_cache_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, workers: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.jsonl", [trajectory(0)])
    (tmp_path / "cache").write_text("a file where a folder should be")
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        cache.save(path, read_journal(path, workers))
    assert cache.load(path) is None
    assert len(caplog.records) == 1


def test_old_entries_of_the_cache_go(tmp_path: Path, workers: ThreadPoolExecutor) -> None:
    path, cache = write(tmp_path / "a.jsonl", [trajectory(0)]), Cache(tmp_path / "cache")
    cache.save(path, read_journal(path, workers))
    cache.prune()
    assert cache.load(path) is not None
    (entry,) = (tmp_path / "cache").glob("*.arrow")
    os.utime(entry, (1, 1))
    cache.prune()
    assert cache.load(path) is None


def test_files_are_known_by_where_they_lie(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write(run / "evaluation/held-out.jsonl", [trajectory(0)])
    write(run / "rounds/001/pilot-plain.jsonl", [trajectory(0)])
    write(run / "test/further-test_shapes-001-restricted.jsonl", [trajectory(0)])
    (run / "rounds/001/verdicts.jsonl").write_text('{"trajectory_id": "x"}\n')
    (run / "metrics.jsonl").write_text('{"step": 0}\n')
    write_table([[trajectory(0)]], run / "rounds/001/trajectories.parquet")
    write_table([[trajectory(0)]], run / "rounds/000/trajectories.parquet")
    found = {file.name: (file.round, file.part) for file in find_files("run", run)}
    assert found == {
        "rounds/000/select.jsonl": (0, "select"),
        "rounds/000/trajectories.parquet": (0, "collect"),
        "rounds/001/collect.jsonl": (1, "collect"),
        "rounds/001/pilot-plain.jsonl": (1, "pilot-plain"),
        "rounds/001/select.jsonl": (1, "select"),
        "test/further-test_shapes-001-restricted.jsonl": (1, "test_shapes restricted"),
        "test/test-001-free.jsonl": (1, "test free"),
        "evaluation/held-out.jsonl": (None, "evaluation/held-out"),
    }


def test_a_journal_whose_first_line_is_damaged_still_counts_where_journals_lie(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    damaged(run / "rounds/001/collect.jsonl", 1, lambda _: b"\x00\n")
    assert "rounds/001/collect.jsonl" in [file.name for file in find_files("run", run)]


def test_a_folder_of_runs_stands_for_all_of_them_and_names_are_told_apart(tmp_path: Path) -> None:
    for name in ("a/demo", "a/other", "b/demo"):
        write_run(tmp_path / name)
    runs, problems = find_runs([tmp_path / "a", tmp_path / "b/demo", tmp_path / "a/demo"])
    assert [run.name for run in runs] == ["a/demo", "other", "b/demo"]
    assert problems == []


def test_what_is_no_run_is_named_with_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    _, problems = find_runs([tmp_path / "nowhere", tmp_path / "empty", tmp_path / "file"])
    assert [problem.rpartition(", got ")[2] for problem in problems] == [
        "nothing of that name",
        "a folder without rounds, tests or trajectories",
        "a file",
    ]


def until(is_so, library: Library) -> None:  # type: ignore[no-untyped-def]
    limit = time.monotonic() + 30
    while not is_so(library.index):
        assert time.monotonic() < limit, "it did not come to pass"
        library._looked_at = 1.0  # as if the folders had been looked at long ago
        library.look_again()
        time.sleep(0.05)


def test_a_run_that_goes_on_is_looked_at_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with open_library(run, cache=tmp_path / "cache") as library:
        before = len(library.index)
        with Journal(run / "rounds/001/collect.jsonl") as journal:
            journal.append(1, [trajectory(300, round=1)])
        write(run / "rounds/002/select.jsonl", [trajectory(301)])
        until(lambda index: len(index) == before + 2, library)
        (run / "rounds/002/select.jsonl").unlink()
        until(lambda index: len(index) == before + 1, library)


def test_a_rounds_table_stands_in_until_its_journal_has_been_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (played,) = read_trajectories(run / "rounds/001/collect.jsonl")
    write_table([played], run / "rounds/001/trajectories.parquet")
    runs, _ = find_runs([run])
    library = Library(runs, None)
    library._look()
    library._show()  # as it is before the reading thread has begun
    assert library.progress.pending_files == 4
    assert len(library.index) == len(played)
    row = library.index.find("run", "rounds/001/collect.jsonl", played[5].id)
    assert row is not None
    assert library.load(library.index, row).turns == played[5].turns
    with library:
        assert library.wait(30)
        assert len(library.index) == 12 + 12 + 12 + 4


def test_a_table_that_is_older_than_its_journal_does_not_stand_in(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_table([[trajectory(0)]], run / "rounds/001/trajectories.parquet")
    os.utime(run / "rounds/001/trajectories.parquet", (1, 1))
    library = Library(find_runs([run])[0], None)
    library._look()
    library._show()
    assert len(library.index) == 0


@pytest.mark.parametrize("order", [(200, 201, 203, 202), (7,), ()])
def test_a_trajectory_that_is_no_longer_where_it_was_is_refused(tmp_path: Path, order: tuple[int, ...]) -> None:
    run = write_run(tmp_path / "run")
    with open_library(run) as library:
        index = library.index
        row = index.find("run", "test/test-001-free.jsonl", "r0/shop/202#0")
        assert row is not None
        write(tmp_path / "new.jsonl", [trajectory(number, split="test") for number in order])
        (tmp_path / "new.jsonl").replace(run / "test/test-001-free.jsonl")
        with pytest.raises(ValueError, match=r"expected"):
            library.load(index, row)


def test_a_generated_run_is_one(tmp_path: Path, workers: ThreadPoolExecutor) -> None:
    generate(tmp_path, 400, rounds=2)
    assert sum(map(len, read_trajectories(tmp_path / "rounds/001/collect.jsonl"))) == 180
    collect, table = tmp_path / "rounds/001/collect.jsonl", tmp_path / "rounds/001/trajectories.parquet"
    found = read_journal(collect, workers)
    assert (found.rows.num_rows, found.damage) == (180, ())
    assert len(rows(read_journal(tmp_path / "rounds/000/select.jsonl", workers))) == 20
    assert read_table(table).rows.drop(["place", "size"]).to_pylist() == found.rows.drop(["place", "size"]).to_pylist()
    sizes = [len(line) for line in collect.read_bytes().splitlines()]
    assert 10_000 < sum(sizes) / len(sizes) < 25_000
    assert json.loads(collect.read_bytes().splitlines()[1])["id"] == found.rows["id"][0].as_py()
