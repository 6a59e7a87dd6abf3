"""What is claimed of a part: that it helps, that it does not, or that nothing can be said and what it would take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO

import pytest
from rich.console import Console

from sage_gym.config import PartName
from sage_gym.evaluation.ablation.comparison import compare_parts, compare_with_yardstick, remarks
from sage_gym.evaluation.ablation.figures import Ablation, Cost, RunFigures
from sage_gym.evaluation.ablation.table import print_ablation
from sage_gym.evaluation.accounts import account_for_end
from sage_gym.evaluation.report.ablation import render_ablation
from tests.trajectories import make_task, make_trajectory

TASKS = 200


def figures(
    variant: str,
    seed: int,
    failed: Sequence[int] = (),
    *,
    tokens: int = 100,
    seconds: float | None = 10.0,
    replanned: int = 1,
    last_promoted: int = 1,
) -> RunFigures:
    """A run that fails at these of the test tasks."""
    part: PartName | None = variant.partition("without-")[2] or None  # type: ignore[assignment]
    before = [make_trajectory(make_task(f"t/{i}"), success=False) for i in range(TASKS)]
    after = [make_trajectory(make_task(f"t/{i}"), success=i not in failed) for i in range(TASKS)]
    final = account_for_end(
        run=variant, environment="shop", policy="scripted", seed=seed, last_promoted=1,
        tests=[("test", "sampled", before, after)],
    )  # fmt: skip
    cost = Cost(seconds_a_round=seconds, tokens_sampled=10 * tokens, tokens_trained=tokens)
    return RunFigures(
        run=f"{variant}-seed{seed}", variant=variant, part=part, seed=seed, test=final.tests[0],
        last_promoted=last_promoted, rounds=2, cost=cost, elapsed_s=1.0, steps=9, replanned=replanned,
    )  # fmt: skip


def against_full(
    full: Sequence[Sequence[int]], without: Sequence[Sequence[int]], part: str = "critic"
) -> list[RunFigures]:
    """Runs of as many seeds as there are lists of failed tasks."""
    runs = [figures("full", seed, failed) for seed, failed in enumerate(full)]
    return runs + [figures("without-critic", seed, failed) for seed, failed in enumerate(without)]


def test_a_part_helps_where_every_seed_is_better_with_it() -> None:
    [effect] = compare_parts(against_full([range(20)] * 3, [range(60)] * 3), margin=0.02)
    assert effect.verdict == "helps"
    assert effect.pooled.differences == pytest.approx({0: 0.2, 1: 0.2, 2: 0.2})
    assert "+20.0 points" in effect.words
    assert "all seeds agree" in effect.words
    assert effect.pooled.mean.low > 0.1
    assert effect.p_holm < 0.001
    assert (effect.by_seed[1].gained, effect.by_seed[1].lost) == (40, 0)


def test_a_part_hurts_where_every_seed_is_better_without_it() -> None:
    [effect] = compare_parts(against_full([range(60)] * 3, [range(20)] * 3), margin=0.02)
    assert effect.verdict == "hurts"


def test_a_part_does_not_help_where_a_gain_is_excluded() -> None:
    one_more = [[*range(20), 50], range(20), range(20)]
    [effect] = compare_parts(against_full(one_more, [range(20)] * 3), margin=0.02)
    assert effect.verdict == "does not help"
    assert "a gain of +2.0 points or more is excluded" in effect.words
    assert effect.pooled.mean.high < 0.02


def test_that_a_gain_is_excluded_needs_every_seed() -> None:
    # +3, -3, -3 points: the interval lies below the margin of 5, of 2 it does not, and one seed is above that
    full, without = [range(20), range(26), range(26)], [range(26), range(20), range(20)]
    [effect] = compare_parts(against_full(full, without), margin=0.05)
    assert effect.verdict == "does not help"
    [effect] = compare_parts(against_full(full, without), margin=0.02)
    assert effect.verdict != "does not help"


def test_no_claim_is_made_where_the_seeds_disagree() -> None:
    [effect] = compare_parts(against_full([range(20), range(20), range(22)], [range(60), range(60), range(20)]), 0.02)
    assert effect.pooled.mean.low > 0
    assert effect.p_holm < 0.05
    assert effect.verdict == "seeds disagree"
    assert "no claim" in effect.words
    assert "+20.0, +20.0, -1.0" in effect.words


def test_one_seed_claims_nothing() -> None:
    [effect] = compare_parts(against_full([range(20)], [range(100)]), margin=0.02)
    assert effect.verdict == "one seed"
    assert "seeds=3" in effect.words


def test_where_nothing_can_be_said_it_is_said_what_it_would_take() -> None:
    full = [range(20, 45), range(20, 44), range(20, 46)]
    without = [range(0, 28), range(1, 28), range(2, 30)]
    [effect] = compare_parts(against_full(full, without), margin=0.02)
    assert effect.verdict == "nothing can be said"
    assert effect.pairs_needed is not None
    assert effect.pairs_needed > 3 * TASKS
    assert f"takes about {effect.pairs_needed:,} pairs" in effect.words
    assert f"tasks on 3 seeds, or {TASKS} on" in effect.words
    assert "to exclude a gain of +2.0" in effect.words


def test_holm_is_over_the_parts_that_were_taken_out() -> None:
    alone = against_full([range(20)] * 2, [range(32)] * 2)
    others = [figures(f"without-{part}", seed, range(20)) for part in ("inverse", "recovery") for seed in (0, 1)]
    [critic] = compare_parts(alone, margin=0.02)
    with_others = {effect.part: effect for effect in compare_parts([*alone, *others], margin=0.02)}
    assert critic.p_holm == critic.pooled.p
    assert with_others["critic"].p_holm == pytest.approx(3 * critic.pooled.p)


def test_the_full_system_is_held_against_the_yardstick_first() -> None:
    runs = against_full([range(20)] * 2, [range(60)] * 2)
    assert compare_with_yardstick(runs, margin=0.02) == ()
    yardstick = [figures("yardstick", seed, range(20)) for seed in (0, 1)]
    full, without = compare_with_yardstick([*runs, *yardstick], margin=0.02)
    assert (full.variant, without.variant) == ("full", "without-critic")
    assert full.pooled.mean.value == 0
    assert without.verdict == "hurts"
    assert without.pooled.mean.value == pytest.approx(-0.2)


def test_a_parts_cost_is_what_the_full_system_takes_more() -> None:
    full = [figures("full", 0, tokens=150, seconds=30.0), figures("full", 1, tokens=130, seconds=None)]
    without = [figures("without-critic", 0, tokens=100), figures("without-critic", 1, tokens=100)]
    [effect] = compare_parts([*full, *without], margin=0.02)
    assert effect.cost == Cost(seconds_a_round=20.0, tokens_sampled=400.0, tokens_trained=40.0)


def test_unequal_training_and_idle_pilots_and_unpromoted_students_are_told() -> None:
    runs = [
        figures("full", 0, tokens=1000, replanned=0),
        figures("without-critic", 0, tokens=1019),
        figures("without-inverse", 0, tokens=900, last_promoted=0),
    ]
    unequal, idle, unpromoted = remarks(runs)
    assert "without-inverse-seed0 was trained on 900 tokens, the full system on 1,000" in unequal
    assert "no pilot let amplification in" in idle
    assert unpromoted.endswith(": without-inverse-seed0")
    assert list(remarks([figures("full", 0)])) == []


def an_ablation() -> Ablation:
    runs = against_full([range(20)] * 2, [range(60)] * 2)
    runs += [figures("without-inverse", seed, range(20)) for seed in (0, 1)]
    runs += [figures("yardstick", seed, range(30)) for seed in (0, 1)]
    return Ablation(
        name="<script>alert(1)</script>",
        environment="webshop",
        seeds=(0, 1),
        margin=0.02,
        runs=tuple(runs),
        effects=compare_parts(runs, 0.02),
        rivals=compare_with_yardstick(runs, 0.02),
        notes=("mind this",),
        settings={"rounds.count": "3"},
        changes={"without-critic": {"amplify.chooser": "critic → first"}},
    )


def test_the_table_says_of_each_part_whether_it_helps() -> None:
    out = StringIO()
    print_ablation(an_ablation(), Console(file=out, width=200, highlight=False))
    said = out.getvalue()
    assert "critic: helps, +20.0 points" in said
    assert "inverse: does not help, +0.0 points" in said
    assert "Against the yardstick" in said
    assert "mind this" in said
    row = next(line for line in said.splitlines() if line.startswith("│ critic"))
    assert "+20.0 (< 0.0001)" in row


def test_the_page_is_whole_escaped_and_made_of_the_json_alone() -> None:
    stored = json.loads(an_ablation().model_dump_json())
    page = render_ablation(Ablation.model_validate(stored))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "does not help: inverse; helps: critic." in page
    assert "critic → first" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
