"""sage-nano's training: the same bits each time, and demonstrations that are what a policy would be shown and do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.prompt import Prompt
from policies.causal_lm.vocabulary import Vocabulary
from policies.nano import WEIGHTS
from policies.nano.demonstrations import PRICED, Demonstration, DemonstrationSettings
from policies.nano.imitation import ImitationSettings, Probes, Sequence_, batch_loss, pack
from policies.nano.model import build_model, build_tokenizer
from policies.nano.train import Recipe, open_world
from sage_gym.types import Context, Decision, Ledger, Task, Turn, View
from tests.imports import ROOT

WORLDS = (11, 12)
SIZE = 60
TASKS = 40
SETTINGS = DemonstrationSettings(
    wrong_product=0.4,
    wrong_option=0.4,
    short_query=0.4,
    query_weight=0.5,
    product_weight=3.0,
    choice_weight=2.0,
)
TRAIN = """
import sys
from pathlib import Path
from policies.nano.imitation import ImitationSettings
from policies.nano.train import Recipe, train
weights = {"mark_weight": 0.25, "recall_weight": 0.1}
imitation = ImitationSettings(steps=400, batch_tokens=1536, learning_rate=3e-3, warmup=10, **weights)
recipe = Recipe(hidden=32, layers=2, heads=2, threads=1, world_size=40, imitation=imitation)
train(recipe, Path(sys.argv[1]), stop_after=100)
"""


@pytest.mark.slow
def test_training_twice_gives_the_same_bits(tmp_path: Path) -> None:
    """In two processes, whose sets of strings are ordered differently; the second one's folder holds an older log."""
    folders = [tmp_path / "first", tmp_path / "second"]
    folders[1].mkdir()
    (folders[1] / "training.jsonl").write_text('{"step": 50, "loss": 9.0}\n')
    trainings = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, str(folder)], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": str(number)}
        )
        for number, folder in enumerate(folders, 1)
    ]
    assert [training.wait(timeout=600) for training in trainings] == [0, 0]
    for name in ("model.safetensors", "head.safetensors", "tokenizer.json", "recipe.json", "config.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    logs = [read_log(folder) for folder in folders]
    assert [row["step"] for row in logs[0]] == [50, 100]
    assert logs[0][1]["loss"] < logs[0][0]["loss"]
    assert logs[0] == logs[1]
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(folders[0] / "model.safetensors").values())


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Read a training's log without what its clock said."""
    rows = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.endswith("_s")} for row in rows]


def test_the_shipped_weights_were_made_by_the_recipe_as_it_stands() -> None:
    assert json.loads((WEIGHTS / "recipe.json").read_text()) == asdict(Recipe())


@dataclass(frozen=True)
class Replayed:
    """One decision of a demonstration, as the renderer and the environment met it; `start` is where its prompt is."""

    view: View
    prompt: Prompt
    start: int
    sampled: tuple[int, ...]
    action: str
    reward: float

    @property
    def places(self) -> tuple[range, range]:
        """Where in the sequence the prompt stands, and where what was decided."""
        between = self.start + len(self.prompt.ids)
        return range(self.start, between), range(between, between + len(self.sampled))


@dataclass(frozen=True)
class Shown:
    """A demonstration, what the teacher did in it, and its replay."""

    goal: Any
    vocabulary: Vocabulary
    sequence: Sequence_
    actions: tuple[str, ...]
    replay: tuple[Replayed, ...]

    @property
    def right(self) -> set[str]:
        """What the goal asks to be clicked."""
        return {f"click[{self.goal.asin.lower()}]", *(f"click[{value.lower()}]" for _, value in self.goal.options)}

    def is_mistake(self, decision: Replayed) -> bool:
        """Whether a product or an option is taken that the goal does not ask for."""
        chosen = [c.text for c in decision.view.choices if c.action == decision.action]
        return decision.action not in self.right and any(": " in text or PRICED.search(text) for text in chosen)

    def weight(self, decision: Replayed) -> float:
        """What each token of a decision is to weigh."""
        if self.is_mistake(decision):
            return 0.0
        if decision.action.startswith("search["):
            return SETTINGS.query_weight
        is_product = decision.action == f"click[{self.goal.asin.lower()}]"
        return SETTINGS.product_weight if is_product else SETTINGS.choice_weight


