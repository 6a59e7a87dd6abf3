"""Kill -9 at two moments or more of every phase of a run, the same command each time, and the end is the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import sage_gym  # noqa: F401  registers the environments
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
    "stages=[distil,reinforce]",
    "rollout.tasks_per_round=3",
    "rollout.group_size=2",
    "rollout.pool=2",
    "rollout.concurrency=3",
    "rollout.max_turns=5",
    "rollout.turn_tokens=16",
    "rollout.wall_clock_s=1e6",
    "selection.outcome.r_min=0",
    "distil.batch_tokens=800",
    "reinforce.batch_tokens=800",
    "evaluate.select_tasks=4",
    "evaluate.test_tasks=4",
    "promotion.margin=1.0",
    "tracking.wandb=off",
)
ROUNDS, POLICY = "sage_gym.distill.rounds", "policies.causal_lm.policy:CausalLM"
JOURNAL, RENAME = "sage_gym.rollout.journal:Journal._write", "pathlib:Path.rename"
LOSS = "sage_gym.distill.trainer:DistillationTrainer.compute_loss"

KILLS = (
    Kill("evaluation", JOURNAL, 2, "half", "000/select.jsonl"),
    Kill("checkpoint", "torch:save", match="optimizer.pt"),
    Kill("checkpoint", RENAME, 2, match=".checkpoint-"),
    Kill("manifest", f"{ROUNDS}:write_manifest", match="000"),
    Kill("collect", f"{POLICY}.act", 4),
    Kill("collect", JOURNAL, 1, "half", "001/collect.jsonl"),
    Kill("collect", JOURNAL, 2, "after", "001/collect.jsonl"),
    Kill("select", f"{ROUNDS}:select"),
    Kill("select", "sage_gym.selection.rules:weigh_by_task"),
    Kill("distil", LOSS, 2, "after"),
    Kill("distil", f"{ROUNDS}:reinforce"),
    Kill("distil", f"{ROUNDS}:reinforce", 1, "after"),
    Kill("checkpoint", "policies.metacognition:MetacognitionHead.save"),
    Kill("evaluation", f"{POLICY}.act", 3),
    Kill("evaluation", JOURNAL, 2, "half", "001/select.jsonl"),
    Kill("checkpoint", RENAME, 1, "before", ".student.partial-"),
    Kill("manifest", f"{ROUNDS}:write_manifest", 1, "after", "001"),
    Kill("evaluation", JOURNAL, 2, "half", "test-002-restricted"),
    Kill("evaluation", f"{ROUNDS}:account_for_end"),
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
    """A tiny student that has read the world it plays in, and knows nothing."""
    folder = tmp_path_factory.mktemp("weights")
    shop: Any = gymnasium.make("sage_gym/WebShop-v0", catalog=WORLD, disable_env_checker=True).unwrapped
    texts = [task.instruction for task in shop.tasks("all")[:100]]
    texts += [choice.text for position in range(20) for choice in shop.store.page(position).choices]
    tokenizer = build_tokenizer(texts)
    build_model(0, hidden=64, layers=2, heads=2, vocab=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    MetacognitionHead(64).save(folder / "head.safetensors")
    return folder


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
    assert all(counts[phase] >= 2 for phase in ("collect", "select", "distil", "checkpoint", "evaluation"))


@pytest.mark.slow
def test_the_uninterrupted_run_did_what_is_to_be_compared(runs: Runs) -> None:
    rounds = read_rounds(runs.whole)
    assert [manifest.round for manifest in rounds] == [0, 1, 2]
    assert len({tuple(manifest.files.values()) for manifest in rounds}) == 3
    assert all(
        manifest.metrics["distil/steps"] > 1 and manifest.metrics["reinforce/steps"] > 1 for manifest in rounds[1:]
    )
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
    assert len(journals) == 9
    assert all(journals.values())
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
