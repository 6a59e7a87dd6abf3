"""`python -m sage_gym.train env=webshop`: rounds of collect, score, select, train, evaluate, promote; then the test."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from rich.console import Console

from sage_gym.config import TRAIN, TrainConfig, make_environment, make_policy, open_run, read_or_exit
from sage_gym.errors import SageGymError
from sage_gym.protocols import Critic, Student
from sage_gym.registry import resolve

__all__ = ["main", "train"]


def train(config: TrainConfig, console: Console) -> None:
    """Run a training to its end and write its report.

    Raises:
        SageGymError: what stops a run, with what to do about it.
    """
    from transformers.utils import logging

    from sage_gym.distill.arena import Arena
    from sage_gym.distill.rounds import RoundLoop
    from sage_gym.evaluation.report import write_report
    from sage_gym.tracking import open_tracker

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    folder = open_run(config)
    console.print(f"run {config.run_name} in {folder}")
    student = make_policy(config.policy)
    arena = Arena(lambda: make_environment(config.env), config.rollout, config.run.seed)
    tracker = open_tracker(
        folder, wandb=config.tracking.wandb, project=config.tracking.project, config=config.model_dump(mode="json")
    )
    try:
        final = RoundLoop(config, student, arena, tracker, _critics(config, student)).run()
    finally:
        tracker.close()
    for test in final.tests:
        paired = test.paired
        console.print(
            f"{test.split}, {test.decoding}: round 0 {_share(test.before)}, round {final.last_promoted} "
            f"{_share(test.after)}; {100 * paired.success_difference.value:+.1f} points "
            f"[{100 * paired.success_difference.low:+.1f}, {100 * paired.success_difference.high:+.1f}], "
            f"McNemar p = {paired.mcnemar_p:.2g}"
        )
    console.print(f"report: {write_report(folder)}")


def _critics(config: TrainConfig, student: Student) -> list[Critic]:
    """Return what selection may look at: the learned critic, and ICS by the student's own inverse head."""
    from sage_gym.distill.consistency import ConsistencyScorer
    from sage_gym.distill.passes import instruction_ids, markers_of

    if "distil" not in config.rounds.stages or student.head is None:
        return []
    tokens, ids = markers_of(student.tokenizer), partial(instruction_ids, student.tokenizer)
    scorer = ConsistencyScorer(student.model, cast(Any, student.head), tokens, ids)
    return [resolve("reward", "critic")(), resolve("reward", "ics")(scorer)]


def _share(metrics: object) -> str:
    success = getattr(metrics, "success", None)
    return "not scored" if success is None else f"{100 * success.value:.1f} %"


def main(words: Sequence[str] | None = None) -> int:
    """Read the configuration, train, and return the process's exit status."""
    config = read_or_exit(TRAIN, None if words is None else list(words))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        train(config, Console(stderr=True, highlight=False))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
