"""Leaks of every benchmark's text, changed as leaks are, are found; clean text is not taken for one.

`python -m tests.leaks` prints the rates; `docs/data-card.md` holds them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_gym.selection import Library, find_contamination, read_benchmarks
from sage_gym.selection.settings import Decontamination
from tests.leaks import CUT, KINDS, clean, flagged, plant
from tests.trajectories import make_task, make_trajectory

pytestmark = pytest.mark.slow
COUNT = 25
LOSSY = "one word in ten"


@pytest.fixture(scope="module")
def library(sage_gym_data: Path) -> Library:
    return Library(read_benchmarks(sage_gym_data / "data" / "benchmarks"))


def test_planted_leaks_of_every_benchmark_are_found(library: Library) -> None:
    rates = list(plant(library, COUNT))
    assert {rate.benchmark for rate in rates} == {shelf.source.name for shelf in library.shelves}
    assert {rate.kind for rate in rates} == set(KINDS)
    for rate in rates:
        is_part_inside = rate.place == "inside" and rate.kind in CUT
        least = 0.9 if rate.kind == LOSSY else 0.0 if is_part_inside else 1.0
        assert rate.found >= least, f"{rate.benchmark}, {rate.kind}, {rate.place}: missed {rate.missed[:3]}"
    inside = [rate for rate in rates if rate.place == "inside" and rate.kind == "first 13 words"]
    assert sum(len(rate.missed) for rate in inside) <= 0.05 * sum(rate.planted for rate in inside)


def test_less_than_one_in_a_hundred_clean_texts_is_taken_for_a_leak(library: Library) -> None:
    for name, examined, wrong in clean(library, 12 * COUNT):
        assert len(wrong) <= 0.01 * examined, f"{name}: {[match.passage.text for match in wrong]}"


def test_no_instruction_of_a_shop_is_taken_for_a_leak(library: Library, sage_gym_data: Path) -> None:
    import gzip
    import json

    golden = sage_gym_data / "golden" / "webshop" / "goals_synthetic_seed0.json.gz"
    goals = json.loads(gzip.decompress(golden.read_bytes()))
    texts = [goal["instruction_text"] for goal in goals][:2000]
    assert len(texts) == 2000
    assert flagged(texts, library) == {}


def test_a_leak_that_many_tasks_share_is_no_common_phrase(library: Library) -> None:
    leak = max(library.shelves[3].texts[:50], key=len)
    train = [make_trajectory(make_task(f"shop/{i}", instruction=f"{leak} {i}")) for i in range(30)]
    found = find_contamination(train, library, Decontamination())
    assert len(found.dropped) == 30