def vocabulary_of(shop: Any) -> Vocabulary:
    listed = [choice.text for position in range(SIZE) for choice in shop.store.page(position).choices]
    return Vocabulary(build_tokenizer([*(task.instruction for task in shop.tasks("all")), *listed]))


def begin(
    environment: Any, task: Task, vocabulary: Vocabulary, settings: DemonstrationSettings, rng: np.random.Generator
) -> Demonstration:
    products = environment.unwrapped.store.products
    positions = {product.asin.lower(): position for position, product in enumerate(products)}
    return Demonstration(environment, task, vocabulary, settings, rng, positions)


def first_tasks(environment: Any) -> Sequence[Task]:
    tasks: Sequence[Task] = environment.unwrapped.tasks("all")
    return tasks[:TASKS]


def replay(environment: Any, task: Task, vocabulary: Vocabulary, ids: Sequence[int]) -> Iterator[Replayed]:
    """Go through a demonstration's ids as the policy that samples its decisions would, restricted as it is."""
    renderer = CompactRenderer(vocabulary)
    environment.reset(options={"task": task.key})
    turns: tuple[Turn, ...] = ()
    place = 0
    while place < len(ids):
        view: View = environment.unwrapped.view()
        prompt = renderer.render(Context("", task, "", turns, 0, view=view))
        start, place = place, place + len(prompt.ids)
        assert prompt.is_continuation is bool(turns)
        assert tuple(ids[start:place]) == prompt.ids
        sampled = sample_again(prompt, ids[place:])
        place += len(sampled)
        action = prompt.read(sampled).action
        _, reward, is_over, _, info = environment.step(action)
        assert not info["invalid_action"]
        assert is_over is (place == len(ids))
        yield Replayed(view, prompt, start, sampled, action, float(reward))
        count = len(sampled)
        ledger = Ledger(prompt.ids, sampled, (0.0,) * count, (True,) * count, is_continuation=prompt.is_continuation)
        turns += (Turn("", Decision("", action, ledger=ledger, notes=prompt.notes), float(reward)),)


def sample_again(prompt: Prompt, following: Sequence[int]) -> tuple[int, ...]:
    """Return the decision that `following` begins with; each of its ids is one that the restriction leaves open."""
    assert prompt.restriction is not None
    count = next(place for place, token in enumerate(following, 1) if token in prompt.stop_ids)
    assert count <= prompt.max_tokens
    sampled = tuple(following[:count])
    for place, token in enumerate(sampled):
        allowed = prompt.restriction.allowed(sampled[:place])
        assert allowed is None or token in allowed
    return sampled


@pytest.fixture(scope="module", params=WORLDS)
def shown(request: pytest.FixtureRequest) -> list[Shown]:
    """The demonstrations of a world's first tasks; those that the teacher does not solve are left out."""
    environment: Any = open_world(request.param, SIZE)
    vocabulary, rng = vocabulary_of(environment.unwrapped), np.random.default_rng(request.param)
    found = []
    for task in first_tasks(environment):
        demonstration = begin(environment, task, vocabulary, SETTINGS, rng)
        sequence = demonstration.play()
        if sequence is not None:
            actions = tuple(turn.decision.action for turn in demonstration.turns)
            steps = tuple(replay(environment, task, vocabulary, sequence.ids))
            found.append(Shown(environment.unwrapped.goal, vocabulary, sequence, actions, steps))
    return found


def test_the_teacher_solves_most_tasks_and_makes_every_kind_of_mistake(shown: list[Shown]) -> None:
    assert len(shown) > TASKS / 2
    mistakes = [decision for each in shown for decision in each.replay if each.is_mistake(decision)]
    kinds = {decision.view.page.partition(":")[0] for decision in mistakes}
    assert kinds == {"results", "item"}
    clicked = {decision.action for each in shown for decision in each.replay}
    assert {"click[buy now]", "click[< prev]"} <= clicked


def test_a_demonstrations_ids_say_the_actions_that_were_taken_and_earn_everything(shown: list[Shown]) -> None:
    for each in shown:
        assert tuple(decision.action for decision in each.replay) == each.actions
        assert [decision.reward for decision in each.replay[:-1]] == [0.0] * (len(each.replay) - 1)
        assert each.replay[-1].reward == 1.0


