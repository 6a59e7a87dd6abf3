"""A training run from its configuration to its report: what `sage_gym.train` does once, and an ablation often."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from rich.console import Console
from transformers.utils import logging

from sage_gym.config import TrainConfig, check_run, make_environment, make_policy, open_run
from sage_gym.distill.arena import Arena
from sage_gym.distill.consistency import ConsistencyScorer
from sage_gym.distill.held_out import open_library
from sage_gym.distill.passes import instruction_ids, markers_of
from sage_gym.distill.rounds import RoundLoop
from sage_gym.errors import ConfigError, UnknownNameError
from sage_gym.evaluation.report import write_report
from sage_gym.protocols import Critic, Student
from sage_gym.registry import resolve
from sage_gym.tracking import open_tracker

__all__ = ["check_student", "critics_of", "train"]


def train(config: TrainConfig, console: Console) -> None:
    """Run a training to its end and write its report.

    Raises:
        SageGymError: what stops a run, with what to do about it.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    check_run(config)
    student = make_policy(config.policy)
    if not isinstance(student, Student):
        raise ConfigError([f"policy: expected one to train, such as nano or causal_lm, got {student.name}"])
    arena = Arena(lambda: make_environment(config.env), config.rollout, config.run.seed)
    check_student(config, student, arena.listing.splits())
    critics, library = critics_of(config, student), open_library(config, arena)
    folder = open_run(config)
    console.print(f"run {config.run_name} in {folder}")
    tracker = open_tracker(
        folder, wandb=config.tracking.wandb, project=config.tracking.project, config=config.model_dump(mode="json")
    )
    try:
        final = RoundLoop(config, student, arena, tracker, critics, library).run()
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


def check_student(config: TrainConfig, student: Student, splits: Sequence[str]) -> None:
    """Find what only the environment and the policy can tell of a configuration, before there is a run.

    Raises:
        ConfigError: with every problem; a split that is not there, a head that is needed and missing.
    """
    named = {
        "rollout.split": config.rollout.split,
        "evaluate.select_split": config.evaluate.select_split,
        "evaluate.test_split": config.evaluate.test_split,
        **{f"evaluate.further_splits[{at}]": name for at, name in enumerate(config.evaluate.further_splits)},
    }
    problems = [
        f"{key}: {UnknownNameError('split', name, splits)}" for key, name in named.items() if name not in splits
    ]
    stages, eta = config.rounds.stages, config.reinforce.eta_ics
    if student.head is None:
        needs = ["rounds.stages: forecast"] if "forecast" in stages else []
        needs += [f"reinforce.eta_ics={eta:g}"] if eta and ("distil" in stages or "reinforce" in stages) else []
        problems += [f"{need}: expected a policy with a meta-cognition head, got {student.name}" for need in needs]
    if problems:
        raise ConfigError(problems)


def critics_of(config: TrainConfig, student: Student) -> list[Critic]:
    """Return what selection and the return may look at: the learned critic, and ICS by the student's inverse head."""
    stages, eta = config.rounds.stages, config.reinforce.eta_ics
    wanted = config.selection.score_names() if "distil" in stages else ()
    has_ics = "ics" in wanted or ("reinforce" in stages and eta > 0)
    if student.head is None:
        return []
    tokens, ids = markers_of(student.tokenizer), partial(instruction_ids, student.tokenizer)
    scorer = ConsistencyScorer(student.model, cast(Any, student.head), tokens, ids)
    critics = [resolve("reward", "critic")()] if "critic" in wanted else []
    return [*critics, *([resolve("reward", "ics")(scorer)] if has_ics else [])]


def _share(metrics: object) -> str:
    success = getattr(metrics, "success", None)
    return "not scored" if success is None else f"{100 * success.value:.1f} %"
