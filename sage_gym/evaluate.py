"""`python -m sage_gym.evaluate env=… policy=…`: a policy, or two, on held-out tasks; or stored trajectories again."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from sage_gym.config import (
    EVALUATE,
    Component,
    EvaluateConfig,
    make_environment,
    make_policy,
    open_evaluation,
    read_or_exit,
)
from sage_gym.config.components import reads_model
from sage_gym.errors import ConfigError, SageGymError
from sage_gym.evaluation.records import Evaluation, read_evaluation, write_evaluation
from sage_gym.protocols import Policy, Reward, Student
from sage_gym.registry import resolve

__all__ = ["evaluate", "main"]

QUIET = {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""Variables that libraries read when they are imported, which a policy without a model need not wait for."""


def evaluate(config: EvaluateConfig, console: Console) -> Evaluation:
    """Evaluate, or score or compare what is stored; write the figures and the page, and print the table.

    Raises:
        SageGymError: what stops an evaluation, with what to do about it.
    """
    from sage_gym.evaluation.report.evaluation import write_page
    from sage_gym.evaluation.table import print_evaluation

    if config.compare:
        found = _compare(config)
    elif config.rescore is not None and config.critic is not None:
        found = _rescore(config, config.rescore, config.critic)
    else:
        found = _play(config, console)
    path = write_evaluation(config.evaluation_folder, found)
    page = write_page(config.evaluation_folder, found)
    print_evaluation(found)
    console.print(f"figures: {path}\nreport: {page}", soft_wrap=True)
    return found


def _play(config: EvaluateConfig, console: Console) -> Evaluation:
    from sage_gym.distill.arena import Arena
    from sage_gym.evaluation.sides import check_weights, make_sides
    from sage_gym.evaluation.trial import Trial

    sides = make_sides(config)
    critic = None if config.critic is None else _critic(config.critic, sides[0].policy)
    arena = Arena(lambda: make_environment(config.env), config.rollout, config.seed)
    trial = Trial(config, config.evaluation_folder, arena, sides, critic)
    folder = open_evaluation(config)
    check_weights(folder, sides)
    console.print(f"evaluation in {folder}", soft_wrap=True)
    return trial.run()


def _rescore(config: EvaluateConfig, place: Path, component: Component) -> Evaluation:
    from sage_gym.evaluation.rescoring import rescore, write_scores

    _check_free(config.evaluation_folder)
    critic = _critic(component, make_policy(config.policy) if reads_model(component.name) else None)
    found, scores = rescore(place, critic, name=config.evaluation_name, seed=config.seed)
    write_scores(config.evaluation_folder / "scores.jsonl", scores)
    return found


def _compare(config: EvaluateConfig) -> Evaluation:
    from sage_gym.evaluation.rescoring import compare_stored

    _check_free(config.evaluation_folder)
    baseline, contender = map(read_evaluation, config.compare)
    return compare_stored(baseline, contender, name=config.evaluation_name, seed=config.seed)


def _check_free(folder: Path) -> None:
    """See that nothing that was played would be written over.

    Raises:
        ConfigError: the folder holds an evaluation's episodes.
    """
    if (folder / "episodes").exists():
        raise ConfigError([f"name: {folder} holds an evaluation that was played; give another name"])


def _critic(component: Component, policy: Policy | None) -> Reward:
    """Make a reward or a critic; one that reads trajectories with a model gets that of the policy.

    Raises:
        ConfigError: it needs a model, and the policy has no meta-cognition head.
    """
    constructor = resolve("reward", component.name)
    if not reads_model(component.name):
        return cast(Reward, constructor(**component.arguments))
    if not isinstance(policy, Student) or policy.head is None:
        raise ConfigError([f"critic={component.name}: expected a policy with a meta-cognition head to read with"])
    from sage_gym.distill.consistency import ConsistencyScorer
    from sage_gym.distill.passes import instruction_ids, markers_of

    ids = partial(instruction_ids, policy.tokenizer)
    scorer = ConsistencyScorer(policy.model, cast(Any, policy.head), markers_of(policy.tokenizer), ids)
    return cast(Reward, constructor(scorer, **component.arguments))


def main(words: Sequence[str] | None = None) -> int:
    """Read the configuration, evaluate, and return the process's exit status."""
    config = read_or_exit(EVALUATE, None if words is None else list(words))
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        evaluate(config, Console(stderr=True, highlight=False))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
