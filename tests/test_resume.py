"""Kill -9 at two moments or more of every phase of a run, the same command each time, and the end is the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from transformers import PreTrainedModel

import sage_gym  # noqa: F401  registers the environments
from policies.causal_lm.vocabulary import Vocabulary
from policies.metacognition import MetacognitionHead
from policies.nano.model import build_model, build_tokenizer
from sage_gym.evaluation.manifest import read_final, read_rounds
from sage_gym.rollout import read_trajectories
from sage_gym.rollout.records import fingerprint
from sage_gym.tracking import read_metrics
from tests.killing import Kill

ROOT = Path(__file__).resolve().parents[1]
WORLD = "world:nano:5:60"
SETTINGS = (
    "env=webshop",
    f"env.catalog={WORLD}",
    "run=small",
    "rounds.count=2",
    "stages=[distil,reinforce,forecast]",
    "rollout.tasks_per_round=4",
    "rollout.group_size=3",
    "rollout.pool=2",
    "rollout.concurrency=6",
    "rollout.max_turns=8",
    "rollout.turn_tokens=20",
    "rollout.wall_clock_s=1e6",
    "rollout.second_attempts=0.5",
    "rollout.recovery_traces=1",
    "amplify.enabled=true",
    "amplify.candidates=2",
    "amplify.pilot_tasks=3",
    "amplify.untouched_share=0.5",
    "selection.outcome.r_min=0",
    "selection.benchmarks=null",
    "reinforce.baseline=turn",
    "reinforce.gate_episodes=4",
    "reinforce.eta_ics=0.1",
    "distil.batch_tokens=400",
    "reinforce.batch_tokens=400",
    "evaluate.select_tasks=8",
    "evaluate.test_tasks=8",
    "promotion.margin=1.0",
    "tracking.wandb=off",
)
ROUNDS, JUDGING, STAGES = (f"sage_gym.distill.{name}" for name in ("rounds", "judging", "stages"))
POLICY = "policies.causal_lm.policy:CausalLM"
JOURNAL, RENAME = "sage_gym.rollout.journal:Journal._write", "pathlib:Path.rename"
LOSS = "sage_gym.distill.trainer:DistillationTrainer.compute_loss"

KILLS = (
    Kill("evaluation", JOURNAL, 2, "half", "000/select.jsonl"),
    Kill("checkpoint", "torch:save", match="optimizer.pt"),
    Kill("checkpoint", RENAME, 2, match=".checkpoint-"),
    Kill("manifest", f"{ROUNDS}:write_manifest", match="000"),
    Kill("pilot", JOURNAL, 1, "after", "001/pilot-plain.jsonl"),
    Kill("pilot", JOURNAL, 2, "half", "001/pilot-amplified.jsonl"),
    Kill("collect", f"{POLICY}.act", 4),
    Kill("collect", JOURNAL, 1, "half", "001/collect.jsonl"),
    Kill("collect", JOURNAL, 2, "after", "001/collect.jsonl"),
    Kill("further", JOURNAL, 2, "half", "001/reflection.jsonl"),
    Kill("further", JOURNAL, 1, "after", "001/recovery.jsonl"),
    Kill("further", "sage_gym.rollout.tables:_row", 3),
    Kill("select", f"{ROUNDS}:select"),
    Kill("select", "sage_gym.selection.rules:weigh_by_task"),
    Kill("distil", LOSS, 2, "after"),
    Kill("distil", f"{STAGES}:reinforce"),
    Kill("distil", f"{STAGES}:reinforce", 1, "after"),
    Kill("checkpoint", "policies.metacognition:MetacognitionHead.save"),
    Kill("evaluation", f"{POLICY}.act", 3),
    Kill("evaluation", JOURNAL, 2, "half", "001/select.jsonl"),
    Kill("checkpoint", RENAME, 1, "before", ".student.partial-"),
    Kill("manifest", f"{ROUNDS}:write_manifest", 1, "after", "001"),
    Kill("evaluation", JOURNAL, 2, "half", "test-002-restricted"),
    Kill("evaluation", f"{JUDGING}:account_for_end"),
    Kill("manifest", f"{ROUNDS}:write_manifest", match="final"),
)
"""In the order in which one run meets them; each process ends at the next."""


class Trainings:
    """The process that trainings are forked from."""

    def __init__(self, log: Path) -> None:
        self.log = log
        command = [sys.executable, "-m", "tests.killing"]
        self._server = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def run(self, words: list[str], kill: Kill | None = None) -> int:
        """Run a training to its end; return its exit status, negative for a signal."""
        request = {"words": words, "kill": asdict(kill) if kill else None, "log": str(self.log)}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        return int(self._server.stdout.readline())

    def close(self) -> None:
        self._server.communicate(timeout=60)


@dataclass(frozen=True)
class Runs:
    """Both runs' folders, and how each killed process ended."""

    whole: Path
    killed: Path
    statuses: tuple[int, ...]
    log: Path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny student that searches for a few words, clicks on anything, and buys where it can."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    shop: Any = gymnasium.make("sage_gym/WebShop-v0", catalog=WORLD, disable_env_checker=True).unwrapped
    instructions = [task.instruction for task in shop.tasks("all")[:100]]
    listed = [choice.text for position in range(20) for choice in shop.store.page(position).choices]
    tokenizer = build_tokenizer([*instructions, *listed])
    model = build_model(0, hidden=64, layers=2, heads=2, vocab=len(tokenizer))
    teach(model, [lesson(Vocabulary(tokenizer), text, number) for number, text in enumerate(instructions[:30])])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    MetacognitionHead(64).save(folder / "head.safetensors")
    return folder


