"""A finished run's student and episodes, in the forms that transformers, datasets and TRL read."""

from __future__ import annotations

from sage_gym.exporting.bundle import Exported, export_run
from sage_gym.exporting.finished import FinishedRun

__all__ = ["Exported", "FinishedRun", "export_run"]
