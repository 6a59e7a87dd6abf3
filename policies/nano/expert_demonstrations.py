"""Demonstrations for sage-nano's adapters: an environment's own expert acts, written as nano would write it.

Now and then a piece of an action is spoiled, without loss, as a policy that errs would: what comes of that, and going
on from there, are seen too. Only episodes that end in full success are kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.prompt import Prompt
from policies.causal_lm.vocabulary import Vocabulary
from policies.nano.imitation import Sequence_
from policies.nano.writing import Habits, Writer, read_quotations, split_action
from sage_gym.types import Context, Decision, Ledger, Task, Turn, View

__all__ = ["ExpertSettings", "demonstrate_expert", "habits_of", "open_expert"]

SUCCESS = 1.0 - 1e-9


@dataclass(frozen=True, slots=True)
class ExpertSettings:
    """How often an action is spoiled, what labels and quotations weigh in the loss, and how long an episode may be."""

    spoiled: float = 0.04
    label_weight: float = 3.0
    quote_weight: float = 3.0
    max_turns: int = 20
    max_tokens: int = 1400


def open_expert(environment: gymnasium.Env[str, str]) -> Any:
    """Return the expert that an environment's package has for being imitated, else its ordinary one.

    Raises:
        ImportError: its package has no module `experts`.
    """
    inner = environment.unwrapped
    experts = importlib.import_module(f"{type(inner).__module__.rpartition('.')[0]}.experts")
    make = getattr(experts, "demonstrator", None) or experts.expert
    return make(inner)


def habits_of(environment: gymnasium.Env[str, str], tasks: Iterable[Task], settings: ExpertSettings) -> Habits:
    """Count how the expert's actions are worded, over the episodes of some tasks.

    An expert that has a `grammar` (the words of its language) needs no counting.
    """
    inner: Any = environment.unwrapped
    language = open_expert(environment)
    if getattr(language, "grammar", None):
        return Habits((), grammar=language.grammar, is_last_quoted=getattr(language, "is_last_quoted", False))
    actions: list[tuple[str, str]] = []
    for task in tasks:
        environment.reset(options={"task": task.key})
        expert, is_over = open_expert(environment), False
        for _ in range(settings.max_turns):
            if is_over:
                break
            action = expert.action()
            if action not in {choice.action for choice in inner.view().choices}:
                actions.append(split_action(action, inner.view().free))
            _, _, is_terminated, is_truncated, _ = environment.step(action)
            is_over = is_terminated or is_truncated
    return Habits(actions)


class ExpertDemonstration:
    """One episode being shown; `play` runs it to its end."""

    def __init__(
        self,
        environment: gymnasium.Env[str, str],
        task: Task,
        vocabulary: Vocabulary,
        habits: Habits,
        settings: ExpertSettings,
        rng: np.random.Generator,
    ) -> None:
        self.environment, self.inner = environment, environment.unwrapped
        self.task, self.vocabulary, self.settings, self.rng = task, vocabulary, settings, rng
        self.writer = Writer(vocabulary, habits, task.instruction)
        self.renderer = CompactRenderer(vocabulary, restricted=False, max_context=10**6)
        self.turns: list[Turn] = []
        self.ids: list[int] = []
        self.weights: list[float] = []
        self.meant: list[tuple[int, int]] = []

    def play(self) -> Sequence_ | None:
        """Return the episode, or None where it fails or grows too long."""
        self.environment.reset(options={"task": self.task.key})
        expert = open_expert(self.environment)
        for _ in range(self.settings.max_turns):
            reward, is_over = self._do(expert.action())
            if is_over:
                is_kept = reward >= SUCCESS and len(self.ids) <= self.settings.max_tokens
                return self._sequence() if is_kept else None
        return None

    def _weights(self, sampled: tuple[int, ...]) -> list[float]:
        """Weigh what a decision decides more than the text around it, most of which follows from it."""
        marks, settings = self.vocabulary.mark_index, self.settings
        behind = [settings.quote_weight if token in marks else 1.0 for token in sampled[1:]]
        return [settings.label_weight, *behind]

    def _sequence(self) -> Sequence_:
        read = read_quotations(self.vocabulary, self.ids, self.meant)
        return Sequence_(tuple(self.ids), tuple(self.weights), roles=read.roles, pointers=read.pointers)

    def _do(self, action: str) -> tuple[float, bool]:
        inner: Any = self.inner
        view: View = inner.view()
        context = Context("", self.task, "", tuple(self.turns), 0, view=view)
        prompt = self.renderer.render(context)
        is_spoiled = self.rng.random() < self.settings.spoiled
        sampled = self._spell(action, view, prompt, is_spoiled=is_spoiled)
        if is_spoiled:
            action = prompt.read(sampled).action
        else:
            begin = len(self.ids) + len(prompt.ids)
            self.meant.append((begin, begin + len(sampled)))
        self.ids += [*prompt.ids, *sampled]
        self.weights += [0.0] * len(prompt.ids)
        self.weights += [0.0] * len(sampled) if is_spoiled else self._weights(sampled)
        empty = (0.0,) * len(sampled)
        ledger = Ledger(prompt.ids, sampled, empty, (False,) * len(sampled), is_continuation=prompt.is_continuation)
        _, reward, is_terminated, is_truncated, _ = self.environment.step(action)
        decision = Decision("", action, ledger=ledger, notes=prompt.notes)
        self.turns.append(Turn("", decision, float(reward)))
        return float(reward), is_terminated or is_truncated

    def _spell(self, action: str, view: View, prompt: Prompt, *, is_spoiled: bool) -> tuple[int, ...]:
        prefixes = self.vocabulary.prefixes(view)
        if action in prompt.notes["actions"]:  # a choice too long to be written
            return (self.vocabulary.labels[prompt.notes["actions"].index(action)],)
        for choice in view.choices:
            if choice.action == action:
                return (*self.vocabulary.encode(choice.text), self.vocabulary.end)
        if prefixes is None:
            raise ValueError(f"expected a page with several prefixes, got {view.free}")
        prefix, text = split_action(action, view.free)
        pieces = self.writer.write(prefix, text)
        if is_spoiled and pieces:
            del pieces[int(self.rng.integers(len(pieces)))]
        return prefixes.spell(prefix, pieces)


def demonstrate_expert(
    environment: gymnasium.Env[str, str],
    tasks: Iterable[Task],
    vocabulary: Vocabulary,
    habits: Habits,
    settings: ExpertSettings,
    rng: np.random.Generator,
) -> Iterator[Sequence_]:
    """Show each task; those whose episode is not kept are left out."""
    for task in tasks:
        shown = ExpertDemonstration(environment, task, vocabulary, habits, settings, rng).play()
        if shown is not None:
            yield shown
