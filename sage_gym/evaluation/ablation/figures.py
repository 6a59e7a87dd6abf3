"""A finished run's figures, kept at once, and the ablation's; both JSON, and all that table and page are made of."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sage_gym.config import PartName
from sage_gym.evaluation.ablation.sharing import read_shared
from sage_gym.evaluation.ablation.variants import Run
from sage_gym.evaluation.manifest import TestResult, read_final, read_manifest, read_rounds, write_manifest
from sage_gym.evaluation.significance import PairedTest, SeedsTest
from sage_gym.rollout import read_trajectories
from sage_gym.types import Turn

__all__ = ["Ablation", "Cost", "Effect", "Rival", "RunFigures", "Verdict", "keep_figures", "read_figures"]

FIGURES = "figures"
COLLECTING = ("collect", "reflection", "recovery", "pilot-plain", "pilot-amplified")

Verdict = Literal["helps", "hurts", "does not help", "seeds disagree", "one seed", "nothing can be said"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cost(_Record):
    """What a run, or a part, takes. Differences may be negative."""

    seconds_a_round: float | None
    """Of the rounds from the second on, in which nothing is taken over; None where there is none."""
    tokens_sampled: float
    """While collecting: candidates that were not taken, pilots, second attempts and recovery traces included."""
    tokens_trained: float
    """Sampled tokens with a loss weight above 0."""


class RunFigures(_Record):
    """One finished run."""

    run: str
    variant: str
    part: PartName | None
    seed: int
    test: TestResult
    """Of the run's own way of decoding."""
    last_promoted: int
    rounds: int
    cost: Cost
    elapsed_s: float
    """Of the whole run, without what was taken over."""
    steps: int
    """Of the optimiser, over all rounds: as many tokens are not always as many steps."""
    replanned: int
    """Rounds in which the pilot let amplification in."""
    shared: dict[str, str] = {}
    """File -> the run that it was taken over from."""


class Effect(_Record):
    """The full system against the same without a part; differences are full - without."""

    part: PartName
    by_seed: dict[int, PairedTest]
    pooled: SeedsTest
    p_holm: float
    """Of the pooled difference, adjusted over the parts."""
    verdict: Verdict
    words: str
    pairs_needed: int | None = None
    """Test tasks, over all seeds, that would show the observed difference four times in five."""
    cost: Cost
    """Full - without, means of the seeds."""


class Rival(_Record):
    """A variant against the yardstick; differences are the variant - the yardstick."""

    variant: str
    by_seed: dict[int, PairedTest]
    pooled: SeedsTest
    verdict: Verdict
    words: str


class Ablation(_Record):
    """Everything that table and page say."""

    name: str
    environment: str
    seeds: tuple[int, ...]
    margin: float
    runs: tuple[RunFigures, ...]
    effects: tuple[Effect, ...]
    rivals: tuple[Rival, ...] = ()
    """The full system first."""
    notes: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    changes: dict[str, dict[str, str]] = {}
    """Variant -> dotted key -> its value with and without."""


def read_figures(folder: Path, run: Run) -> RunFigures | None:
    """Return what was kept of a run of this ablation, None where it is not over.

    Raises:
        ValueError: the file is damaged or of another version.
    """
    path = folder / FIGURES / f"{run.name}.json"
    return read_manifest(path, RunFigures) if path.exists() else None


def keep_figures(folder: Path, run: Run) -> RunFigures:
    """Read a finished run's figures off its folder, and keep them.

    Raises:
        ValueError: the run is not over.
    """
    of_run = run.config.run_folder
    final, rounds = read_final(of_run), read_rounds(of_run)
    if final is None:
        raise ValueError(f"{of_run}: expected a finished run with final.json, got none")
    later = [m.elapsed_s for m in rounds if m.round > 1]
    found = RunFigures(
        run=run.name,
        variant=run.variant,
        part=run.part,
        seed=run.seed,
        test=final.tests[0],
        last_promoted=final.last_promoted,
        rounds=rounds[-1].round,
        cost=Cost(
            seconds_a_round=fmean(later) if later else None,
            tokens_sampled=_sampled(of_run),
            tokens_trained=final.tokens_trained,
        ),
        elapsed_s=final.elapsed_s,
        steps=sum(int(m.metrics.get(f"{stage}/steps", 0)) for m in rounds for stage in ("distil", "reinforce")),
        replanned=sum(m.pilot is not None and m.pilot.replanning for m in rounds),
        shared=dict(read_shared(of_run)),
    )
    write_manifest(folder / FIGURES / f"{run.name}.json", found)
    return found


def _sampled(folder: Path) -> int:
    """Count every token that was sampled for collecting, also by candidates that were not taken."""
    paths = [path for name in COLLECTING for path in sorted(folder.glob(f"rounds/*/{name}.jsonl"))]
    chunks = (chunk for path in paths for chunk in read_trajectories(path))
    return sum(_tokens_of(turn) for chunk in chunks for trajectory in chunk for turn in trajectory.turns)


def _tokens_of(turn: Turn) -> int:
    own = 0 if turn.decision.ledger is None else len(turn.decision.ledger.sampled_ids)
    return int(turn.decision.notes.get("sampled_tokens", own))
