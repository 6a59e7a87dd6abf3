"""The configuration of an evaluation, and what it takes over from a training run's settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from sage_gym.config.runs import find_run, label_of
from sage_gym.config.sections import Component, Episodes, Section
from sage_gym.selection.spread import Draw

__all__ = ["AmplifiedRival", "EvaluateConfig", "Recovery", "settings_of_training"]


def _split_commas(value: object) -> object:
    """Take `a,b` for `[a,b]`."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Recovery(Section):
    """Success after a forced mistake: successes are played again up to a turn, where a wrong action is put in."""

    tasks: int = Field(default=100, ge=0)
    """Of each split, at most, of those that were succeeded at; 0 plays none."""
    turn: int | None = Field(default=None, ge=1)
    """Of the mistake, counted from 1; null draws one for each task."""


class AmplifiedRival(Section):
    """The same policy with search and re-planning on its forecasts: what is evaluated is held against it without."""

    enabled: bool = False
    """Evaluate the amplified policy, against the plain one."""
    candidates: int = Field(default=4, ge=1)
    """Actions sampled for each decision, of which the likeliest to succeed is chosen."""
    tau: float = Field(default=0.8, ge=0.0, le=1.0)
    """Candidates whose failure forecast exceeds this are dropped, and planned again."""
    replans: int = Field(default=2, ge=0)
    """How often a turn is planned again at most."""
    pilot_tasks: int = Field(default=50, ge=0)
    """Tasks of the fit split for the pilot whose decision is held against each whole split's; 0 plays none."""


class EvaluateConfig(Section):
    """Settings of `python -m sage_gym.evaluate`."""

    env: Component = Component(name="webshop")
    """The environment; other `env.*` keys are its constructor's arguments."""
    policy: Component = Component(name="nano")
    """What is evaluated: a registered name, a hub name, a folder, a GGUF file, an address, or a training run's folder,
    round or checkpoint; other `policy.*` keys are arguments."""
    against: Component | None = None
    """A second policy, played on the same tasks and compared; null evaluates the first alone."""
    critic: Component | None = None
    """A reward or critic that scores every episode too; other `critic.*` keys are its arguments."""
    rollout: Episodes = Episodes()
    recovery: Recovery = Recovery()
    amplify: AmplifiedRival = AmplifiedRival()
    run: Path | None = None
    """A training run's folder (or its name under `runs`): its student is evaluated, in the run's own environment,
    budgets and decoding where nothing else is given."""
    round: int | None = Field(default=None, ge=0)
    """Which round's student of `run`; null is the last promoted."""
    rescore: Path | None = None
    """Score stored trajectories again instead, playing nothing: an evaluation's or a run's folder, or a file."""
    compare: Annotated[tuple[Path, ...], BeforeValidator(_split_commas)] = ()
    """Compare two finished evaluations instead, playing nothing: [baseline, contender], their folders."""
    splits: Annotated[tuple[str, ...] | None, BeforeValidator(_split_commas)] = None
    """Splits side by side, such as test,test_combinations; null is `test` and all others whose name begins with it."""
    tasks: int = Field(default=200, ge=1)
    """Tasks of each split, the same in every evaluation."""
    draw: Draw = "families"
    """Which: `families` draws one task of each family, then a second; `tasks` draws each task evenly."""
    attempts: int = Field(default=1, ge=1)
    """Episodes of each task, for pass@k and pass^k."""
    fit_split: str | None = "select"
    """The split that the forecasts' temperature and the cheap baselines are fitted on; null fits none."""
    fit_tasks: int = Field(default=200, ge=1)
    """Tasks of that split, played once."""
    temperature: float = Field(default=0.0, ge=0.0)
    """Of sampling; 0 takes the likeliest token. `policy.temperature` and `against.temperature` go before it."""
    restricted: bool = True
    """Decode only admissible actions; `policy.restricted` and `against.restricted` go before it."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of episodes, draws and bootstraps."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The evaluation's folder under `folder`; null makes it up from environment and policies."""
    folder: Path | None = None
    """What holds the evaluations' folders; null is `evaluations`, and for `run` the folder of that name in it."""

    def conflicts(self) -> list[str]:
        """Name settings that do not go together."""
        found = []
        if self.rescore is not None and self.compare:
            found.append("rescore and compare exclude each other; give one")
        if self.rescore is not None and self.critic is None:
            found.append("rescore: expected critic=<name> with it, such as outcome, rule or calibration")
        if self.compare and len(self.compare) != 2:
            found.append(f"compare: expected two finished evaluations, [baseline,contender], got {len(self.compare)}")
        if self.amplify.enabled and self.against is not None:
            found.append("amplify.enabled holds the policy against itself without it; leave out against")
        if self.round is not None and self.run is None:
            found.append("round: expected run=<a training run's folder> with it")
        if self.splits is not None and len(set(self.splits)) != len(self.splits):
            found.append(f"splits: expected each once, got {', '.join(self.splits)}")
        if self.splits is not None and self.fit_split in self.splits:
            found.append(
                f"fit_split={self.fit_split}: it is among splits, and what is fitted on a split cannot be judged on "
                "it; give another one, or null"
            )
        return found

    @property
    def evaluation_name(self) -> str:
        """The folder's name, made up where none was given."""
        if self.name is not None:
            return self.name
        text = "-".join(self._words())
        return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text)

    def _words(self) -> list[str]:
        """Give what a made-up name consists of."""
        if self.compare:
            return [self.compare[-1].name, "vs", self.compare[0].name]
        if self.rescore is not None:
            return ["rescore", self.rescore.stem or "here", self.critic.name if self.critic is not None else ""]
        amplified = ["amplified"] if self.amplify.enabled else []
        against = ["vs", label_of(self.against.name)] if self.against is not None else []
        return [self.env.name, label_of(self.policy.name), *amplified, *against]

    @property
    def evaluation_folder(self) -> Path:
        """Where everything of the evaluation lies."""
        run = None if self.run is None else find_run(self.run) or self.run
        inside = Path("evaluations") if run is None else run / "evaluations"
        return (self.folder or inside) / self.evaluation_name


def settings_of_training(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Translate what a training's settings say about evaluation: environment, budgets, decoding, splits, tasks."""
    rollout, judged = dict(tree.get("rollout") or {}), dict(tree.get("evaluate") or {})
    found: dict[str, Any] = {"env": tree["env"]} if "env" in tree else {}
    budgets = {name: rollout[name] for name in Episodes.model_fields if name in rollout}
    if budgets:
        found["rollout"] = budgets
    same = ("draw", "temperature", "restricted")
    renamed = {"test_tasks": "tasks", "select_tasks": "fit_tasks", "select_split": "fit_split"}
    found |= {name: judged[name] for name in same if name in judged}
    found |= {ours: judged[theirs] for theirs, ours in renamed.items() if theirs in judged}
    if judged.get("test_split", "test") != "test":
        found["splits"] = [judged["test_split"]]
    return found
