"""The intervention pilot of a round, played and judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sage_gym.distill.arena import Arena
from sage_gym.evaluation.pilot import Pilot, PilotSettings, judge_pilot
from sage_gym.protocols import Policy
from sage_gym.types import Task

__all__ = ["run_pilot"]


def run_pilot(
    arena: Arena,
    plain: Policy,
    amplified: Policy,
    tasks: Sequence[Task],
    folder: Path,
    *,
    round: int,
    settings: PilotSettings | None = None,
    seed: int = 0,
) -> Pilot:
    """Play the same select tasks with the same seeds, with and without interventions, and judge what they did.

    Both arms are on record, `pilot-plain.jsonl` and `pilot-amplified.jsonl` in `folder`: a pilot that was killed goes
    on where it stopped, and one that is done is only read and judged again.

    Args:
        arena: where both play.
        plain: the student as it decodes when collecting.
        amplified: the same with interventions in every episode (`untouched_share=0`), or the effect is diluted.
        tasks: of the select split.
        folder: the round's.
        round: of the run.
        settings: margin and confidence.
        seed: of the bootstrap.

    Raises:
        ValueError: no tasks, or none that infrastructure left in both arms.
        RecordError: a journal holds other episodes.
    """
    played = [
        arena.play(policy, tasks, folder / f"pilot-{arm}.jsonl", title=f"round {round}: pilot, {arm}", round=round)
        for arm, policy in (("plain", plain), ("amplified", amplified))
    ]
    return judge_pilot(played[0], played[1], settings, seed=seed)
