"""A collection on record: what a journal holds is read, the rest is played and appended."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

from sage_gym.errors import RecordError
from sage_gym.rollout.journal import Journal, load, scan
from sage_gym.rollout.requests import Request
from sage_gym.types import Trajectory

__all__ = ["recorded"]


def recorded(
    path: Path,
    requests: Sequence[Request],
    play: Callable[[Sequence[Request]], Generator[list[Trajectory], None, None]],
    *,
    concurrency: int,
    round: int = 0,
) -> Generator[list[Trajectory], None, None]:
    """Give the chunks of `requests`: those on record from the file, the others played and recorded.

    Args:
        path: the journal; made when it is not there.
        requests: everything wanted, whether on record or not.
        play: `collect` with all but the requests filled in, with the same `concurrency` and `round`.
        concurrency: requests a chunk.
        round: of the run.

    Raises:
        RecordError: the file holds other episodes than these; nothing was changed.
    """
    wanted = [requests[start : start + concurrency] for start in range(0, len(requests), concurrency)]
    for chunk, span in scan(path).chunks.items():
        _check_chunk(path, chunk, load(path, span), wanted, round)
    with Journal(path) as journal:
        missing = [chunk for chunk in range(len(wanted)) if chunk not in journal.chunks]
        with closing(play([request for chunk in missing for request in wanted[chunk]])) as played:
            for chunk in range(len(wanted)):
                if chunk in journal.chunks:
                    yield journal.load(chunk)
                    continue
                trajectories = next(played)
                _check_chunk(path, chunk, trajectories, wanted, round)
                journal.append(chunk, trajectories)
                yield trajectories


def _check_chunk(
    path: Path, chunk: int, trajectories: Sequence[Trajectory], wanted: Sequence[Sequence[Request]], round: int
) -> None:
    asked = wanted[chunk] if 0 <= chunk < len(wanted) else ()
    expected = [(request.trajectory_id(round), request.seed, request.task.hash) for request in asked]
    got = [(one.id, one.seed, one.task.hash) for one in trajectories]
    if expected == got:
        return
    at = next((i for i, pair in enumerate(zip(expected, got, strict=False)) if pair[0] != pair[1]), -1)
    detail = f"{got[at]} for {expected[at]}" if at >= 0 else f"{len(got)} episodes for {len(expected)}"
    raise RecordError(
        f"{path}, chunk {chunk}: expected the episodes of this run (id, seed, task hash), got {detail}; "
        "it comes from another configuration: give the run another name, or remove the file"
    )
