"""The sections of a training run's configuration, each with vetted defaults. A field's docstring is its help text.

Ranges are stated where a value outside them can only be a mistake. Left out on purpose: what follows from other
settings, and what only one policy or environment understands (those are the keys of `policy.*` and `env.*`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sage_gym.selection.spread import Draw
from sage_gym.types import Budget

__all__ = [
    "Amplify",
    "Component",
    "Distil",
    "Episodes",
    "Evaluate",
    "Executor",
    "Promotion",
    "Reinforce",
    "Rollout",
    "Rounds",
    "Run",
    "Section",
    "Tracking",
]


class Section(BaseModel):
    """A frozen group of settings that knows no others."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, coerce_numbers_to_str=True, allow_inf_nan=False
    )

    def conflicts(self) -> list[str]:
        """Name settings that are valid each by itself and do not go together."""
        return []


class Component(Section):
    """Something resolved by name; its other keys are keyword arguments, checked against its signature."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1)
    """Which one."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments to construct it with."""
        return dict(self.model_extra or {})


class Run(Section):
    """Where a run lives, and what makes it repeatable."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The run's folder under `run.folder`; null makes it `<environment>-seed<seed>`."""
    folder: Path = Path("runs")
    """What holds the run folders."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Every generator of the run follows from it."""
    resume: bool = True
    """Continue the run of that name where it stopped; false refuses when there is one."""


class Executor(Section):
    """Where work runs."""

    name: Literal["local"] = "local"
    """`local`: in this process."""


class Episodes(Section):
    """How episodes are played, and their four separate budgets."""

    concurrency: int = Field(default=32, ge=1)
    """Episodes in flight, whose decisions are batched."""
    max_turns: int = Field(default=15, ge=1)
    """Budget: turns of an episode."""
    turn_tokens: int = Field(default=64, ge=1)
    """Budget: tokens sampled in a turn."""
    episode_tokens: int = Field(default=2048, ge=1)
    """Budget: tokens sampled in an episode."""
    wall_clock_s: float = Field(default=120.0, gt=0.0)
    """Budget: seconds an episode may take."""
    retries: int = Field(default=1, ge=0)
    """How often an episode is played again after a failure that the policy could not have caused."""
    max_failure_share: float = Field(default=0.1, ge=0.0, le=1.0)
    """Stop when a larger share of episodes is lost to such failures."""

    def budget(self) -> Budget:
        """Return the four limits of an episode."""
        return Budget(self.max_turns, self.turn_tokens, self.episode_tokens, self.wall_clock_s)


class Rollout(Episodes):
    """How episodes are collected, and their four separate budgets."""

    split: str = Field(default="train", min_length=1)
    """The split that tasks are drawn from."""
    tasks_per_round: int = Field(default=64, ge=1)
    """Tasks of a round."""
    draw: Draw = "families"
    """Which: `families` draws one task of each family (a product), then a second; `tasks` draws each task evenly, so
    that a family has as large a share as it has tasks."""
    pool: int = Field(default=4, ge=1)
    """Curriculum: so many times the tasks are drawn, forecast before anything is played, and the most learnable
    favoured, by 4 p (1 - p); 1 takes them as they come."""
    group_size: int = Field(default=4, ge=1)
    """Episodes of each task in a round."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Of sampling, while collecting."""
    restricted: bool = True
    """Sample only admissible actions, where the policy can."""
    second_attempts: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the failed episodes, by lot, that are tried once more with a critique of the failure in the prompt, for
    the stage `distil`, which sees them without the critique; 0 makes none."""
    recovery_traces: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the successful episodes, by lot, that are played again with one mistake forced, for the stage `distil`,
    which learns what mends the mistake and not the mistake; 0 makes none."""


