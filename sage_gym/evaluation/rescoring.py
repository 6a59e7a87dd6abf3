"""Stored trajectories scored again, and stored evaluations compared: nothing is played."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sage_gym.errors import RecordError
from sage_gym.evaluation.comparison import compare_splits
from sage_gym.evaluation.critiques import score_episodes
from sage_gym.evaluation.measuring import measure_split
from sage_gym.evaluation.records import Evaluation, SplitResult
from sage_gym.evaluation.recovery import mistake_turn
from sage_gym.evaluation.stored import StoredEpisodes, read_stored
from sage_gym.protocols import Reward
from sage_gym.types import Score, Trajectory

__all__ = ["compare_stored", "rescore", "write_scores"]

AS_STORED = "as stored"


def rescore(
    place: Path, critic: Reward, *, name: str, seed: int = 0
) -> tuple[Evaluation, dict[str, Mapping[str, Score]]]:
    """Score the episodes of every trajectory file under a place; return the evaluation, and file → id → score.

    What is damaged is named in the evaluation, skipped and counted. Each file is a row of its own; forced mistakes are
    measured as recovery; forecasts are judged with what a `-fit` file of the same evaluation holds.

    Args:
        place: an evaluation's or a run's folder, or a file.
        critic: scores.
        name: of what is written.
        seed: of the bootstraps.

    Raises:
        RecordError: there are no trajectories.
    """
    stored = read_stored(place)
    files = [file for file in stored if file.trajectories]
    damage = tuple(one for file in stored for one in file.damage)
    if not files:
        found = "; ".join(map(str, damage)) or "empty files"
        raise RecordError(f"{place}: expected trajectories to score, got none ({found})")
    scores = {file.name: score_episodes(critic, file.trajectories) for file in files}
    results = [_measure(file, files, (critic.name, scores[file.name]), seed) for file in files]
    environments = sorted({t.task.environment for file in files for t in file.trajectories})
    evaluation = Evaluation(
        name=name,
        environment=", ".join(environments),
        policies=tuple(file.name for file in files),
        results=tuple(results),
        settings={"rescore": str(place), "critic": critic.name},
        damage=damage,
        notes=("stored trajectories, scored again; nothing was played",),
    )
    return evaluation, scores


def _measure(
    file: StoredEpisodes, files: Sequence[StoredEpisodes], critic: tuple[str, Mapping[str, Score]], seed: int
) -> SplitResult:
    forced = [t for t in file.trajectories if mistake_turn(t) is not None]
    own: Sequence[Trajectory] = [t for t in file.trajectories if mistake_turn(t) is None]
    fit = _fit_of(file, files)
    return measure_split(
        own or forced,
        split=_splits(file.trajectories),
        policy=file.name,
        decoding=AS_STORED,
        fit=fit.trajectories if fit else (),
        fit_split=_splits(fit.trajectories) if fit else "",
        recovery=forced or None,
        critic=critic,
        seed=seed,
    )


def _fit_of(file: StoredEpisodes, files: Sequence[StoredEpisodes]) -> StoredEpisodes | None:
    """Return the episodes that the same side of the same evaluation was fitted on."""
    folder, _, side = file.name.rpartition("/")
    root = folder.rpartition("/")[0]
    wanted = [one for one in files if one.name.startswith(root) and one.name.rpartition("/")[2] == f"{side}-fit"]
    return wanted[0] if len(wanted) == 1 else None


def _splits(trajectories: Sequence[Trajectory]) -> str:
    return ", ".join(dict.fromkeys(t.task.split for t in trajectories))


def write_scores(path: Path, scores: Mapping[str, Mapping[str, Score]]) -> None:
    """Write one line an episode, all or nothing: `file`, `id`, `value`, `components`, `per_turn`, `reason`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        for file, of_file in scores.items():
            for identifier, score in of_file.items():
                line = {
                    "file": file,
                    "id": identifier,
                    "critic": score.name,
                    "value": score.value,
                    "components": dict(score.components),
                    "per_turn": list(score.per_turn),
                    "reason": score.reason,
                }
                stream.write(json.dumps(line) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def compare_stored(baseline: Evaluation, contender: Evaluation, *, name: str, seed: int = 0) -> Evaluation:
    """Compare the first policies of two finished evaluations on the splits that both have.

    Args:
        baseline: the first.
        contender: the second; differences are its minus the first's.
        name: of what is returned.
        seed: of the bootstraps.

    Raises:
        RecordError: no split in common.
        TasksDifferError: a split's tasks differ; the keys are given.
    """
    labels = _labels(baseline, contender)
    ours, theirs = contender.of(contender.policies[0]), baseline.of(baseline.policies[0])
    common = [split for split in ours if split in theirs]
    if not common:
        raise RecordError(
            f"expected a split that both evaluations have, got {', '.join(theirs)} in {baseline.name} and "
            f"{', '.join(ours)} in {contender.name}; evaluate both on one split"
        )
    results = [
        found[split].model_copy(update={"policy": label})
        for split in common
        for label, found in ((labels[1], ours), (labels[0], theirs))
    ]
    alone = [split for split in (*ours, *theirs) if split not in common]
    return Evaluation(
        name=name,
        environment=contender.environment,
        policies=(labels[1], labels[0]),
        results=tuple(results),
        comparisons=compare_splits(
            (labels[0], {split: theirs[split].outcomes for split in common}),
            (labels[1], {split: ours[split].outcomes for split in common}),
            seed=seed,
        ),
        weights={
            label: found.weights[found.policies[0]]
            for label, found in ((labels[1], contender), (labels[0], baseline))
            if found.policies[0] in found.weights
        },
        damage=(*contender.damage, *baseline.damage),
        notes=(
            *(f"{split} is in one of the two alone, and not compared" for split in alone),
            *_unlike(baseline, contender),
        ),
    )


def _labels(baseline: Evaluation, contender: Evaluation) -> tuple[str, str]:
    first, second = baseline.policies[0], contender.policies[0]
    if first != second:
        return first, second
    if baseline.name != contender.name:
        return f"{first} ({baseline.name})", f"{second} ({contender.name})"
    return f"{first} (baseline)", f"{second} (contender)"


SAME_BY_NATURE = (
    "policy",
    "against",
    "run",
    "round",
    "name",
    "folder",
    "splits",
    "critic",
    "recovery",
    "compare",
    "rescore",
)


def _unlike(baseline: Evaluation, contender: Evaluation) -> list[str]:
    """Name settings besides the policy that differ, so that a reader knows what else may have made the difference."""
    keys = sorted(baseline.settings.keys() | contender.settings.keys())
    return [
        f"{key} was {before} for {baseline.name} and {after} for {contender.name}"
        for key in keys
        if key.partition(".")[0] not in SAME_BY_NATURE
        and (before := baseline.settings.get(key, "absent")) != (after := contender.settings.get(key, "absent"))
    ]
