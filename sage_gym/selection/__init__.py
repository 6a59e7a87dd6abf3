"""Critics applied, forecasts used, groups, near-duplicates, decontamination, curriculum."""

from __future__ import annotations

from sage_gym.selection.benchmarks import read_benchmarks
from sage_gym.selection.curriculum import Draw, draw_by_surprise, learnability, next_tasks, surprise
from sage_gym.selection.decontamination import Contamination, find_contamination
from sage_gym.selection.library import HeldOut, Later, Library
from sage_gym.selection.rules import first_forecast, task_forecasts
from sage_gym.selection.scoring import Scores, apply_critics, has_succeeded
from sage_gym.selection.select import select
from sage_gym.selection.settings import SelectionSettings
from sage_gym.selection.verdicts import Selected, Selection, SelectionRecord, Verdict, write_verdicts

__all__ = [
    "Contamination",
    "Draw",
    "HeldOut",
    "Later",
    "Library",
    "Scores",
    "Selected",
    "Selection",
    "SelectionRecord",
    "SelectionSettings",
    "Verdict",
    "apply_critics",
    "draw_by_surprise",
    "find_contamination",
    "first_forecast",
    "has_succeeded",
    "learnability",
    "next_tasks",
    "read_benchmarks",
    "select",
    "surprise",
    "task_forecasts",
    "write_verdicts",
]