class Rounds(Section):
    """How many rounds, and what is trained in each."""

    count: int = Field(default=3, ge=0)
    """Rounds; 0 evaluates the policy as it is."""
    token_limit: int | None = Field(default=None, gt=0)
    """Start no round once so many sampled tokens have been trained on; null is no limit."""
    round_tokens: int | None = Field(default=None, gt=0)
    """Train on at most so many sampled tokens a round, on rows drawn by lot; what a round cannot use, the next may.
    Runs that differ in what they collect or select are then trained on as many tokens. Null is no limit."""
    stages: tuple[Literal["forecast", "distil", "reinforce"], ...] = Field(default=("reinforce",), min_length=1)
    """What a round trains, in order: weighted imitation of what selection kept (`distil`), policy gradient
    (`reinforce`), and the forecast head alone, to the optimum on a frozen backbone (`forecast`), with the first
    decisions of the three rounds before."""
    final_rate: float = Field(default=1.0, gt=0.0, le=1.0)
    """The backbone's learning rate falls in a straight line to this share of itself in the last round; 1 leaves it."""

    def rate(self, number: int) -> float:
        """Return the share of the backbone's learning rate that round `number`, counted from 1, has."""
        done = (number - 1) / max(1, self.count - 1)
        return 1.0 - (1.0 - self.final_rate) * min(1.0, done)


class Amplify(Section):
    """Search, critic and re-planning around the student while it collects."""

    enabled: bool = False
    """Collect with the amplified student, for the stage `distil`; the policy gradient takes only the episodes that
    it left as they were."""
    candidates: int = Field(default=4, ge=1)
    """Actions sampled for each decision, of which the critic chooses one."""
    tau: float = Field(default=0.8, ge=0.0, le=1.0)
    """Candidates whose failure forecast exceeds this are dropped, and planned again."""
    replans: int = Field(default=2, ge=0)
    """How often a turn is planned again at most."""
    chooser: Literal["critic", "first"] = "critic"
    """Which of the candidates that are left is taken: the one that the critic's Q = 1 - p_fail holds best, or the
    `first` that was sampled."""
    pilot_tasks: int = Field(default=50, ge=0)
    """Paired select tasks on which re-planning must not hurt before a round may use it; 0 skips the pilot."""
    untouched_share: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of episodes, by lot, that is never intervened upon; the forecasts are judged on these."""


class Distil(Section):
    """First stage: weighted cross-entropy on the policy's own tokens, and the meta-cognition head's losses."""

    learning_rate: float = Field(default=1e-4, gt=0.0)
    """Constant over the stage; `rounds.final_rate` lets it fall from round to round."""
    head_learning_rate: float = Field(default=5e-3, gt=0.0)
    """The meta-cognition head's own: it is small, and starts from little."""
    epochs: int = Field(default=1, ge=1)
    """Passes over what selection kept."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Tokens in an optimiser step, prompts included."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW's."""
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """Gradients are scaled down to this norm."""
    lambda_inverse: float = Field(default=0.1, ge=0.0)
    """Weight of the inverse head's loss; 0 leaves out the second pass."""
    lambda_forecast: float = Field(default=0.5, ge=0.0)
    """Weight of the failure forecast's loss."""
    lambda_kl: float = Field(default=0.1, ge=0.0)
    """Weight of KL(student || reference) at the labelled positions; 0 leaves out the reference's pass."""
    reference_temperature: float = Field(default=1.0, gt=0.0)
    """Of the reference in that KL. Below 1 it is surer than the student was, who is distilled towards it: what is
    learned is to sample what was likeliest, from every id's probability and not from the one that was sampled."""
    empty_trace_share: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of inverse passes whose trace is dropped, which trains what the trace's information is measured against."""


