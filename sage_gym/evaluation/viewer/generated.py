"""A run that nobody played, of any size: what the viewer is measured and tested on.

Its files are in a run's own formats and of a run's own weight (about 15 KB a trajectory, as webshop's are). A few
hundred episodes are made up turn by turn; every trajectory has the turns of one of them, under a task, an outcome and a
seed of its own, which takes seconds for what would be hours of episodes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from sage_gym.rollout.records import ChunkMarker, Header, encode
from sage_gym.rollout.tables import write_table
from sage_gym.types import Candidate, Decision, Ledger, StopReason, Task, Trajectory, Turn

__all__ = ["write_run"]

EPISODES = 240
CHUNK = 192
GROUP = 8
SELECT_SHARE = 0.1
WORDS = ("amber", "basket", "cotton", "drawer", "engraved", "garden", "kettle", "linen", "marble", "narrow", "rustic")
TASK_FIELDS = ("key", "instruction", "split", "seed", "hash", "environment", "family")


@dataclass(frozen=True, slots=True)
class _Episode:
    """Turns as JSON, and the outcome that belongs to them."""

    turns: bytes
    stop_reason: str
    hardness: float


@dataclass(frozen=True, slots=True)
class _Play:
    """A trajectory to be written."""

    task: int
    attempt: int
    episode: int
    success: bool
    reward: float


def write_run(
    folder: Path,
    trajectories: int,
    *,
    rounds: int = 10,
    seed: int = 0,
    observation_words: int = 95,
    tables: bool = True,
) -> None:
    """Write the journals of a run, and the tables of what it collected.

    Args:
        folder: of the run; made when it is not there.
        trajectories: in all; a tenth of them in `select`, the rest collected in groups of eight.
        rounds: over which they are spread.
        seed: of everything.
        observation_words: of an observation, on average.
        tables: write `trajectories.parquet` too, as training does.
    """
    generator = np.random.default_rng(seed)
    made = [_make_up(generator, number, observation_words) for number in range(EPISODES)]
    table = _table(folder, made) if tables else None
    episodes = [_Episode(_turns(one), one.stop_reason.value, 1.0 - one.reward) for one in made]
    for number, size in enumerate(_shares(trajectories, rounds)):
        place = folder / "rounds" / f"{number:03d}"
        select = round(size * SELECT_SHARE)
        _write(place / "select.jsonl", _plays(generator, episodes, select, 1, 0), episodes, number, "select")
        first = 100_000 + number * size
        plays = _plays(generator, episodes, size - select, GROUP, first)
        _write(place / "collect.jsonl", plays, episodes, number, "train")
        if table is not None:
            _write_table(place / "trajectories.parquet", plays, table, number)


def _shares(total: int, parts: int) -> list[int]:
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _plays(
    generator: np.random.Generator, episodes: Sequence[_Episode], count: int, group: int, first: int
) -> list[_Play]:
    chosen = generator.integers(len(episodes), size=count)
    luck, scores = generator.random(count), generator.random(count)
    plays = []
    for number, episode in enumerate(chosen.tolist()):
        is_whole = episodes[episode].stop_reason == StopReason.TERMINATED.value
        success = bool(is_whole and luck[number] > episodes[episode].hardness)
        reward = 1.0 if success else round(float(scores[number]) * 0.9, 4)
        plays.append(_Play(first + number // group, number % group, episode, success, reward))
    return plays


def _write(path: Path, plays: Sequence[_Play], episodes: Sequence[_Episode], number: int, split: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=1 << 20) as file:
        file.write(Header().model_dump_json().encode() + b"\n")
        for chunk, start in enumerate(range(0, len(plays), CHUNK)):
            lines = b"".join(_lines(plays[start : start + CHUNK], episodes, number, split))
            digest = blake2b(lines, digest_size=8).hexdigest()
            marker = ChunkMarker(chunk=chunk, episodes=len(plays[start : start + CHUNK]), digest=digest)
            file.write(lines + marker.model_dump_json().encode() + b"\n")


def _lines(plays: Sequence[_Play], episodes: Sequence[_Episode], number: int, split: str) -> Iterator[bytes]:
    for play in plays:
        episode = episodes[play.episode]
        task = _task(play.task, split)
        head: dict[str, object] = {
            "id": _identifier(play, number),
            "task": {name: getattr(task, name) for name in TASK_FIELDS},
        }
        tail: dict[str, object] = {"stop_reason": episode.stop_reason, "reward": play.reward, "success": play.success}
        tail |= {
            "seed": play.task * GROUP + play.attempt,
            "policy": "made-up",
            "round": number,
            "attempt": play.attempt,
        }
        yield _open(head) + b',"turns":' + episode.turns + b"," + _open(tail)[1:] + b"}\n"


def _open(mapping: Mapping[str, object]) -> bytes:
    """Return a mapping as JSON without its last brace."""
    return json.dumps(mapping, separators=(",", ":")).encode()[:-1]


def _task(number: int, split: str) -> Task:
    words = [WORDS[(number * step) % len(WORDS)] for step in (3, 7, 11)]
    instruction = f"Find me a {' '.join(words)} number {number}, and price lower than {10 + number % 90}.00 dollars"
    return Task(
        f"made-up/{number:06d}", instruction, split, number, f"{number:016x}", "made-up", f"family {number // 4}"
    )


def _identifier(play: _Play, number: int) -> str:
    return f"r{number}/made-up/{play.task:06d}#{play.attempt}"


def _make_up(generator: np.random.Generator, number: int, observation_words: int) -> Trajectory:
    """Return an episode whose forecasts drift from a first guess to how hard it is."""
    count = int(generator.integers(2, 13))
    hardness, guess = float(generator.random()), float(generator.random())
    drift = np.linspace(0.0, 1.0, count)
    forecasts = np.clip((1 - drift) * guess + drift * hardness + generator.normal(0, 0.05, count), 0.01, 0.99)
    turns = tuple(
        _turn(generator, at, float(forecasts[at]), observation_words, is_last=at == count - 1) for at in range(count)
    )
    is_cut = count == 12
    return Trajectory(
        id=str(number),
        task=_task(number, "train"),
        turns=turns,
        stop_reason=StopReason.MAX_TURNS if is_cut else StopReason.TERMINATED,
        reward=1.0 - hardness,
        success=False,
        seed=number,
        policy="made-up",
    )


def _turn(generator: np.random.Generator, at: int, p_fail: float, words: int, *, is_last: bool) -> Turn:
    observation = " ".join(generator.choice(WORDS, int(words * generator.uniform(0.4, 1.6)) + 1))
    names = generator.choice(WORDS, 4).tolist()
    shares = generator.dirichlet(np.ones(4))
    candidates = tuple(
        Candidate(f"click[{name} {place}]", float(np.log(share)))
        for place, (name, share) in enumerate(zip(names, shares, strict=True))
    )
    action = "click[buy now]" if is_last else candidates[0].action
    sampled = tuple(int(one) for one in generator.integers(4096, size=3))
    ledger = Ledger(
        prompt_ids=tuple(int(one) for one in generator.integers(4096, size=words)),
        sampled_ids=sampled,
        logprobs=tuple(float(one) for one in -generator.exponential(0.4, 3)),
        mask=(True, True, False),
        allowed=tuple(tuple(range(4, 4 + size)) for size in (12, 30, 1)),
        is_continuation=at > 0,
    )
    decision = Decision(
        text=action,
        action=action,
        plan=f"look for the {names[0]} one",
        ledger=ledger,
        p_fail_before=min(0.99, p_fail + 0.03),
        p_fail=p_fail,
        entropy=float(generator.random()),
        candidates=candidates,
    )
    return Turn(observation, decision, 0.0, is_invalid=bool(generator.random() < 0.03))


def _turns(trajectory: Trajectory) -> bytes:
    return json.dumps(json.loads(encode(trajectory))["turns"], separators=(",", ":")).encode()


def _table(folder: Path, made: Sequence[Trajectory]) -> pa.Table:
    """Return the made-up episodes as a table has them."""
    draft = folder / "made-up.parquet"
    write_table([made], draft)
    table = pq.read_table(draft)
    draft.unlink()
    return table


def _write_table(path: Path, plays: Sequence[_Play], made: pa.Table, number: int) -> None:
    tasks = [_task(play.task, "train") for play in plays]
    columns: dict[str, list[str] | list[int] | list[float] | list[bool]] = {
        "id": [_identifier(play, number) for play in plays],
        "task": [task.key for task in tasks],
        "instruction": [task.instruction for task in tasks],
        "task_hash": [task.hash for task in tasks],
        "family": [task.family for task in tasks],
        "round": [number] * len(plays),
        "attempt": [play.attempt for play in plays],
        "seed": [play.task * GROUP + play.attempt for play in plays],
        "reward": [play.reward for play in plays],
        "success": [play.success for play in plays],
    }
    with pq.ParquetWriter(path, made.schema, compression="zstd") as writer:
        for start in range(0, len(plays), CHUNK):
            rows = made.take([play.episode for play in plays[start : start + CHUNK]])
            for name, values in columns.items():
                field = rows.schema.field(name)
                column = pa.array(values[start : start + CHUNK], field.type)
                rows = rows.set_column(rows.schema.get_field_index(name), field, column)
            writer.write_table(rows)
