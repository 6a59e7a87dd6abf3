"""All steps that begin a chain, by name."""

from __future__ import annotations

from envs.tools.steps.deeds import DEEDS
from envs.tools.steps.figures import FIGURES, LIMITS

__all__ = ["LIMITS", "LOOKUPS"]

LOOKUPS = FIGURES + DEEDS