class Reinforce(Section):
    """Second stage: policy gradient inside a trust region, on a mixture of R and success."""

    learning_rate: float = Field(default=3e-5, gt=0.0)
    """Constant over the stage; `rounds.final_rate` lets it fall from round to round."""
    head_learning_rate: float = Field(default=5e-3, gt=0.0)
    """The meta-cognition head's own: it is small, and starts from little."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the round's episodes."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Tokens in an optimiser step, prompts included."""
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """Gradients are scaled down to this norm."""
    clip_low: float = Field(default=0.2, gt=0.0, lt=1.0)
    """A probability ratio below 1 - clip_low gets no further push down."""
    clip_high: float = Field(default=0.28, gt=0.0)
    """A probability ratio above 1 + clip_high gets no further push up."""
    kl: float = Field(default=0.02, ge=0.0)
    """Weight of KL(reference || student), estimated at the sampled tokens, which the reference sampled."""
    admissible: float = Field(default=0.1, ge=0.0)
    """Weight of -log of the probability on what restricted decoding left open, where it sampled and where only one id
    was open, so that the student does not unlearn what is admissible; without restriction it is 0."""
    entropy: float = Field(default=0.0, ge=0.0)
    """Weight of the entropy bonus."""
    baseline: Literal["group", "state", "forecast", "turn", "none"] = "group"
    """What is subtracted from the return: the mean of the task's other episodes, or of those among them that came to
    the same state; V = 1 - p_fail of the first prompt, or of each decision's own prompt; or nothing."""
    gate_episodes: int = Field(default=32, ge=0)
    """Episodes of a round on which it is measured whether a baseline of forecasts lowers the gradient's variance; while
    it raised it in the rounds before, `group` is used in its place. 0 measures nothing and keeps to the forecasts."""
    success_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Weight of success in the return; the environment's R has the rest."""
    eta_ics: float = Field(default=0.0, ge=0.0)
    """Weight of the Inverse Consistency Score (nats a token) that is added to the return; 0 does not compute it."""
    lambda_forecast: float = Field(default=0.1, ge=0.0)
    """Weight of the failure forecast's loss, on every finished episode."""
    settled_share: float = Field(default=0.25, gt=0.0, le=1.0)
    """Share of the episodes without advantage that still train the forecast, weighed up by its inverse."""


class Evaluate(Section):
    """How the student alone is judged."""

    test_split: str = Field(default="test", min_length=1)
    """The split that is played once, at the end."""
    further_splits: tuple[str, ...] = ()
    """Splits that are played once at the end as well, and whose gap to the test split the report gives: such as are
    held out less, or more strictly."""
    select_split: str = Field(default="select", min_length=1)
    """The split that promotion, calibration and pilots use."""
    select_tasks: int = Field(default=200, ge=1)
    """Tasks of the select split, played after every round: promotion, calibration and stopping."""
    test_tasks: int = Field(default=200, ge=1)
    """Tasks of the test split, played once, for round 0 and the last promoted student."""
    draw: Draw = "families"
    """Which tasks of these splits, as `rollout.draw`."""
    temperature: float = Field(default=0.0, ge=0.0)
    """Of sampling; 0 takes the likeliest token."""
    restricted: bool = True
    """Decode only admissible actions; the report says which was used."""
    other_decodings: bool = True
    """Play the test split in other ways of decoding as well: without restriction (or with), and the likeliest token."""


class Promotion(Section):
    """When a round's student replaces the incumbent."""

    margin: float = Field(default=0.02, ge=0.0, le=1.0)
    """How much worse than the incumbent, and than the best so far, the lower bound may lie (share of tasks)."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1.0)
    """Of the paired difference's lower bound."""
    patience: int = Field(default=2, ge=0)
    """Rounds that a student may go on without being promoted, before training returns to the incumbent."""


def _mend_off(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


class Tracking(Section):
    """Where metrics and episodes go besides the run folder's `metrics.jsonl` and journals, which always get them."""

    wandb: Annotated[Literal["auto", "online", "offline", "off"], BeforeValidator(_mend_off)] = "auto"
    """`auto` is online with a key, offline without one."""
    project: str = Field(default="sage-gym", min_length=1)
    """Weights & Biases project."""
    parquet: bool = True
    """Write what each round collected as `rounds/<n>/trajectories.parquet` too, which `datasets` and pandas read."""
