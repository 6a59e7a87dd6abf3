"""A student whose skill is a script, and a world of doors that it opens or not: for tests of the round loop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import gymnasium
import torch

from sage_gym.config import TrainConfig
from sage_gym.distill.arena import Arena
from sage_gym.distill.rounds import RoundLoop
from sage_gym.distill.stages import StageResult
from sage_gym.errors import SageGymError
from sage_gym.protocols import Tracker
from sage_gym.selection import Selection
from sage_gym.spaces import UnicodeText
from sage_gym.types import Context, Decision, Task, Trajectory

SIZES = {"train": 40, "select": 20, "test": 20}


class Doors(gymnasium.Env[str, str]):
    """One turn: `open` succeeds, anything else does not."""

    def __init__(self) -> None:
        self.action_space = self.observation_space = UnicodeText()

    def splits(self) -> tuple[str, ...]:
        return tuple(SIZES)

    def tasks(self, split: str) -> list[Task]:
        return [Task(f"{split}/{i}", f"open door {i}", split, i, f"{split} {i}", "doors") for i in range(SIZES[split])]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        return "a door", {"task": (options or {})["task"]}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        success = action == "open"
        return "", float(success), True, False, {"success": success}


@dataclass
class Script:
    """What all policies on one student's weights share.

    A version is the rounds that were trained one after the other (`0>1>3`). `skills` gives the share of doors that a
    version opens by its last round.
    """

    skills: Mapping[int, float]
    version: str = "0"
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Version, decoding and episode of every decision."""
    forecasts: dict[str, float] = field(default_factory=dict)
    foreseen: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)

    def learn(self, number: int) -> None:
        self.version += f">{number}"


class ScriptedHead(torch.nn.Module):
    """Stands for a head, so that tasks are forecast."""

    def __init__(self) -> None:
        super().__init__()
        self.temperatures = torch.ones(2)

    def calibrate(self, place: str, logits_B: torch.Tensor, failed_B: torch.Tensor) -> Any:
        return type("Fit", (), {"temperature": 1.0})


class ScriptedStudent:
    """Opens the doors that its version's skill reaches."""

    name = "scripted"

    def __init__(self, script: Script, *, has_head: bool = False, decoding: str = "") -> None:
        self.script, self.decoding = script, decoding
        self.model: Any = torch.nn.Linear(1, 1)
        self.tokenizer: Any = None
        self.head = ScriptedHead() if has_head else None

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        script = self.script
        script.asked += [(script.version, self.decoding, context.episode) for context in contexts]
        return [self._decide(context.task) for context in contexts]

    def _decide(self, task: Task) -> Decision:
        index, skill = int(task.key.rpartition("/")[2]), self.script.skills[int(self.script.version.split(">")[-1])]
        action = "open" if index < skill * SIZES[task.split] else "wait"
        return Decision(action, action)

    def release(self, episodes: Iterable[str]) -> None:
        pass

    def foresee(self, contexts: Sequence[Context]) -> list[float]:
        self.script.foreseen += [context.task.key for context in contexts]
        return [self.script.forecasts[context.task.key] for context in contexts]

    def with_decoding(self, *, temperature: float, restricted: bool) -> ScriptedStudent:
        return ScriptedStudent(self.script, decoding=f"{'restricted' if restricted else 'free'} {temperature:g}")

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "version.json").write_text(json.dumps(self.script.version))

    def restore(self, folder: Path) -> None:
        self.script.version = json.loads((folder / "version.json").read_text())
        self.script.restored.append(self.script.version)


class ScriptedLoop(RoundLoop):
    """The loop with training that only counts."""

    script: Script

    def _take_stages(self, number: int, collected: Sequence[Trajectory], selection: Selection | None) -> StageResult:
        self.script.learn(number)
        return StageResult({"scripted/episodes": float(len(collected))}, tokens_trained=100)


class ListTracker:
    """Keeps what it is told; `fails_at` raises instead of taking that round, as a kill there would."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.told: list[int] = []
        self.fails_at = fails_at

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        if step == self.fails_at:
            raise SageGymError("killed")
        self.told.append(step)

    def close(self) -> None:
        pass


def scripted_loop(
    folder: Path,
    skills: Mapping[int, float],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    has_head: bool = False,
    forecasts: Mapping[str, float] | None = None,
    tracker: Tracker | None = None,
) -> ScriptedLoop:
    """A loop over the doors in `folder`; `settings` are added section by section."""
    sections: dict[str, dict[str, Any]] = {
        "run": {"folder": str(folder), "name": "doors"},
        "rollout": {"tasks_per_round": 4, "group_size": 2, "pool": 1, "concurrency": 8},
        "rounds": {"count": len(skills) - 1, "stages": ["reinforce"]},
        "evaluate": {"select_tasks": 20, "test_tasks": 20},
    }
    for name, given in (settings or {}).items():
        sections[name] = {**sections.get(name, {}), **given}
    config = TrainConfig.model_validate(sections)
    script = Script(skills, forecasts=dict(forecasts or {}))
    arena = Arena(Doors, config.rollout, config.run.seed, has_progress=False)
    student = cast(Any, ScriptedStudent(script, has_head=has_head))
    loop = ScriptedLoop(config, student, arena, tracker or ListTracker())
    loop.script = script
    return loop
