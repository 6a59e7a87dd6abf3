"""Configuration: `key=value` over files over defaults, validated before anything starts.

`read_or_exit(TRAIN)` is all that a command needs; `open_run(config)` keeps the resolved settings with the run.
"""

from __future__ import annotations

from sage_gym.config.ablation import PART_NAMES, AblateConfig, PartName
from sage_gym.config.commands import ABLATE, BENCH, CARD, EVALUATE, EXPLAIN, EXPORT, PLAY, TRAIN, VIEW, Command
from sage_gym.config.components import find_bench, make_environment, make_policy
from sage_gym.config.evaluation import EvaluateConfig
from sage_gym.config.finished import CardConfig, ExportConfig
from sage_gym.config.guide import guide
from sage_gym.config.introspection import ExplainConfig
from sage_gym.config.reading import read, read_or_exit
from sage_gym.config.saved import check_run, open_ablation, open_evaluation, open_run, save
from sage_gym.config.sections import Component
from sage_gym.config.settings import BenchConfig, PlayConfig, TrainConfig, ViewConfig

__all__ = [
    "ABLATE",
    "BENCH",
    "CARD",
    "EVALUATE",
    "EXPLAIN",
    "EXPORT",
    "PART_NAMES",
    "PLAY",
    "TRAIN",
    "VIEW",
    "AblateConfig",
    "BenchConfig",
    "CardConfig",
    "Command",
    "Component",
    "EvaluateConfig",
    "ExplainConfig",
    "ExportConfig",
    "PartName",
    "PlayConfig",
    "TrainConfig",
    "ViewConfig",
    "check_run",
    "find_bench",
    "guide",
    "make_environment",
    "make_policy",
    "open_ablation",
    "open_evaluation",
    "open_run",
    "read",
    "read_or_exit",
    "save",
]
