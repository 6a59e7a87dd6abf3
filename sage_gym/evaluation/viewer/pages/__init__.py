"""What each page says, before it is said in HTML. A page is a template and what it is filled with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sage_gym.evaluation.viewer.pages.asked import Asked, Desk, Page, PageError
from sage_gym.evaluation.viewer.pages.comparison import show_comparison
from sage_gym.evaluation.viewer.pages.groups import show_group, show_task
from sage_gym.evaluation.viewer.pages.lists import show_list
from sage_gym.evaluation.viewer.pages.pairing import show_pairs
from sage_gym.evaluation.viewer.pages.runs import show_run, show_runs
from sage_gym.evaluation.viewer.pages.trajectory import show_ledger, show_trajectory

__all__ = ["PAGES", "Asked", "Desk", "Page", "PageError"]

PAGES: Mapping[str, Callable[[Desk, Asked], Page]] = {
    "/": show_runs,
    "/run": show_run,
    "/trajectories": show_list,
    "/group": show_group,
    "/task": show_task,
    "/trajectory": show_trajectory,
    "/ledger": show_ledger,
    "/compare": show_comparison,
    "/paired": show_pairs,
}
"""By address."""
