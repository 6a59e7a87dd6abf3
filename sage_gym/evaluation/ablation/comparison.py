"""From the runs' figures to what each part is worth: paired, within seed, and pooled with Holm's correction over parts.

A claim needs three things: an interval of the pooled difference that is clear of 0, a corrected p below 0.05, and the
sign of every seed. That a part does *not* help is a claim too: the interval, and every seed, must lie below the margin.
All else is said to be open, with what it would take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from sage_gym.config import PartName
from sage_gym.evaluation.ablation.figures import Cost, Effect, Rival, RunFigures, Verdict
from sage_gym.evaluation.ablation.variants import FULL, YARDSTICK_RUN
from sage_gym.evaluation.manifest import pairs_between
from sage_gym.evaluation.power import pairs_needed
from sage_gym.evaluation.significance import PairedTest, Pairs, SeedsTest, across_seeds, compare, holm

__all__ = ["compare_parts", "compare_with_yardstick", "judge", "remarks"]

ALPHA = 0.05
RESAMPLES = 10_000
TOKEN_TOLERANCE = 0.02
"""Share by which the trained tokens of two runs may differ and still pass for the same."""


def compare_parts(runs: Sequence[RunFigures], margin: float) -> tuple[Effect, ...]:
    """Hold the full system against every variant without a part.

    Args:
        runs: of all variants and seeds.
        margin: gain (share of tasks) below which a part does not help.
    """
    full = _of_variant(runs, FULL)
    parts: dict[PartName, dict[int, RunFigures]] = {}
    for run in runs:
        if run.part is not None:
            parts.setdefault(run.part, {})[run.seed] = run
    pairs = {part: _pair(of_part, full) for part, of_part in parts.items()}
    pooled = {part: across_seeds(found, resamples=RESAMPLES) for part, found in pairs.items()}
    adjusted = holm({part: found.p for part, found in pooled.items()})
    effects = []
    for part, found in pooled.items():
        verdict, words, needed = judge(found, adjusted[part], pairs[part], margin)
        effects.append(
            Effect(
                part=part,
                by_seed=_by_seed(f"without {part}", FULL, pairs[part]),
                pooled=found,
                p_holm=adjusted[part],
                verdict=verdict,
                words=words,
                pairs_needed=needed,
                cost=_difference(full, parts[part]),
            )
        )
    return tuple(effects)


def compare_with_yardstick(runs: Sequence[RunFigures], margin: float) -> tuple[Rival, ...]:
    """Hold every variant against the yardstick, the full system first; none where it was not run."""
    yardstick = _of_variant(runs, YARDSTICK_RUN)
    variants = [name for name in dict.fromkeys(run.variant for run in runs) if name != YARDSTICK_RUN]
    found = []
    for variant in variants if yardstick else ():
        pairs = _pair(yardstick, _of_variant(runs, variant))
        pooled = across_seeds(pairs, resamples=RESAMPLES)
        verdict, words, _ = judge(pooled, pooled.p, pairs, margin)
        by_seed = _by_seed(YARDSTICK_RUN, variant, pairs)
        found.append(Rival(variant=variant, by_seed=by_seed, pooled=pooled, verdict=verdict, words=words))
    return tuple(found)


def judge(pooled: SeedsTest, p: float, pairs: Mapping[int, Pairs], margin: float) -> tuple[Verdict, str, int | None]:
    """Say what may be claimed of a difference, in a word and in a sentence; and the pairs that would show it.

    Args:
        pooled: over the seeds.
        p: of it, corrected.
        pairs: by seed.
        margin: gain below which nothing is gained that matters.
    """
    found, differences = pooled.mean, pooled.differences.values()
    seen = f"{_points(found.value)} points [{_points(found.low)}, {_points(found.high)}]"
    if len(pooled.differences) < 2:
        return "one seed", f"{seen} on one seed alone, on which nothing is claimed; run more with seeds=3", None
    is_clear = p < ALPHA and not found.low <= 0.0 <= found.high
    if is_clear and pooled.signs_agree:
        return ("helps" if found.value > 0 else "hurts"), f"{seen}, and all seeds agree", None
    if found.high < margin and all(value < margin for value in differences):
        return "does not help", f"{seen}: a gain of {_points(margin)} points or more is excluded, in every seed", None
    needed, more = _wanting(pooled, pairs, margin)
    if is_clear:
        by_seed = ", ".join(_points(value) for value in differences)
        return "seeds disagree", f"{seen}, but not every seed has that sign ({by_seed}): no claim", needed
    return "nothing can be said", f"{seen}; {more}", needed


def _wanting(pooled: SeedsTest, pairs: Mapping[int, Pairs], margin: float) -> tuple[int | None, str]:
    """Say how many tasks or seeds would show the observed difference, or that it is below the margin."""
    gained, lost = sum(p.gained for p in pairs.values()), sum(p.lost for p in pairs.values())
    total, seeds = pooled.mean.n, len(pairs)
    needed, words = pairs_needed(gained, lost, total), []
    if needed is not None and needed > total:
        shown = f"to show {_points(pooled.mean.value)} points 4 times in 5 takes about {needed:,} pairs"
        words.append(f"{shown} ({_amount(needed, total, seeds)})")
    elif gained == lost:
        words.append("no difference was seen, so no number of tasks would show one")
    elif needed is None:
        words.append("to show so small a difference would take more than a million pairs")
    else:
        words.append("corrected for the parts compared, or for tasks that are alike, it is not clear of chance")
    room, half = margin - pooled.mean.value, (pooled.mean.high - pooled.mean.low) / 2
    if room > 0:
        enough = math.ceil(total * (half / room) ** 2)
        if enough > total:
            words.append(f"to exclude a gain of {_points(margin)}, about {enough:,} ({_amount(enough, total, seeds)})")
    return needed, "; ".join(words)


def _amount(needed: int, total: int, seeds: int) -> str:
    each = max(1, total // seeds)
    return f"{math.ceil(needed / seeds):,} tasks on {seeds} seeds, or {each:,} on {math.ceil(needed / each):,}"


def remarks(runs: Sequence[RunFigures]) -> Iterator[str]:
    """Tell what the reader must know before believing a difference."""
    full = _of_variant(runs, FULL)
    for run in runs:
        whole = full[run.seed].cost.tokens_trained
        if abs(run.cost.tokens_trained - whole) > TOKEN_TOLERANCE * whole:
            trained = f"{run.cost.tokens_trained:,.0f} tokens, the full system on {whole:,.0f}"
            yield f"{run.run} was trained on {trained}: the two are not compared at equal training"
    if runs and not any(run.replanned for run in full.values()):
        yield "no pilot let amplification in: in the full system it has only cost its pilots"
    unpromoted = [run.run for run in runs if run.last_promoted == 0]
    if unpromoted:
        yield f"no round was promoted, so that the student is the one it began with: {', '.join(unpromoted)}"


def _of_variant(runs: Sequence[RunFigures], variant: str) -> dict[int, RunFigures]:
    return {run.seed: run for run in runs if run.variant == variant}


def _pair(a: Mapping[int, RunFigures], b: Mapping[int, RunFigures]) -> dict[int, Pairs]:
    return {seed: pairs_between(run.test, b[seed].test) for seed, run in a.items() if seed in b}


def _by_seed(a: str, b: str, pairs: Mapping[int, Pairs]) -> dict[int, PairedTest]:
    return {seed: compare(a, b, found, seed=seed) for seed, found in pairs.items()}


def _difference(full: Mapping[int, RunFigures], without: Mapping[int, RunFigures]) -> Cost:
    both = [(full[seed].cost, run.cost) for seed, run in without.items()]
    seconds = [
        with_it.seconds_a_round - other.seconds_a_round
        for with_it, other in both
        if with_it.seconds_a_round is not None and other.seconds_a_round is not None
    ]
    return Cost(
        seconds_a_round=fmean(seconds) if seconds else None,
        tokens_sampled=fmean(a.tokens_sampled - b.tokens_sampled for a, b in both),
        tokens_trained=fmean(a.tokens_trained - b.tokens_trained for a, b in both),
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
