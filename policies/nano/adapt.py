"""Train an adapter of sage-nano: `python -m policies.nano.adapt env=tools out=FOLDER` (or `make nano`).

Imitation of the environment's expert on its split for that, `demonstrations`, with the base frozen. Everything is a
function of the seed, so that on one machine the same steps give the same bits.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import gymnasium
import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

import sage_gym  # noqa: F401  registers the environments
from policies.causal_lm.vocabulary import Vocabulary
from policies.nano import ADAPTERS, WEIGHTS
from policies.nano.adapter import attach, load_adapter, save_adapter
from policies.nano.expert_demonstrations import ExpertSettings, demonstrate_expert, habits_of
from policies.nano.imitation import ImitationSettings, Sequence_, imitate, pack

__all__ = ["RECIPES", "AdapterRecipe", "adapt"]


MOST_CYCLES = 100


@dataclass(frozen=True, slots=True)
class AdapterRecipe:
    """What makes an adapter; written beside it."""

    env: str
    """Gymnasium's id."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of the environment, beside the split."""
    seed: int = 0
    rank: int = 38
    threads: int = 2
    cycles: int = 1
    """So many times the imitation below, each from what the one before saved, on other tasks and a new optimiser."""
    later_rate: float = 0.4
    """Share of the learning rate at which cycles after the first begin: the full rate undoes much of what is there."""
    habit_tasks: int = 400
    """From so many tasks it is learned how actions are worded; these are not shown."""
    imitation: ImitationSettings = field(
        default_factory=lambda: ImitationSettings(
            steps=2000,
            batch_tokens=6144,
            learning_rate=4e-3,
            warmup=100,
            weight_decay=0.0,
            role_weight=0.3,
            pointer_weight=0.3,
        )
    )
    expert: ExpertSettings = field(default_factory=ExpertSettings)


ONCE = AdapterRecipe("sage_gym/Tools-v0")
RECIPES = {
    "tools": replace(ONCE, cycles=2),
    "database": replace(
        ONCE, env="sage_gym/Database-v0", arguments={"size": 20_000}, imitation=replace(ONCE.imitation, steps=500)
    ),
    "terminal": replace(
        ONCE,
        env="sage_gym/Terminal-v0",
        arguments={"size": 100_000, "sandbox": "stub"},
        imitation=replace(ONCE.imitation, steps=600),
    ),
}


def episodes(recipe: AdapterRecipe, vocabulary: Vocabulary, cycle: int = 0) -> Iterator[Sequence_]:
    """Show a cycle's share of the tasks of the split one after the other, each once.

    Raises:
        ValueError: the recipe asks for more than the split has.
    """
    arguments = {"max_turns": None, "split": "demonstrations", **recipe.arguments}
    environment = gymnasium.make(recipe.env, disable_env_checker=True, **arguments)
    inner: Any = environment.unwrapped
    tasks = inner.tasks("demonstrations")
    habits = habits_of(environment, tasks[: recipe.habit_tasks], recipe.expert)
    share = (len(tasks) - recipe.habit_tasks) // recipe.cycles
    rng = np.random.default_rng([recipe.seed, cycle] if cycle else recipe.seed)
    first = recipe.habit_tasks + cycle * share
    chosen = (tasks[place] for place in range(first, first + share))
    yield from demonstrate_expert(environment, chosen, vocabulary, habits, recipe.expert, rng)
    raise ValueError(f"expected at most {share} of the {len(tasks)} tasks of {recipe.env} to be shown in a cycle")


def adapt(
    recipe: AdapterRecipe, out: Path, name: str, *, first_cycle: int = 0, stop_after: int | None = None
) -> Qwen2ForCausalLM:
    """Train and save `<name>.safetensors`, `.json` (the recipe) and `.jsonl` (the losses) into `out`.

    The adapter is saved every 250 steps and after each cycle; a cycle goes on from the saved form, so that a training
    can be taken up between two.

    Args:
        recipe: what is trained.
        out: the folder.
        name: of the files.
        first_cycle: begin with this one, from what lies in the folder.
        stop_after: end each cycle early, after so many steps of all; for tests of exactness.
    """
    torch.set_num_threads(recipe.threads)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(WEIGHTS)
    model = Qwen2ForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32)
    attach(model, rank=recipe.rank, seed=recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    place = out / f"{name}.safetensors"
    with (out / f"{name}.jsonl").open("a" if first_cycle else "w") as log:
        for cycle in range(first_cycle, recipe.cycles):
            if cycle:
                load_adapter(model, place)
            torch.manual_seed(recipe.seed * MOST_CYCLES + cycle)
            shown = pack(episodes(recipe, Vocabulary(tokenizer), cycle), batch_tokens=recipe.imitation.batch_tokens)
            report = _reporter(model, place, log, cycle)
            rate = recipe.imitation.learning_rate * (recipe.later_rate if cycle else 1.0)
            imitate(model, shown, replace(recipe.imitation, learning_rate=rate), report=report, stop=stop_after)
            save_adapter(model, place)
    return model


def _reporter(model: Qwen2ForCausalLM, place: Path, log: TextIO, cycle: int) -> Callable[[int, float, float], None]:
    began, losses = time.perf_counter(), list[float]()

    def report(step: int, loss: float, speed: float) -> None:
        losses.append(loss)
        if step % 50 == 49:
            row = {"cycle": cycle, "step": step + 1, "loss": float(np.mean(losses[-50:])), "tokens_s": round(speed)}
            log.write(json.dumps({**row, "elapsed_s": round(time.perf_counter() - began)}) + "\n")
            log.flush()
        if step % 250 == 249:
            save_adapter(model, place)

    return report


def main(arguments: list[str]) -> None:
    """Read `key=value` arguments: env, out and seed."""
    given = dict(argument.split("=", 1) for argument in arguments)
    if given.keys() - {"env", "out", "seed", "first_cycle"} or given.get("env") not in RECIPES:
        known = "|".join(RECIPES)
        sys.exit(
            f"expected env={known} [out={ADAPTERS}] [seed=0] [first_cycle=0], got {' '.join(arguments) or 'nothing'}"
        )
    recipe = replace(RECIPES[given["env"]], seed=int(given.get("seed", 0)))
    out, first = Path(given.get("out", ADAPTERS)), int(given.get("first_cycle", 0))
    adapt(recipe, out, given["env"], first_cycle=first)


if __name__ == "__main__":
    main(sys.argv[1:])