def lesson(vocabulary: Vocabulary, instruction: str, number: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """An episode's ids, and which of them are to be learned: a search for three words, a result, a purchase."""
    ids = [vocabulary.task, *vocabulary.encode_instruction(instruction), vocabulary.obs, vocabulary.act]
    decisions = [(len(ids), search(vocabulary, instruction, number))]
    ids += [*decisions[0][1], vocabulary.obs, *vocabulary.encode("page 1")]
    for place in range(5):
        ids += [*vocabulary.encode(f"{instruction} $13.{place}"), vocabulary.labels[place]]
    ids.append(vocabulary.act)
    decisions.append((len(ids), [vocabulary.labels[number % 5]]))
    ids += [*decisions[1][1], vocabulary.obs, *vocabulary.encode("price $13.43")]
    for choice in ("buy now", "prev", "back to search", "description", "features", "reviews", "color: red"):
        ids += [*vocabulary.encode(choice), vocabulary.separator]
    ids.append(vocabulary.act)
    decisions.append((len(ids), [*vocabulary.encode("buy now"), vocabulary.end]))
    ids += decisions[2][1]
    learned = {start + place for start, decision in decisions for place in range(len(decision))}
    return tuple(ids), tuple(place in learned for place in range(len(ids)))


def search(vocabulary: Vocabulary, instruction: str, number: int) -> list[int]:
    """A search for three of the instruction's words: every second one is quoted, the others are written."""
    if number % 2:
        return list(vocabulary.quotes.spell([(2, 4)]))
    return [vocabulary.write, *vocabulary.encode(" ".join(instruction.split()[2:5])), vocabulary.end]


def teach(model: PreTrainedModel, lessons: Sequence[tuple[tuple[int, ...], tuple[bool, ...]]]) -> None:
    """Imitate the lessons, so that episodes go on after the first turn and end in rewards that differ."""
    length = max(len(ids) for ids, _ in lessons)
    ids_BT = torch.zeros(len(lessons), length, dtype=torch.long)
    labels_BT = torch.full_like(ids_BT, -100)
    for row, (ids, is_learned) in enumerate(lessons):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        labels_BT[row, : len(ids)] = torch.where(torch.tensor(is_learned), torch.tensor(ids), -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        model(input_ids=ids_BT, labels=labels_BT).loss.backward()
        optimizer.step()


@pytest.fixture(scope="module")
def runs(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    log = folder / "log.txt"
    trainings = Trainings(log)
    words = {name: [*SETTINGS, f"policy.weights={weights}", f"run.folder={folder / name}"] for name in ("a", "b")}
    try:
        assert trainings.run(words["a"]) == 0, log.read_text()[-3000:]
        statuses = [trainings.run(words["b"], kill) for kill in KILLS]
        assert trainings.run(words["b"]) == 0, log.read_text()[-3000:]
    finally:
        trainings.close()
    return Runs(folder / "a" / "small", folder / "b" / "small", tuple(statuses), log)


def journals_of(folder: Path) -> dict[str, list[str]]:
    return {
        path.relative_to(folder).as_posix(): [fingerprint(t) for chunk in read_trajectories(path) for t in chunk]
        for path in sorted(folder.rglob("*.jsonl"))
        if path.name != "metrics.jsonl"
    }


def metrics_of(folder: Path) -> dict[int, dict[str, Any]]:
    return {
        step: {name: value for name, value in metrics.items() if not name.endswith(("_s", "_ms"))}
        for step, metrics in read_metrics(folder / "metrics.jsonl").items()
    }


@pytest.mark.slow
def test_every_process_was_killed_where_it_was_meant_to_be(runs: Runs) -> None:
    survivors = [kill for kill, status in zip(KILLS, runs.statuses, strict=True) if status != -signal.SIGKILL]
    assert not survivors, f"{survivors}: {runs.log.read_text()[-3000:]}"
    counts = Counter(kill.phase for kill in KILLS)
    assert all(
        counts[phase] >= 2 for phase in ("pilot", "collect", "further", "select", "distil", "checkpoint", "evaluation")
    )


@pytest.mark.slow
def test_the_uninterrupted_run_did_what_is_to_be_compared(runs: Runs) -> None:
    rounds = read_rounds(runs.whole)
    assert [manifest.round for manifest in rounds] == [0, 1, 2]
    assert len({tuple(manifest.files.values()) for manifest in rounds}) == 3
    assert all(
        manifest.metrics["distil/steps"] > 1 and manifest.metrics["reinforce/steps"] > 1 for manifest in rounds[1:]
    )
    for manifest in rounds[1:]:
        assert manifest.pilot is not None
        assert manifest.selection is not None
        assert [overlap.source for overlap in manifest.selection.overlaps] == ["webshop select", "webshop test"]
        assert manifest.metrics["reflection/episodes"] > 0
        assert manifest.metrics["reinforce/ics_scored"] > 0
    assert {manifest.metrics["reinforce/baseline_gate"] for manifest in rounds[1:]} == {0.0, 1.0}
    assert len(list(runs.whole.rglob("trajectories.parquet"))) == 2
    final = read_final(runs.whole)
    assert final is not None
    assert final.last_promoted == 2


@pytest.mark.slow
def test_manifests_are_those_of_an_uninterrupted_run(runs: Runs) -> None:
    whole, killed = read_rounds(runs.whole), read_rounds(runs.killed)
    assert [m.comparable() for m in killed] == [m.comparable() for m in whole]
    final, expected = read_final(runs.killed), read_final(runs.whole)
    assert final is not None
    assert expected is not None
    assert final.comparable() == expected.comparable()


@pytest.mark.slow
def test_episodes_and_metrics_are_those_of_an_uninterrupted_run(runs: Runs) -> None:
    journals = journals_of(runs.whole)
    assert len(journals) == 19
    assert [name for name, found in journals.items() if not found] == [
        "rounds/001/recovery.jsonl",  # the tiny student succeeds nowhere, so no mistake is forced anywhere
        "rounds/002/recovery.jsonl",
    ]
    assert journals_of(runs.killed) == journals
    metrics = metrics_of(runs.whole)
    assert set(metrics) == {0, 1, 2}
    assert metrics_of(runs.killed) == metrics


@pytest.mark.slow
def test_nothing_half_made_is_left_behind(runs: Runs) -> None:
    for folder in (runs.whole, runs.killed):
        assert not [path for path in folder.rglob("*") if ".partial" in path.name or path.name.startswith(".")]
    names = [sorted(p.relative_to(f).as_posix() for p in f.rglob("*")) for f in (runs.whole, runs.killed)]
    assert names[0] == names[1]
