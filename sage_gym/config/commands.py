"""Each command's settings, what its components are checked against, and the words that its help opens with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sage_gym.config.ablation import AblateConfig
from sage_gym.config.components import find_bench, find_critic, find_environment, find_policy
from sage_gym.config.evaluation import EvaluateConfig
from sage_gym.config.finished import CardConfig, ExportConfig
from sage_gym.config.introspection import ExplainConfig
from sage_gym.config.sections import Section
from sage_gym.config.settings import BenchConfig, PlayConfig, TrainConfig, ViewConfig

__all__ = ["ABLATE", "BENCH", "CARD", "EVALUATE", "EXPLAIN", "EXPORT", "PLAY", "TRAIN", "VIEW", "Command"]

M = TypeVar("M", bound=Section)


@dataclass(frozen=True, slots=True)
class Command(Generic[M]):
    """A command that takes settings; `targets` finds what the keys of a component are arguments of."""

    module: str
    model: type[M]
    summary: str
    targets: Mapping[str, Callable[[str], Callable[..., Any]]]
    examples: tuple[str, ...]


TRAIN = Command(
    "sage_gym.train",
    TrainConfig,
    "Rounds of: collect with the amplified student, score, select, distil, evaluate, promote.",
    {"env": find_environment, "policy": find_policy},
    (
        "env=webshop",
        "env=webshop run=demo seed=1",
        "env=webshop env.catalog='$SAGE_GYM_DATA/data/webshop' policy=nano",
        "env=webshop stages=[distil] amplify.enabled=false selection.score_weights=null",
        "config=runs/demo/config.yaml run=again",
    ),
)
ABLATE = Command(
    "sage_gym.ablate",
    AblateConfig,
    "Runs with exactly one part taken out and everything else alike, and what each part is worth: from the "
    "environment's own ablation.yaml, which lies over its config.yaml. Gives a table, ablation.json and report.html. "
    "What was stopped goes on with the same command; more parts or seeds may be asked for later.",
    {"env": find_environment, "policy": find_policy},
    (
        "env=webshop",
        "env=webshop vary=forecast,inverse,critic,amplification,recovery,selection,curriculum seeds=3",
        "env=tools vary=forecast,inverse,critic run=tools-parts",
        "env=webshop vary=critic seeds=1 rounds.count=1 rollout.tasks_per_round=8 evaluate.test_tasks=20 run=trial",
    ),
)
EVALUATE = Command(
    "sage_gym.evaluate",
    EvaluateConfig,
    "Success, score, forecasts and recovery of a policy on held-out tasks, with intervals; two policies on the same "
    "tasks. Gives a table, evaluation.json and report.html. What was stopped goes on with the same command.",
    {"env": find_environment, "policy": find_policy, "against": find_policy, "critic": find_critic},
    (
        "env=webshop policy=nano",
        "env=webshop policy=runs/demo/rounds/006/checkpoint against=nano",
        "run=runs/demo round=6 against=runs/demo/rounds/000/checkpoint",
        "env=tools policy=random splits=test,test_combinations,test_shapes attempts=4",
        "env=webshop policy=nano amplify.enabled=true temperature=1",
        "rescore=evaluations/webshop-nano critic=rule critic.invalid=-2",
        "compare=evaluations/first,evaluations/second",
    ),
)
EXPLAIN = Command(
    "sage_gym.explain",
    ExplainConfig,
    "Which turns an outcome came from, and whether that can be believed. With task=… the decision points of what was "
    "played of it, in words: attention traced back from the outcome, the forecast without the turn, entropy, the "
    "alternatives that were weighed. Without it the same for many trajectories, and the test of faithfulness: a table, "
    "introspection/ in the run's folder (which the viewer marks), and a section of the run's report.",
    {},
    (
        "run=demo",
        "run=demo task=webshop/synthetic/00042",
        "run=runs/demo trajectories=400 files=test/test-006-restricted.jsonl,rounds/006/select.jsonl",
        "run=demo signal=leave_one_out",
        "run=demo task=webshop/synthetic/00042 words.address=http://localhost:8000/v1 words.model=qwen",
    ),
)
PLAY = Command(
    "sage_gym.play",
    PlayConfig,
    "Play an environment's task in the terminal.",
    {"env": find_environment},
    ("env=webshop", "env=webshop split=test seed=3", "env=webshop task=webshop/synthetic/00042"),
)
BENCH = Command(
    "sage_gym.bench",
    BenchConfig,
    "Measure an environment's speed and memory, what training costs, what sandboxes cost, or the viewer.",
    {"env": find_bench, "policy": find_policy},
    ("env=webshop", "measure=training", "measure=training training.repetitions=15", "sandbox=docker", "measure=view"),
)
VIEW = Command(
    "sage_gym.view",
    ViewConfig,
    "Read runs, rounds, groups and trajectories on a local page. Words without = are run folders, or folders that hold "
    "some; without any, all runs in runs.",
    {},
    ("runs/demo", "runs", "runs/demo runs/other port=8800", "runs/demo browser=true"),
)
CARD = Command(
    "sage_gym.card",
    CardConfig,
    "Make a run's data card anew from its episodes: where its trained tokens came from, and what of its training text "
    "the benchmarks hold that are there now. Writes data_card.json and the report.",
    {},
    ("run=runs/demo", "run=runs/demo benchmarks=~/benchmarks"),
)
EXPORT = Command(
    "sage_gym.export",
    ExportConfig,
    "Put a run's student and its episodes into folders that transformers, datasets and TRL read, each with its card, "
    "ready to be pushed to a hub.",
    {},
    ("run=runs/demo", "run=runs/demo round=3 out=exports/demo-3", "run=runs/demo episodes=all"),
)
