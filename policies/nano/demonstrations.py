"""Demonstrations for sage-nano: a teacher that knows the goal shops in nano's own worlds, with planted mistakes.

The teacher searches for the instruction's words as they stand (between "find me" and the price, now and then without
the last of them), opens the wanted product where the page shows it, goes on to the next page where it does not,
chooses the named options in the page's order and buys. Now and then a wrong action is put in without loss, so that
going back and choosing again are seen too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from policies.causal_lm.compact import CompactRenderer, Page
from policies.causal_lm.prompt import Prompt
from policies.causal_lm.quotes import span_of
from policies.causal_lm.vocabulary import Vocabulary
from policies.nano.imitation import Sequence_
from sage_gym.types import Context, Decision, Ledger, Task, Turn, View

__all__ = ["DemonstrationSettings", "core_of", "demonstrate"]

PRICED = re.compile(r"\$[\d,.]+(?: to \$[\d,.]+)?$")
CORE = re.compile(r"^find me (.*?)(?:, and price lower than [\d.]+ dollars)?$", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class DemonstrationSettings:
    """How often mistakes are planted, and what each kind of token weighs in the loss."""

    wrong_product: float = 0.1
    wrong_option: float = 0.08
    short_query: float = 0.15
    query_weight: float = 1.0
    product_weight: float = 4.0
    choice_weight: float = 2.0
    max_pages: int = 2
    max_tokens: int = 1400


def core_of(instruction: str) -> str:
    """Return what the instruction asks for, without its first words and its price."""
    found = CORE.match(instruction)
    return found.group(1) if found else instruction


class Demonstration:
    """One episode being shown; `play` runs it to its end."""

    def __init__(
        self,
        environment: gymnasium.Env[str, str],
        task: Task,
        vocabulary: Vocabulary,
        settings: DemonstrationSettings,
        rng: np.random.Generator,
        positions: Mapping[str, int],
    ) -> None:
        self.environment: Any = environment
        self.shop: Any = environment.unwrapped
        self.task, self.vocabulary, self.settings, self.rng = task, vocabulary, settings, rng
        self.positions = positions
        self.renderer = CompactRenderer(vocabulary, restricted=False, max_context=10**6)
        self.turns: list[Turn] = []
        self.ids: list[int] = []
        self.weights: list[float] = []
        self.marks: list[int] = []
        self.ends: tuple[int, ...] = ()
        self.pieces: tuple[int, ...] = ()

    def play(self) -> Sequence_ | None:
        """Return the episode, or None where the teacher does not find the product or the text grows too long."""
        self.environment.reset(options={"task": self.task.key})
        goal = self.shop.goal
        wanted = f"click[{goal.asin.lower()}]"
        pending = {f"click[{value.lower()}]" for _, value in goal.options}
        self._do(f"search[{self._query()}]", self.settings.query_weight)
        for _ in range(self.settings.max_pages):
            if wanted in self._actions():
                break
            if "click[next >]" not in self._actions():
                return None
            self._do("click[next >]", self.settings.choice_weight)
        else:
            return None
        while self.rng.random() < self.settings.wrong_product and self._plant(self._wrong_products(wanted)):
            self._do("click[< prev]", self.settings.choice_weight)
        self._do(wanted, self.settings.product_weight)
        if not pending <= set(self._actions()):
            return None
        for action in dict.fromkeys(action for action in self._actions() if action in pending):
            if self.rng.random() < self.settings.wrong_option:
                self._plant(self._wrong_options(action))
            self._do(action, self.settings.choice_weight)
        reward = self._do("click[buy now]", self.settings.choice_weight)
        if reward < 1.0 or len(self.ids) > self.settings.max_tokens:
            return None
        return Sequence_(tuple(self.ids), tuple(self.weights), tuple(self.marks), self.ends, self.pieces)

    def _query(self) -> str:
        """Give what the instruction asks for, now and then without its last parts."""
        query = core_of(self.task.instruction)
        while "," in query and self.rng.random() < self.settings.short_query:
            query = query.rpartition(",")[0]
        return query.strip(" ,")

    def _actions(self) -> list[str]:
        return [choice.action for choice in self.shop.view().choices]

    def _plant(self, wrong: list[str]) -> bool:
        """Take a wrong action without loss, one of the first, as a buyer who errs would; say whether there was one."""
        if wrong:
            self._do(wrong[int(len(wrong) * self.rng.random() ** 2)], 0.0)
        return bool(wrong)

    def _wrong_products(self, wanted: str) -> list[str]:
        """List the first products not opened yet that lack what was asked for, so that going back is a lesson."""
        named = {f"{name}: {value}".lower() for name, value in self.shop.goal.options}
        opened = {turn.decision.action for turn in self.turns}
        found = []
        for choice in self.shop.view().choices:
            if not PRICED.search(choice.text) or choice.action == wanted or choice.action in opened:
                continue
            page = self.shop.store.page(self.positions[choice.action[len("click[") : -1]])
            if not named <= {offered.text.lower() for offered in page.choices}:
                found.append(choice.action)
        return found[:5]

    def _wrong_options(self, right: str) -> list[str]:
        """List the other values of the group that is chosen next, so that choosing it mends the mistake."""
        choices = self.shop.view().choices
        good = {f"click[{value.lower()}]" for _, value in self.shop.goal.options}
        groups = {c.text.partition(": ")[0] for c in choices if c.action == right}
        return [c.action for c in choices if c.action not in good and c.text.partition(": ")[0] in groups]

    def _do(self, action: str, weight: float) -> float:
        view: View = self.shop.view()
        context = Context("", self.task, "", tuple(self.turns), 0, view=view)
        prompt = self.renderer.render(context)
        sampled = self._tokens(action, prompt, view)
        if not self.turns:
            self.ends = (len(prompt.ids) - 1, len(prompt.ids) + len(sampled) - 1)
            self.pieces = tuple(sorted(set(self.vocabulary.encode(self.task.instruction)) & set(prompt.ids)))
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
        actions = prompt.notes["actions"]
        marks = []
        for token in prompt.ids:
            index = vocabulary.label_index.get(token)
            marks.append(-1 if index is None else int(asked.get(actions[index], -1)))
        return marks

    def _tokens(self, action: str, prompt: Prompt, view: View) -> tuple[int, ...]:
        vocabulary, instruction = self.vocabulary, self.task.instruction
        if action.startswith("search["):
            words = action[len("search[") : -1]
            span = span_of(words, instruction)
            if span is None:
                return (vocabulary.write, *vocabulary.encode(words), vocabulary.end)
            return vocabulary.quotes.spell([span])
        page = Page(prompt.notes["page"], tuple(prompt.notes["actions"]))
        spelled = self.renderer.spell(page, view, instruction)
        return next(ids for ids, meant in spelled.items() if meant == action)


def demonstrate(
    environment: gymnasium.Env[str, str],
    tasks: Iterator[Task],
    vocabulary: Vocabulary,
    settings: DemonstrationSettings,
    rng: np.random.Generator,
) -> Iterator[Sequence_]:
    """Show each task; those that the teacher does not solve are left out."""
    shop: Any = environment.unwrapped
    positions = {product.asin.lower(): position for position, product in enumerate(shop.store.products)}
    for task in tasks:
        shown = Demonstration(environment, task, vocabulary, settings, rng, positions).play()
        if shown is not None:
            yield shown
