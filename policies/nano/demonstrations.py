"""Demonstrations for sage-nano: a teacher that knows the goal shops in nano's own worlds, with planted mistakes.

The teacher searches for the instruction's words as they stand (between "find me" and the price), opens the wanted
product where the page shows it, goes on to the next page where it does not, chooses the named options and buys.
Now and then a wrong action is put in without loss, so that going back and choosing again are seen too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from policies.causal_lm.compact import LABEL_COUNT, CompactRenderer, Page, Vocabulary
from policies.causal_lm.prompt import Prompt
from policies.nano.imitation import Sequence_
from sage_gym.types import Context, Decision, Ledger, Task, Turn, View

__all__ = ["DemonstrationSettings", "core_of", "demonstrate", "query_sequence", "random_sequence"]

PRICED = re.compile(r"\$[\d,.]+(?: to \$[\d,.]+)?$")
CORE = re.compile(r"^find me (.*?)(?:, and price lower than [\d.]+ dollars)?$", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class DemonstrationSettings:
    """How often mistakes are planted, and what each kind of token weighs in the loss."""

    wrong_product: float = 0.25
    wrong_option: float = 0.08
    no_result: float = 0.02
    shifted_labels: float = 0.1
    query_weight: float = 0.5
    choice_weight: float = 2.0
    max_pages: int = 2
    max_tokens: int = 1400


def core_of(instruction: str) -> str:
    """Return what the instruction asks for, without its first words and its price."""
    found = CORE.match(instruction)
    return found.group(1) if found else instruction


def query_sequence(instruction: str, vocabulary: Vocabulary) -> Sequence_:
    """Give the first decision alone: the instruction, and the search for its words."""
    head = (vocabulary.task, *vocabulary.encode(instruction), vocabulary.obs, vocabulary.act)
    body = (vocabulary.write, *vocabulary.encode(core_of(instruction)), vocabulary.end)
    return Sequence_(head + body, (0.0,) * len(head) + (1.0,) * len(body))


def random_sequence(vocabulary: Vocabulary, rng: np.random.Generator) -> Sequence_:
    """Give a first decision that copies random ids: nothing but copying helps there."""
    first = max(vocabulary.labels) + 1
    ids = tuple(int(i) for i in rng.integers(first, len(vocabulary.tokenizer), size=int(rng.integers(8, 25))))
    head = (vocabulary.task, *vocabulary.encode("find me"), *ids, *vocabulary.encode(", and price lower than"))
    head += (vocabulary.obs, vocabulary.act)
    body = (vocabulary.write, *ids, vocabulary.end)
    return Sequence_(head + body, (0.0,) * len(head) + (1.0,) * len(body))


class Demonstration:
    """One episode being shown; `play` runs it to its end."""

    def __init__(
        self,
        environment: gymnasium.Env[str, str],
        task: Task,
        vocabulary: Vocabulary,
        settings: DemonstrationSettings,
        rng: np.random.Generator,
    ) -> None:
        self.environment: Any = environment
        self.shop: Any = environment.unwrapped
        self.task, self.vocabulary, self.settings, self.rng = task, vocabulary, settings, rng
        offset = int(rng.integers(LABEL_COUNT)) if rng.random() < settings.shifted_labels else 0
        self.renderer = CompactRenderer(vocabulary, restricted=False, max_context=10**6, first_label=offset)
        self.turns: list[Turn] = []
        self.ids: list[int] = []
        self.weights: list[float] = []
        self.marks: list[int] = []

    def play(self) -> Sequence_ | None:
        """Return the episode, or None where the teacher does not find the product or the text grows too long."""
        self.environment.reset(options={"task": self.task.key})
        goal = self.shop.goal
        wanted = f"click[{goal.asin.lower()}]"
        pending = [f"click[{value.lower()}]" for _, value in goal.options]
        self._do(f"search[{core_of(self.task.instruction)}]", self.settings.query_weight)
        for _ in range(self.settings.max_pages):
            if wanted in self._actions():
                break
            if "click[next >]" not in self._actions():
                return None
            self._do("click[next >]", self.settings.choice_weight)
        else:
            return None
        while self.rng.random() < self.settings.wrong_product:
            self._plant(products=True)
            if self.shop.view().page.startswith("item:"):
                self._do("click[< prev]", self.settings.choice_weight)
        self._do(wanted, self.settings.choice_weight)
        for action in pending:
            if self.rng.random() < self.settings.wrong_option:
                self._plant(products=False)
            if action not in self._actions():
                return None
            self._do(action, self.settings.choice_weight)
        reward = self._do("click[buy now]", self.settings.choice_weight)
        if reward < 1.0 or len(self.ids) > self.settings.max_tokens:
            return None
        return Sequence_(tuple(self.ids), tuple(self.weights), tuple(self.marks))

    def _actions(self) -> list[str]:
        return [choice.action for choice in self.shop.view().choices]

    def _plant(self, *, products: bool) -> None:
        """Take a wrong action that can be mended, without loss: one of the first, as a buyer who errs would."""
        page = self.shop.view()
        wanted = self.shop.goal
        good = {f"click[{wanted.asin.lower()}]", *(f"click[{value.lower()}]" for _, value in wanted.options)}
        if products:
            wrong = [c.action for c in page.choices if PRICED.search(c.text) and c.action not in good][:5]
        else:
            groups = {name for name, _ in wanted.options}
            wrong = [c.action for c in page.choices if c.action not in good and c.text.partition(": ")[0] in groups]
        if wrong:
            self._do(wrong[int(len(wrong) * self.rng.random() ** 2)], 0.0)

    def _do(self, action: str, weight: float) -> float:
        view: View = self.shop.view()
        context = Context("", self.task, "", tuple(self.turns), 0, view=view)
        prompt = self.renderer.render(context)
        sampled = self._tokens(action, prompt, view)
        self.ids += [*prompt.ids, *sampled]
        self.marks += [*self._marks(prompt, view), *(-1 for _ in sampled)]
        self.weights += [0.0] * len(prompt.ids) + [weight] * len(sampled)
        empty = (0.0,) * len(sampled)
        ledger = Ledger(prompt.ids, sampled, empty, (False,) * len(sampled), is_continuation=prompt.is_continuation)
        decision = Decision("", action, ledger=ledger, notes=prompt.notes)
        _, reward, _, _, _ = self.environment.step(action)
        self.turns.append(Turn("", decision, float(reward)))
        return float(reward)

    def _marks(self, prompt: Prompt, view: View) -> list[int]:
        """Say of each label that is written here whether its choice is right; controls are not asked about."""
        goal, vocabulary = self.shop.goal, self.vocabulary
        right = {f"click[{goal.asin.lower()}]", *(f"click[{value.lower()}]" for _, value in goal.options)}
        asked = {c.action: c.action in right for c in view.choices if ": " in c.text or PRICED.search(c.text)}
        actions, offset = prompt.notes["actions"], prompt.notes["offset"]
        marks = []
        for token in prompt.ids:
            index = vocabulary.label_index.get(token)
            place = -1 if index is None else (index - offset) % LABEL_COUNT
            marks.append(int(asked.get(actions[place], -1)) if 0 <= place < len(actions) else -1)
        return marks

    def _tokens(self, action: str, prompt: Prompt, view: View) -> tuple[int, ...]:
        vocabulary = self.vocabulary
        if action.startswith("search["):
            return (vocabulary.write, *vocabulary.encode(action[len("search[") : -1]), vocabulary.end)
        page = Page(prompt.notes["page"], tuple(prompt.notes["actions"]), prompt.notes["offset"])
        return next(ids for ids, spelled in self.renderer.spell(page, view).items() if spelled == action)


def demonstrate(
    environment: gymnasium.Env[str, str],
    tasks: Iterator[Task],
    vocabulary: Vocabulary,
    settings: DemonstrationSettings,
    rng: np.random.Generator,
) -> Iterator[Sequence_]:
    """Show each task; those that the teacher does not solve are left out."""
    for task in tasks:
        shown = Demonstration(environment, task, vocabulary, settings, rng).play()
        if shown is not None:
            yield shown
