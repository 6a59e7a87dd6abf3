"""Each command's configuration: which sections it has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sage_gym.config.sections import (
    Amplify,
    Component,
    Distil,
    Evaluate,
    Executor,
    Promotion,
    Reinforce,
    Rollout,
    Rounds,
    Run,
    Section,
    Tracking,
)
from sage_gym.selection import SelectionSettings

__all__ = ["BenchConfig", "PlayConfig", "TrainConfig", "ViewConfig"]


class TrainConfig(Section):
    """Settings of `python -m sage_gym.train`."""

    env: Component = Component(name="webshop")
    """The environment; other `env.*` keys are its constructor's arguments."""
    policy: Component = Component(name="nano")
    """The student: a registered name, or a hub name, a folder or a GGUF file; other `policy.*` keys are arguments."""
    run: Run = Run()
    executor: Executor = Executor()
    rollout: Rollout = Rollout()
    rounds: Rounds = Rounds()
    amplify: Amplify = Amplify()
    selection: SelectionSettings = SelectionSettings()
    distil: Distil = Distil()
    reinforce: Reinforce = Reinforce()
    evaluate: Evaluate = Evaluate()
    promotion: Promotion = Promotion()
    tracking: Tracking = Tracking()

    @property
    def run_name(self) -> str:
        """The run's name, made up from environment and seed where none was given."""
        return self.run.name or f"{self.env.name}-seed{self.run.seed}"

    @property
    def run_folder(self) -> Path:
        """Where everything of the run lies."""
        return self.run.folder / self.run_name


class PlayConfig(Section):
    """Settings of `python -m sage_gym.play`."""

    env: Component = Component(name="webshop")
    """The environment; other `env.*` keys are its constructor's arguments."""
    task: str | None = None
    """A task's key; null draws one of the split."""
    split: str = "train"
    """Where a task is drawn from."""
    seed: int = Field(default=0, ge=0)
    """Of the draw and of the episode."""


class ViewConfig(Section):
    """Settings of `python -m sage_gym.view`."""

    runs: tuple[Path, ...] = Field(default=(Path("runs"),), min_length=1)
    """Run folders, or folders that hold some; words without `=` are these."""
    port: int | None = Field(default=None, ge=0, le=65535)
    """On 127.0.0.1; null takes 8750, or a free one when that is taken; 0 takes a free one."""
    browser: bool = False
    """Open the page in the default browser."""
    cache: bool = True
    """Keep what was read of large files in the cache folder, so that they open at once the next time."""


class TrainingBench(Section):
    """How the cost of training is measured."""

    episodes: int = Field(default=64, ge=1)
    """Of the student's own, trained on in every variant."""
    step_tokens: int = Field(default=8192, ge=1)
    """Tokens in an optimiser step, prompts included."""
    repetitions: int = Field(default=7, ge=1)
    """Of every variant, interleaved; one more comes first and is thrown away."""
    bf16: bool = True
    """Train in bfloat16 autocast."""


class ViewBench(Section):
    """How the viewer is measured: on a run that is generated, and removed afterwards."""

    trajectories: int = Field(default=100_000, ge=100)
    """Of the generated run."""
    rounds: int = Field(default=10, ge=1)
    """Of the generated run."""
    browser: bool = True
    """Measure in Chromium, which needs the extra `browser`; false asks for the pages over HTTP alone."""


class BenchConfig(Section):
    """Settings of `python -m sage_gym.bench`."""

    measure: Literal["environment", "training", "view"] = "environment"
    """The environment's own benchmark, what each loss of training costs on episodes played in it, or the viewer."""
    sandbox: Literal["docker", "local", "stub"] | None = None
    """Measure sandboxes instead: `docker` and what follows it, `local` where there is no container engine."""
    env: Component = Component(name="webshop")
    """The environment; its other keys are arguments of the environment's own benchmark."""
    policy: Component = Component(name="nano")
    """The student whose training is measured."""
    training: TrainingBench = TrainingBench()
    view: ViewBench = ViewBench()
