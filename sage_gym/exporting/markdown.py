"""Foreign text in Markdown: in cells and fences that it cannot get out of."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import Any

from sage_gym.evaluation.report.wording import FILTERS as WORDING
from sage_gym.evaluation.report.wording import neutralise

__all__ = ["FILTERS", "cell", "fenced"]


def cell(text: str) -> str:
    """Return a text as one cell of a table: no line break, no bar, no tag, no emphasis."""
    shown = escape(neutralise(" ".join(text.split())), quote=False)
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", shown)


def fenced(text: str) -> str:
    """Return a text as a block of code, its fence longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{neutralise(text)}\n{fence}"


FILTERS: dict[str, Callable[..., Any]] = {**WORDING, "cell": cell, "fenced": fenced}
