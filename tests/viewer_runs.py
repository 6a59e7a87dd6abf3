"""Small runs for the tests of the viewer, written as training writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sage_gym.evaluation.viewer.cache import Cache
from sage_gym.evaluation.viewer.files import find_runs
from sage_gym.evaluation.viewer.library import Library
from sage_gym.rollout.journal import Journal
from sage_gym.types import Candidate, Decision, Ledger, StopReason, Task, Trajectory, Turn

HOSTILE = (
    "<script>window.broken = 1</script><img src=x onerror='window.broken = 2'>"
    '"><svg onload="window.broken = 3"> \x1b[31mred\x1b[0m\x1b]0;title\x07 \u202etxt.exe {{ 7 * 7 }} </pre></title>'
)


def task(number: int, text: str = "", environment: str = "shop", split: str = "train") -> Task:
    instruction = text or f"Find me the amber kettle number {number}"
    return Task(f"shop/{number:03d}", instruction, split, number, f"{number:x}", environment, f"family {number // 2}")


def turn(
    action: str = "click[one]",
    *,
    before: float | None = 0.5,
    p_fail: float | None = 0.4,
    denial: str = "",
    text: str = "",
    is_invalid: bool = False,
) -> Turn:
    ledger = Ledger((1, 2, 3), (4, 5), (-0.1, 0.0), (True, False), ((4, 6), (5,)))
    candidates = (Candidate(action, -0.1, 0.3, 0.9), Candidate("click[two]", -2.5))
    decision = Decision(
        text or action,
        action,
        plan="look for it",
        ledger=ledger,
        p_fail_before=before,
        p_fail=p_fail,
        entropy=0.7,
        candidates=candidates,
    )
    return Turn(
        text or "a page [SEP] with a kettle", decision, 0.0, is_invalid, info={"denial": denial} if denial else {}
    )


def trajectory(
    number: int,
    *,
    round: int = 0,
    attempt: int = 0,
    success: bool = True,
    reward: float | None = None,
    turns: Sequence[Turn] = (),
    stop: StopReason = StopReason.TERMINATED,
    text: str = "",
    environment: str = "shop",
    split: str = "train",
) -> Trajectory:
    one = task(number, text, environment, split)
    return Trajectory(
        id=f"r{round}/{one.key}#{attempt}",
        task=one,
        turns=tuple(turns) or (turn(), turn("click[buy]", before=0.4, p_fail=0.2)),
        stop_reason=stop,
        reward=float(success) if reward is None else reward,
        success=success,
        seed=number,
        policy="student",
        round=round,
        attempt=attempt,
        final_observation=text or "the end",
    )


def write(path: Path, *chunks: Sequence[Trajectory]) -> Path:
    with Journal(path) as journal:
        for number, chunk in enumerate(chunks):
            journal.append(number, chunk)
    return path


def write_run(folder: Path, *, tasks: int = 12, better: int = 4, text: str = "") -> Path:
    """Two rounds of select, `better` more successes in the second, a collection of groups and a test."""
    half = tasks // 2
    for round, won in enumerate((half, half + better)):
        episodes = [trajectory(n, round=round, success=n < won, split="select", text=text) for n in range(tasks)]
        write(folder / f"rounds/{round:03d}/select.jsonl", episodes[:half], episodes[half:])
    groups = [
        trajectory(n, round=1, attempt=a, success=a > 1, reward=0.25 * a if a < 2 else 1.0, text=text)
        for n in range(100, 103)
        for a in range(4)
    ]
    write(folder / "rounds/001/collect.jsonl", groups)
    write(folder / "test/test-001-free.jsonl", [trajectory(n, split="test", text=text) for n in range(200, 204)])
    (folder / "config.yaml").write_text("env: {name: shop}\n")
    return folder


def write_points(run: Path, name: str, **content: object) -> None:
    path = run / "introspection" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


@contextmanager
def open_library(*folders: Path, cache: Path | None = None) -> Iterator[Library]:
    """Everything read."""
    runs, problems = find_runs(folders)
    assert problems == []
    with Library(runs, Cache(cache) if cache else None) as library:
        assert library.wait(60)
        yield library


def with_turns(one: Trajectory, *turns: Turn) -> Trajectory:
    return replace(one, turns=turns)
