"""Train sage-nano from nothing: `python -m policies.nano.train out=FOLDER` (or `make nano`).

Imitation of a teacher's episodes in generated worlds, each world seen once. Everything is a function of the seed, so
that on one machine the same steps give the same bits.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

import sage_gym  # noqa: F401  registers the environments
from policies.causal_lm.vocabulary import Vocabulary
from policies.metacognition import MetacognitionHead
from policies.nano.demonstrations import DemonstrationSettings, demonstrate
from policies.nano.imitation import ImitationSettings, Sequence_, imitate, pack
from policies.nano.model import build_model, build_tokenizer

__all__ = ["Recipe", "build_vocabulary", "train"]

TOKENIZER_WORLDS = range(900, 924)
EPISODE_WORLDS = 10_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes a sage-nano; written beside its weights."""

    seed: int = 0
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    threads: int = 2
    world_size: int = 300
    imitation: ImitationSettings = field(
        default_factory=lambda: ImitationSettings(steps=1000, batch_tokens=6144, learning_rate=1.5e-3, mark_weight=0.25)
    )
    demonstrations: DemonstrationSettings = field(default_factory=DemonstrationSettings)


def open_world(seed: int, size: int) -> gymnasium.Env[str, str]:
    """Open one of nano's own worlds."""
    return gymnasium.make(
        "sage_gym/WebShop-v0", catalog=f"world:nano:{seed}:{size}", max_turns=None, disable_env_checker=True
    )


def build_vocabulary(recipe: Recipe) -> PreTrainedTokenizerFast:
    """Train the tokenizer on what is read in worlds that serve nothing else."""

    def texts() -> Iterator[str]:
        for seed in TOKENIZER_WORLDS:
            shop: Any = open_world(seed, 200).unwrapped
            yield from (task.instruction for task in shop.tasks("all")[:400])
            for position in range(len(shop.store.products)):
                page = shop.store.page(position)
                yield page.listed_as.text
                yield from (choice.text for choice in page.choices)

    return build_tokenizer(texts())


def episodes(recipe: Recipe, vocabulary: Vocabulary) -> Iterator[Sequence_]:
    """Endless demonstrations, about 170 a world."""

    def of_world(world: int) -> Iterator[Sequence_]:
        environment = open_world(world + 100_000 * recipe.seed, recipe.world_size)
        shop: Any = environment.unwrapped
        tasks = shop.tasks("all")
        rng = np.random.default_rng([recipe.seed, world])
        chosen = (tasks[int(i)] for i in rng.permutation(len(tasks))[:200])
        yield from demonstrate(environment, chosen, vocabulary, recipe.demonstrations, rng)

    return interleave(of_world, range(EPISODE_WORLDS, 10 * EPISODE_WORLDS), 24)


def interleave(
    of_world: Callable[[int], Iterator[Sequence_]], worlds: Iterable[int], width: int
) -> Iterator[Sequence_]:
    """Take one sequence of each of `width` worlds in turn; a world that ends is followed by the next.

    The first ones are entered at different depths, so that they do not all end at once.
    """
    waiting = iter(worlds)
    live = [of_world(world) for world in itertools.islice(waiting, width)]
    for place, sequences in enumerate(live):
        list(itertools.islice(sequences, 4 * place))
    while live:
        for place, sequences in enumerate(live):
            found = next(sequences, None)
            while found is None:
                live[place] = sequences = of_world(next(waiting))
                found = next(sequences, None)
            yield found


def train(recipe: Recipe, out: Path, *, stop_after: int | None = None) -> Qwen2ForCausalLM:
    """Train and save into `out`; `stop_after` ends early, after so many steps of all, for tests of exactness.

    Weights are saved every 500 steps, so that what there is can be looked at.
    """
    torch.set_num_threads(recipe.threads)
    tokenizer = build_vocabulary(recipe)
    vocabulary = Vocabulary(tokenizer)
    model = build_model(recipe.seed, hidden=recipe.hidden, layers=recipe.layers, heads=recipe.heads)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    log = (out / "training.jsonl").open("w")
    began = time.perf_counter()
    losses: list[float] = []

    def report(step: int, loss: float, speed: float) -> None:
        losses.append(loss)
        if step % 50 == 49:
            row = {"step": step + 1, "loss": float(np.mean(losses[-50:])), "tokens_s": round(speed)}
            log.write(json.dumps({**row, "elapsed_s": round(time.perf_counter() - began)}) + "\n")
            log.flush()
        if step % 500 == 499:
            model.save_pretrained(out)

    shown = pack(episodes(recipe, vocabulary), batch_tokens=recipe.imitation.batch_tokens)
    imitate(model, shown, recipe.imitation, report=report, stop=stop_after)
    model.save_pretrained(out)
    MetacognitionHead(recipe.hidden).save(out / "head.safetensors")
    log.close()
    return model


def main(arguments: list[str]) -> None:
    """Read `key=value` arguments: out and seed."""
    given = dict(argument.split("=", 1) for argument in arguments)
    unknown = set(given) - {"out", "seed"}
    if unknown or "out" not in given:
        sys.exit(f"expected out=FOLDER [seed=0], got {' '.join(arguments) or 'nothing'}")
    train(Recipe(seed=int(given.get("seed", 0))), Path(given["out"]))


if __name__ == "__main__":
    main(sys.argv[1:])
