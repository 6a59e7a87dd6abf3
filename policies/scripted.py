"""Policies without a model: one that acts at random, and one that follows the obvious script.

Both see what any policy sees; neither knows the goal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from sage_gym.types import Choice, Context, Decision

__all__ = ["FirstResultPolicy", "RandomPolicy"]

TEMPLATE = re.compile(r"^(\w+\[)<[^>]*>\]$")
WORD = re.compile(r"[^\s\[\]]+")
BRACKETS = str.maketrans("[]\n\r", "    ")
MAX_WORDS = 6


class RandomPolicy:
    """Draws uniformly from the admissible actions; free text is a random run of the instruction's words.

    A decision depends on the context alone: the generator is seeded with `context.seed`.
    """

    name = "random"

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        """Return one decision for each context."""
        return [self._decide(context) for context in contexts]

    def release(self, episodes: Iterable[str]) -> None:
        """Forget nothing: nothing is kept."""

    def _decide(self, context: Context) -> Decision:
        generator = np.random.default_rng(context.seed)
        actions = _admissible(context)
        action = actions[int(generator.integers(len(actions)))] if actions else ""
        template = TEMPLATE.match(action)
        if template:
            action = f"{template.group(1)}{_some_words(context.task.instruction, generator)}]"
        return Decision(text=action, action=action)


class FirstResultPolicy:
    """Searches the instruction, opens the first result, chooses the options that the instruction names, buys.

    Reads `Context.view`: choices of a results page come in rank order, options as `<name>: <value>`.
    """

    name = "first_result"

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        """Return one decision for each context.

        Raises:
            ValueError: a context has no view.
        """
        return [Decision(text=action, action=action) for action in map(self._decide, contexts)]

    def release(self, episodes: Iterable[str]) -> None:
        """Forget nothing: nothing is kept."""

    @staticmethod
    def _decide(context: Context) -> str:
        view, instruction = context.view, context.task.instruction
        if view is None:
            raise ValueError("expected Context.view, which FirstResultPolicy reads; got None")
        if view.page.startswith("results:") and view.choices:
            return view.choices[0].action
        if view.page.startswith("item:"):
            done = {turn.decision.action for turn in context.turns}
            named = named_options(instruction, view.choices)
            return next((action for action in named if action not in done), "click[buy now]")
        return f"search[{' '.join(instruction.translate(BRACKETS).split())}]"


def named_options(instruction: str, choices: Sequence[Choice]) -> list[str]:
    """Return the actions of the choices `<name>: <value>` that the instruction names, the longest value a name."""
    text = f"{instruction.lower()},"
    best: dict[str, Choice] = {}
    for choice in choices:
        name, separator, _ = choice.text.partition(": ")
        if not separator or f" {choice.text.lower()}," not in text:
            continue
        if name not in best or len(choice.text) > len(best[name].text):
            best[name] = choice
    return [choice.action for choice in best.values()]


def _admissible(context: Context) -> list[str]:
    if context.admissible_actions is not None:
        return list(context.admissible_actions)
    if context.view is None:
        return []
    free = [f"{prefix}<text>]" for prefix in context.view.free]
    return [choice.action for choice in context.view.choices] + free


def _some_words(text: str, generator: np.random.Generator) -> str:
    words = WORD.findall(text) or ["anything"]
    length = int(generator.integers(1, min(MAX_WORDS, len(words)) + 1))
    start = int(generator.integers(len(words) - length + 1))
    return " ".join(words[start : start + length])
