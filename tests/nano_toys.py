"""A tiny student with sage-nano's tokens and prompt style, and episodes that it or a lot plays over scripted pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from transformers import PreTrainedTokenizerFast

from policies.causal_lm import CausalLM
from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.prompt import Prompt
from policies.causal_lm.vocabulary import SPECIAL_TOKENS, Vocabulary
from policies.metacognition import MetacognitionHead
from policies.nano.model import build_model, build_tokenizer
from sage_gym.types import Choice, Context, Decision, Ledger, StopReason, Task, Trajectory, Turn, View

HIDDEN = 32
TURN_TOKENS = 16
TEXTS = ("find me red running shoes, and price lower than 40 dollars", "back to search", "next page", "buy now")


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """The compact style's special tokens, the bytes, and a few merges."""
    return build_tokenizer(TEXTS * 2)


def tiny_student(*, seed: int = 0, temperature: float = 1.0, restricted: bool = True, scale: float = 8.0) -> CausalLM:
    """A student with random weights; `scale` sharpens what it samples from, so that mistakes in it are seen."""
    tokenizer = tiny_tokenizer()
    model = build_model(seed, hidden=HIDDEN, layers=2, heads=2, vocab=len(tokenizer)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
    head = MetacognitionHead(HIDDEN, inverse_rank=4)
    with torch.no_grad():
        for place in ("before", "after"):
            for linear in (head.forecasts[place], head.openings[place]):
                linear.weight.normal_(generator=torch.Generator().manual_seed(seed))
    renderer = CompactRenderer(Vocabulary(tokenizer), restricted=restricted)
    return CausalLM(model, tokenizer, renderer, head=head, temperature=temperature, name="tiny")


def page(name: str, choices: int, *, news: str = "", free: bool = False) -> View:
    """A page of a shop with so many numbered choices, short ones and long ones in turn."""
    listed = tuple(
        Choice(f"click[{name} {index}]", f"{name} {index}" + ", which is described at some length" * (index % 2))
        for index in range(choices)
    )
    return View(name, news or f"you see {name}", listed, ("search[",) if free else ())


PAGES = (page("home", 0, free=True), page("results", 5), page("item", 7), page("results", 5), page("item", 7))
"""A search, and each of two pages twice: what was shown before is continued, not repeated."""


def tiny_task(index: int = 0) -> Task:
    return Task(f"tiny/{index}", f"find me red shoes number {index}", "train", index, f"hash {index}", "tiny")


def play(
    student: CausalLM, *, episodes: int = 3, pages: Sequence[View] = PAGES, turn_tokens: int = 12, seed: int = 0
) -> list[Trajectory]:
    """Play the pages as they come, whatever is decided; every second episode fails."""
    contexts = [
        Context(f"e{i}", tiny_task(i), "", (), seed=1000 * seed + 10 * i, turn_tokens=turn_tokens)
        for i in range(episodes)
    ]
    turns: list[tuple[Turn, ...]] = [()] * episodes
    for number, view in enumerate(pages):
        asked = [
            Context(c.episode, c.task, view.news, own, c.seed + number, view=view, turn_tokens=turn_tokens)
            for c, own in zip(contexts, turns, strict=True)
        ]
        decisions = student.act(asked)
        turns = [(*own, Turn(view.news, d, 0.0)) for own, d in zip(turns, decisions, strict=True)]
    student.release([context.episode for context in contexts])
    return [
        Trajectory(
            id=f"{context.task.key}#{seed}",
            task=context.task,
            turns=own,
            stop_reason=StopReason.TERMINATED,
            reward=float(index % 2 == 0),
            success=index % 2 == 0,
            seed=context.seed,
            policy=student.name,
        )
        for index, (context, own) in enumerate(zip(contexts, turns, strict=True))
    ]


@dataclass(frozen=True)
class Step:
    """A turn as it was asked and answered, and the ids of the sequence up to and with its prompt."""

    view: View
    prompt: Prompt
    sampled: tuple[int, ...]
    sequence: tuple[int, ...]


def follow(
    renderer: CompactRenderer,
    views: Iterable[View],
    choose: Callable[[Prompt], tuple[int, ...]],
    hints: tuple[str, ...] = (),
    *,
    task: Task | None = None,
) -> list[Step]:
    """Show the pages one after the other, deciding by `choose`."""
    turns: tuple[Turn, ...] = ()
    steps: list[Step] = []
    task = task or tiny_task()
    for view in views:
        context = Context("e", task, view.news, turns, 0, view=view, turn_tokens=TURN_TOKENS, hints=hints)
        prompt = renderer.render(context)
        sampled = choose(prompt)
        before = steps[-1].sequence + steps[-1].sampled if prompt.is_continuation else ()
        steps.append(Step(view, prompt, sampled, before + prompt.ids))
        count = len(sampled)
        ledger = Ledger(prompt.ids, sampled, (0.0,) * count, (False,) * count, is_continuation=prompt.is_continuation)
        reading = prompt.read(sampled)
        decision = Decision(reading.text, reading.action, ledger=ledger, notes=prompt.notes)
        turns += (Turn(view.news, decision, 0.0),)
    return steps


def walk(prompt: Prompt, lot: Sequence[int]) -> tuple[int, ...]:
    """Sample what the restriction leaves open, by lot, to a stop or the limit."""
    sampled: tuple[int, ...] = ()
    end = tiny_tokenizer().eos_token_id
    while len(sampled) < prompt.max_tokens and not (sampled and sampled[-1] in prompt.stop_ids):
        allowed = prompt.restriction.allowed(sampled) if prompt.restriction is not None else (end,)
        number = lot[len(sampled) % len(lot)]
        sampled += (len(SPECIAL_TOKENS) + number % 100 if allowed is None else allowed[number % len(allowed)],)
    return sampled
