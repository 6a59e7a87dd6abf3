"""A student whose skill is a script, and a world of doors that it opens or not: for tests of the round loop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import gymnasium
import torch

from policies.metacognition import MetacognitionHead
from sage_gym.config import TrainConfig
from sage_gym.distill.arena import Arena
from sage_gym.distill.rounds import RoundLoop
from sage_gym.distill.stages import Material, StageResult
from sage_gym.errors import SageGymError
from sage_gym.protocols import Tracker
from sage_gym.selection import HeldOut
from sage_gym.spaces import UnicodeText
from sage_gym.types import Choice, Context, Decision, Task, View

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


class KnockableDoors(Doors):
    """A door may be knocked on, which changes nothing."""

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return ("a door", 0.0, False, False, {}) if action == "knock" else super().step(action)

    def view(self) -> View:
        return View("door", "a door", (Choice("open", "go in"), Choice("knock", "be polite")))


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
    heeds_hints: bool = False
    """Whether a hint opens any door."""

    def learn(self, number: int) -> None:
        self.version += f">{number}"


class ScriptedStudent:
    """Opens the doors that its version's skill reaches."""

    name = "scripted"

    def __init__(self, script: Script, *, has_head: bool = False, decoding: str = "") -> None:
        self.script, self.decoding = script, decoding
        self.model: Any = torch.nn.Linear(1, 1)
        self.tokenizer: Any = None
        self.head = MetacognitionHead(2) if has_head else None

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        script = self.script
        script.asked += [(script.version, self.decoding, context.episode) for context in contexts]
        return [self._decide(context) for context in contexts]

    def _decide(self, context: Context) -> Decision:
        task, skill = context.task, self.script.skills[int(self.script.version.split(">")[-1])]
        is_able = int(task.key.rpartition("/")[2]) < skill * SIZES[task.split]
        action = "open" if is_able or (context.hints and self.script.heeds_hints) else "wait"
        p_fail = self.script.forecasts.get(task.key)
        return Decision(action, action, p_fail_before=p_fail, p_fail=p_fail)

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
    """The loop with training that only counts; `metrics` are what every training tells besides."""

    script: Script
    materials: list[Material]
    metrics: Mapping[str, float] = {}

    def _take_stages(self, material: Material) -> StageResult:
        self.materials.append(material)
        self.script.learn(material.collected[0].round)
        counted = {"scripted/episodes": float(len(material.collected))}
        return StageResult({**counted, **self.metrics}, tokens_trained=100)


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
    critics: Sequence[Any] = (),
    held_out: Sequence[HeldOut] = (),
    make_environment: type[Doors] = Doors,
    heeds_hints: bool = False,
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
    script = Script(skills, forecasts=dict(forecasts or {}), heeds_hints=heeds_hints)
    arena = Arena(make_environment, config.rollout, config.run.seed, has_progress=False)
    student = cast(Any, ScriptedStudent(script, has_head=has_head))
    loop = ScriptedLoop(config, student, arena, tracker or ListTracker(), critics, held_out)
    loop.script, loop.materials = script, []
    return loop
