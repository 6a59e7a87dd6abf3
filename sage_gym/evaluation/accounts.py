"""Trajectories in, manifests out: what the round loop calls at the end of a round and of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sage_gym.evaluation.forecasts import ForecastReport
from sage_gym.evaluation.gaps import Gap, gap_between
from sage_gym.evaluation.manifest import FinalManifest, RoundManifest, TaskOutcome, TestResult, list_tasks
from sage_gym.evaluation.metrics import measure
from sage_gym.evaluation.pilot import Pilot
from sage_gym.evaluation.promotion import Promotion
from sage_gym.evaluation.samples import choose_samples
from sage_gym.evaluation.significance import compare, holm, pair
from sage_gym.evaluation.sources import Composition
from sage_gym.selection.verdicts import Selection
from sage_gym.types import Trajectory

__all__ = ["TestRun", "account_for_end", "account_for_round"]

TestRun = tuple[str, str, Sequence[Trajectory], Sequence[Trajectory]]
"""Split, decoding, round 0's trajectories, the last promoted student's on the same tasks."""


def account_for_round(
    *,
    run: str,
    number: int,
    stage: str,
    policy: str,
    select: Sequence[Trajectory],
    collected: Sequence[Trajectory] = (),
    selection: Selection | None = None,
    composition: Composition | None = None,
    promotion: Promotion | None = None,
    pilot: Pilot | None = None,
    forecast: ForecastReport | None = None,
    decoding: str = "",
    seeds: Mapping[str, int] | None = None,
    files: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    checkpoint: str | None = None,
    tokens_trained: int = 0,
    elapsed_s: float = 0.0,
) -> RoundManifest:
    """Build a round's manifest.

    Args:
        run: name of the run.
        number: of the round; 0 is the untrained student.
        stage: `start`, `distil` or `reinforce`.
        policy: name of the student.
        select: its episodes on the select split.
        collected: the episodes collected for training.
        selection: what was kept of them.
        composition: of what was trained on.
        promotion: its decision; none for round 0.
        pilot: of re-planning, where one was run.
        forecast: of the head on the select split.
        decoding: in words.
        seeds: by what they seeded.
        files: path under the run folder -> sha256.
        metrics: of training.
        checkpoint: path under the run folder.
        tokens_trained: in this round.
        elapsed_s: of this round.
    """
    used = {"collect": collected, "select": select}
    return RoundManifest(
        run=run,
        round=number,
        stage=stage,
        policy=policy,
        decoding=decoding,
        seeds=dict(seeds or {}),
        tasks={
            name: list_tasks(list({t.task.key: t.task for t in trajectories}.values()))
            for name, trajectories in used.items()
            if trajectories
        },
        files=dict(files or {}),
        metrics=dict(metrics or {}),
        collected=measure(collected) if collected else None,
        select=measure(select) if select else None,
        selection=selection.record() if selection is not None else None,
        composition=composition,
        promotion=promotion,
        pilot=pilot,
        forecast=forecast,
        checkpoint=checkpoint,
        tokens_trained=tokens_trained,
        elapsed_s=elapsed_s,
    )


def account_for_end(
    *,
    run: str,
    environment: str,
    policy: str,
    seed: int,
    last_promoted: int,
    tests: Sequence[TestRun],
    forecast: ForecastReport | None = None,
    tokens_trained: int = 0,
    elapsed_s: float = 0.0,
    notes: Sequence[str] = (),
) -> FinalManifest:
    """Build the final manifest; p-values are adjusted by Holm over all of `tests`.

    Args:
        run: name of the run.
        environment: its name.
        policy: name of the student.
        seed: of the run.
        last_promoted: round of the student under test.
        tests: the primary one first; samples are taken from it.
        forecast: of the last student's head on the test split.
        tokens_trained: over all rounds.
        elapsed_s: of the run.
        notes: for the reader.

    Raises:
        ValueError: no test, or one whose two sides are not of the same tasks.
    """
    if not tests:
        raise ValueError("expected the test split's episodes of round 0 and of the last student, got none")
    pairs = [pair(before, after) for _, _, before, after in tests]
    compared = [compare("round 0", f"round {last_promoted}", found) for found in pairs]
    adjusted = holm({str(index): test.mcnemar_p for index, test in enumerate(compared)})
    results = []
    for index, ((split, decoding, before, after), found) in enumerate(zip(tests, compared, strict=True)):
        results.append(
            TestResult(
                split=split,
                decoding=decoding,
                before=measure(before),
                after=measure(after),
                paired=found,
                mcnemar_p_holm=adjusted[str(index)],
                outcomes=_outcomes(before, after),
            )
        )
    return FinalManifest(
        run=run,
        environment=environment,
        policy=policy,
        seed=seed,
        last_promoted=last_promoted,
        tests=tuple(results),
        forecast=forecast,
        gaps=_gaps(results),
        samples=choose_samples(tests[0][2], tests[0][3]),
        tokens_trained=tokens_trained,
        elapsed_s=elapsed_s,
        notes=tuple(notes),
    )


def _gaps(results: Sequence[TestResult]) -> tuple[Gap, ...]:
    """Hold the first split against every other that was decoded alike."""
    first = results[0]
    ours = [outcome.before for outcome in first.outcomes], [outcome.after for outcome in first.outcomes]
    found = []
    for result in results:
        if result.split != first.split and result.decoding == first.decoding:
            theirs = [outcome.before for outcome in result.outcomes], [outcome.after for outcome in result.outcomes]
            sides = (ours[0], theirs[0]), (ours[1], theirs[1])
            found.append(gap_between(first.split, result.split, first.decoding, *sides))
    return tuple(gap for gap in found if gap is not None)


def _outcomes(before: Sequence[Trajectory], after: Sequence[Trajectory]) -> tuple[TaskOutcome, ...]:
    hashes = {t.task.key: t.task.hash for t in before}
    found = pair(before, after)
    rows = zip(found.keys, found.families, found.success_a, found.success_b, found.score_a, found.score_b, strict=True)
    return tuple(
        TaskOutcome(
            key=key, family=family, hash=hashes[key], before=a, after=b, before_reward=score_a, after_reward=score_b
        )
        for key, family, a, b, score_a, score_b in rows
    )