def test_only_the_tokens_of_decisions_weigh_anything_and_those_of_planted_mistakes_nothing(shown: list[Shown]) -> None:
    for each in shown:
        weights = each.sequence.weights
        assert len(weights) == len(each.sequence.ids)
        for decision in each.replay:
            before, decided = decision.places
            assert {weights[place] for place in before} == {0.0}
            assert {weights[place] for place in decided} == {each.weight(decision)}


def test_a_planted_product_lacks_an_option_and_is_left_for_one_that_was_not_opened(shown: list[Shown]) -> None:
    for each in shown:
        opened: set[str] = set()
        named = {f"{name}: {value}".lower() for name, value in each.goal.options}
        for decision, left in pairwise(each.replay):
            if not (decision.view.page.startswith("results:") and each.is_mistake(decision)):
                continue
            assert decision.action not in opened
            opened.add(decision.action)
            assert not named <= {choice.text.lower() for choice in left.view.choices}
            assert left.action == "click[< prev]"


def test_a_label_is_marked_by_whether_the_goal_asks_for_the_product_before_it(shown: list[Shown]) -> None:
    for each in shown:
        marks = dict(enumerate(each.sequence.marks))
        assert len(marks) == len(each.sequence.ids)
        for decision in each.replay:
            before, _ = decision.places
            asked = {c.action for c in decision.view.choices if ": " in c.text or PRICED.search(c.text)}
            for place, token in zip(before, decision.prompt.ids, strict=True):
                action = decision.prompt.read((token,)).action if token in each.vocabulary.labels else ""
                assert marks.pop(place) == (int(action in each.right) if action in asked else -1)
        assert set(marks.values()) == {-1}
    assert sum(each.sequence.marks.count(1) for each in shown) >= len(shown)


def test_a_planted_option_is_mended_and_loses_no_demonstration() -> None:
    environment: Any = open_world(WORLDS[0], SIZE)
    vocabulary = vocabulary_of(environment.unwrapped)

    def solved(wrong_option: float) -> int:
        settings = DemonstrationSettings(wrong_product=0.0, wrong_option=wrong_option, short_query=0.0)
        rng = np.random.default_rng(0)
        played = [begin(environment, t, vocabulary, settings, rng).play() for t in first_tasks(environment)]
        return sum(sequence is not None for sequence in played)

    assert solved(wrong_option=1.0) == solved(wrong_option=0.0)


def test_the_pieces_of_the_instruction_are_asked_for_where_the_first_forecasts_are_read() -> None:
    environment: Any = open_world(WORLDS[0], SIZE)
    vocabulary = vocabulary_of(environment.unwrapped)
    settings = DemonstrationSettings(wrong_product=0.0, wrong_option=0.0, short_query=0.0)
    task = first_tasks(environment)[0]
    shown = begin(environment, task, vocabulary, settings, np.random.default_rng(0)).play()
    assert shown is not None
    end_of_prompt, end_of_decision = shown.ends
    first_chosen = next(place for place, weight in enumerate(shown.weights) if weight)
    assert end_of_prompt == first_chosen - 1
    assert shown.weights[end_of_decision] > 0
    assert shown.weights[end_of_decision + 1] == 0
    assert set(vocabulary.encode(task.instruction)) >= set(shown.pieces)
    assert len(shown.pieces) > 5


def test_recall_is_the_mean_cost_of_the_pieces() -> None:
    """Two rows of two and one pieces: each piece counts once, filling never."""
    torch.manual_seed(0)
    model = build_model(0, hidden=16, layers=1, heads=2)
    rows = [
        Sequence_((5, 6, 7), (0.0, 0.0, 1.0), ends=(1,), pieces=(5, 9)),
        Sequence_((8, 6, 7), (0.0, 0.0, 1.0), ends=(1,), pieces=(8,)),
    ]
    batch = next(pack(iter(rows), batch_tokens=128, pool=2))
    probes = Probes.of(ImitationSettings(recall_weight=0.5), model)
    with torch.no_grad():
        added = batch_loss(model, batch, probes) - batch_loss(model, batch)
        hidden_BTH = model.model(input_ids=batch.ids_BT).last_hidden_state
        costs = []
        for row in range(2):
            assert probes.recall is not None
            log_V = torch.log_softmax(probes.recall(hidden_BTH[row, 1]), dim=-1)
            first = int(batch.ids_BT[row, 0])
            costs += [-float(log_V[piece]) for piece in ((5, 9) if first == 5 else (8,))]
    assert float(added) == pytest.approx(0.5 * sum(costs) / 3, rel=1e-4)
