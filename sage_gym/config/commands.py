"""Each command's settings, what its components are checked against, and the words that its help opens with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sage_gym.config.components import find_bench, find_environment, find_policy
from sage_gym.config.introspection import ExplainConfig
from sage_gym.config.sections import Section
from sage_gym.config.settings import BenchConfig, PlayConfig, TrainConfig

__all__ = ["BENCH", "EXPLAIN", "PLAY", "TRAIN", "Command"]

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
EXPLAIN = Command(
    "sage_gym.explain",
    ExplainConfig,
    "Which turns an outcome came from, and whether that can be believed. With task=… the decision points of what was "
    "played of it, in words: attention flowing back from the outcome, the forecast without the turn, entropy, the "
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
    "Measure an environment's speed and memory, what training costs, or what sandboxes cost.",
    {"env": find_bench, "policy": find_policy},
    ("env=webshop", "measure=training", "measure=training training.repetitions=15", "sandbox=docker"),
)
