"""What introspection writes into a run folder: decision points, a file a trajectory; and the test of faithfulness.

introspection/<trajectory>.json      `Introspection`, which the viewer reads
introspection/faithfulness.json      `Faithfulness`, which the report reads
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sage_gym.evaluation.intervals import Interval

__all__ = [
    "Alternative",
    "DecisionPoint",
    "Difference",
    "Faithfulness",
    "Introspection",
    "PlaceRank",
    "SignalTest",
    "TurnReading",
    "WayTest",
    "faithfulness_path",
    "introspection_path",
    "read_faithfulness",
]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Alternative(_Record):
    """An action that was weighed and not taken."""

    action: str
    probability: float | None
    p_fail: float | None = None


class TurnReading(_Record):
    """What was measured of one turn; what cannot be taken away has neither weight nor effect."""

    turn: int
    """Counted from 0."""
    action: str
    tokens: int
    weight: float | None
    """From 0 to 1. By `unusual`, the share of turns at its place that less attention flows to (under a normal
    distribution of logarithms); by another signal, its share over the trajectory's turns that can be taken away."""
    effect: float | None
    """Change of the log-odds of failure when the turn is knocked out, in nats."""
    p_fail_without: float | None
    p_fail_before: float
    """At the last token before the decision, read again."""
    p_fail: float
    """At the decision's own last token, read again."""
    entropy: float | None
    probability: float | None
    """Of what was sampled."""
    alternatives: tuple[Alternative, ...] = ()


class DecisionPoint(_Record):
    """A turn that mattered, how much, and why in a sentence or two."""

    turn: int
    weight: float
    why: str


class Introspection(_Record):
    """One trajectory looked into."""

    trajectory: str
    file: str
    task: str
    instruction: str
    round: int
    success: bool
    reward: float
    p_fail: float
    """The forecast at the end, read again."""
    signal: str
    points: tuple[DecisionPoint, ...]
    """By weight, the largest first."""
    turns: tuple[TurnReading, ...]
    explanation: str
    told_by: str
    """`template`, or the language model's name."""
    notes: tuple[str, ...] = ()


class Difference(_Record):
    """A mean of paired differences, its interval by family, and a signed-rank test with one value a family."""

    mean: Interval
    p: float | None
    """Wilcoxon, two-sided; None with fewer than six families, or none that differ."""
    p_holm: float | None = None
    needed: int | None = None
    """Families for p < 0.01 in four of five samples, were this the true difference; None where p is below it already,
    or the difference is not above 0."""


class PlaceRank(_Record):
    """Rank correlation with leave-one-out among turns of the same place, over places."""

    rho: float
    low: float
    high: float
    p: float
    turns: int


class SignalTest(_Record):
    """One signal on all trajectories. Effects are sizes of the change of the log-odds, in nats."""

    name: str
    title: str
    named: Interval
    """Of a turn that the signal names, knocked out alone."""
    others: Interval
    """Of the other turns of the same trajectory."""
    matched: Difference | None
    """Named less its pair: same place, like length, another task; None where there is no pair."""
    pairs: int
    last: Difference | None
    """Named less as many turns at the end; None for that rule itself."""
    deletion_area: Interval
    """Mean distance from the whole trajectory's forecast while turns are knocked out, the largest weight first."""
    insertion_area: Interval
    """The same while turns are put back: here less is better."""
    deletion_lead: Difference | None
    """Its deletion area less that of the rule `last`."""
    deletion: tuple[float, ...]
    """The mean curve at shares 0, 0.1 … 1 of the turns."""
    insertion: tuple[float, ...]
    rank: Interval
    """Mean over trajectories of the rank correlation with leave-one-out."""
    rank_at_place: PlaceRank | None
    top_shared: float
    """Share of trajectories whose first turn is leave-one-out's first."""


class WayTest(_Record):
    """The chosen signal under one way of taking turns away."""

    way: str
    trajectories: int
    """In which every turn could be taken away so."""
    named: Interval | None
    others: Interval | None
    matched: Difference | None
    pairs: int
    last: Difference | None


class Faithfulness(_Record):
    """Whether removing what signals name matters more than removing other turns."""

    run: str
    round: int
    files: tuple[str, ...]
    signal: str
    """The one that names decision points."""
    trajectories: int
    families: int
    failures: int
    turns: float
    """Mean of those that can be taken away."""
    named_per_trajectory: float
    left_out: dict[str, int]
    """By reason."""
    recorded: float | None
    """Rank correlation of the last forecasts, read again, with those on record."""
    signals: tuple[SignalTest, ...]
    ways: tuple[WayTest, ...]
    notes: tuple[str, ...] = ()
    examples: tuple[Introspection, ...] = ()
    """Trajectories in words, the first by lot that succeeded and that did not."""


def introspection_path(run_folder: Path, trajectory: str, file: str) -> Path:
    """Where a trajectory's decision points lie; ids are unique within a file of trajectories alone."""
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", trajectory).strip("-")
    digest = hashlib.blake2b(f"{file}\0{trajectory}".encode(), digest_size=4).hexdigest()
    return run_folder / "introspection" / f"{digest}-{slug[-120:]}.json"


def faithfulness_path(run_folder: Path) -> Path:
    """Where the test of faithfulness lies."""
    return run_folder / "introspection" / "faithfulness.json"


def read_faithfulness(run_folder: Path) -> Faithfulness | None:
    """Read the test of faithfulness, None where none was made.

    Raises:
        ValueError: the file is damaged or of another version.
    """
    path = faithfulness_path(run_folder)
    if not path.exists():
        return None
    try:
        return Faithfulness.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(
            f"{path}: expected a test of faithfulness, got {error.errors()[0]['msg']}; "
            "run `python -m sage_gym.explain` again, or delete the file"
        ) from error
