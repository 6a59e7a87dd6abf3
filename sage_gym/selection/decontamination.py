"""Overlap of training text with held-out text: dropped across environments and benchmarks, reported within one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

from sage_gym.selection.fingerprints import SHINGLE, Fingerprints, TextIndex, fingerprints
from sage_gym.selection.settings import Decontamination
from sage_gym.selection.similarity import ngrams, shingles, words
from sage_gym.selection.verdicts import Overlap
from sage_gym.types import Trajectory

__all__ = ["Contamination", "HeldOut", "find_contamination"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Texts that must not be trained on: a benchmark (`environment` None) or an environment's held-out splits.

    They are read and indexed at the first comparison; use one HeldOut for all rounds of a run.
    """

    name: str
    texts: Iterable[str]
    environment: str | None = None
    _indexes: dict[int, TextIndex] = field(default_factory=dict, init=False, compare=False, repr=False)

    def index(self, n: int) -> TextIndex:
        """Return the index of these texts by n-grams of `n` words."""
        if n not in self._indexes:
            self._indexes[n] = TextIndex(self.texts, n)
        return self._indexes[n]


@dataclass(frozen=True, slots=True)
class Contamination:
    """What overlaps: trajectory id -> why it is to be dropped, and a line a source for the report."""

    dropped: Mapping[str, str]
    overlaps: tuple[Overlap, ...]


@dataclass(slots=True)
class _TrainingText:
    """The n-grams of the round's training text with the trajectories each occurs in, and each task's instruction."""

    holders: dict[str, list[str]]
    grams: Fingerprints
    """Of the n-grams in `holders`, in their order."""
    instructions: dict[str, Fingerprints]
    """Task -> the shingles of its instruction."""
    trajectories_of: dict[str, list[str]]


def find_contamination(
    trajectories: Sequence[Trajectory], held_out: Sequence[HeldOut], rule: Decontamination
) -> Contamination:
    """Compare each trajectory's text with each source.

    Overlap is a shared n-gram that is not common among training tasks, or an instruction that is a near-duplicate
    of a held-out text (which also catches texts shorter than n words).
    """
    training = _index(trajectories, rule)
    dropped: dict[str, str] = {}
    overlaps = []
    for source in held_out:
        hits = _hits(training, source, rule)
        by_id = {t.id: t for t in trajectories if t.id in hits}
        drops = [t for t in by_id.values() if t.task.environment != source.environment]
        for trajectory in drops:
            dropped.setdefault(trajectory.id, f"{source.name}: {hits[trajectory.id]}")
        overlaps.append(
            Overlap(
                source=source.name,
                held_out_texts=len(source.index(rule.n).texts),
                training_tasks=len(training.instructions),
                overlapping_tasks=len({t.task.key for t in by_id.values()}),
                dropped=bool(drops),
                example=next(iter(hits.values()), ""),
            )
        )
    return Contamination(dropped, tuple(overlaps))


def _index(trajectories: Sequence[Trajectory], rule: Decontamination) -> _TrainingText:
    tasks_with: defaultdict[str, set[str]] = defaultdict(set)
    holders: defaultdict[str, list[str]] = defaultdict(list)
    trajectories_of: defaultdict[str, list[str]] = defaultdict(list)
    for trajectory in trajectories:
        for gram in ngrams(words(_text(trajectory, rule)), rule.n):
            tasks_with[gram].add(trajectory.task.key)
            holders[gram].append(trajectory.id)
        trajectories_of[trajectory.task.key].append(trajectory.id)
    instructions = {t.task.key: t.task.instruction for t in trajectories}
    limit = max(1.0, rule.common_share * len(instructions))
    telling = {gram: holders[gram] for gram in sorted(holders) if len(tasks_with[gram]) <= limit}
    return _TrainingText(
        telling,
        fingerprints(telling),
        {task: fingerprints(shingles(text, SHINGLE)) for task, text in instructions.items()},
        trajectories_of,
    )


def _hits(training: _TrainingText, source: HeldOut, rule: Decontamination) -> dict[str, str]:
    """Return trajectory id -> the first overlap found with `source`."""
    hits: dict[str, str] = {}
    index = source.index(rule.n)
    for gram in compress(training.holders, index.holds(training.grams)):
        for identifier in training.holders[gram]:
            hits.setdefault(identifier, f"shares {gram!r}")
    for task, own in training.instructions.items():
        for text, similarity in index.near(own, rule.near_duplicate):
            for identifier in training.trajectories_of[task]:
                hits.setdefault(identifier, f"instruction is {similarity:.2f} similar to {text[:80]!r}")
    return hits


def _text(trajectory: Trajectory, rule: Decontamination) -> str:
    parts = [trajectory.task.instruction] if "instruction" in rule.parts else []
    if "decisions" in rule.parts:
        parts += [turn.decision.text for turn in trajectory.turns]
    if "observations" in rule.parts:
        parts += [turn.observation for turn in trajectory.turns]
    return "\n".join(parts)
