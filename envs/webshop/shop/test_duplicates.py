"""Near-duplicates: the exact method against brute force, and the bound that the shops keep."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from envs.webshop.shop.__main__ import main
from envs.webshop.shop.catalog import draw_product, open_world
from envs.webshop.shop.duplicates import Gram, find_near_duplicates, grams, jaccard, prefix


@pytest.mark.parametrize(("world", "size"), [("embedded", 1000), ("nano", 400)])
def test_fewer_than_one_product_in_a_hundred_is_a_near_duplicate(world: str, size: int) -> None:
    near = find_near_duplicates(open_world(world, seed=0, size=size), size, rng=Random(0))
    assert near.probed == size
    assert near.rate < 0.01


def test_prefix_filtering_finds_what_brute_force_finds() -> None:
    size, threshold = 150, 0.25
    world = open_world("embedded", seed=1, size=size)
    members = [grams(draw_product(world, index)) for index in range(size)]
    alike = [pair for pair in combinations(range(size), 2) if jaccard(members[pair[0]], members[pair[1]]) >= threshold]
    expected = {index for pair in alike for index in pair}
    assert len(expected) > 5
    near = find_near_duplicates(world, size, rng=Random(0), threshold=threshold)
    assert near.found == len(expected)


GRAMS = st.frozensets(st.sampled_from([(letter, "", "") for letter in "abcdefghijkl"]), min_size=1)
SIMILAR = st.tuples(GRAMS, GRAMS, GRAMS).map(lambda drawn: (drawn[0] | drawn[1], drawn[0] | drawn[2]))


@given(pair=SIMILAR, threshold=st.sampled_from([0.25, 0.5, 0.6, 0.75, 0.8, 1.0]))
@settings(max_examples=100)
def test_two_similar_sets_share_a_member_of_their_prefixes(
    pair: tuple[frozenset[Gram], frozenset[Gram]], threshold: float
) -> None:
    left, right = pair
    assume(jaccard(left, right) >= threshold)
    frequency = Counter({("a", "", ""): 3, ("b", "", ""): 1})
    assert set(prefix(left, frequency, threshold)) & set(prefix(right, frequency, threshold))


def test_probes_are_compared_with_the_whole_shop() -> None:
    world = open_world("embedded", seed=1, size=120)
    rates = [find_near_duplicates(world, 120, rng=Random(seed), threshold=0.25, probes=40).rate for seed in range(4)]
    full = find_near_duplicates(world, 120, rng=Random(0), threshold=0.25).rate
    assert abs(sum(rates) / len(rates) - full) < 0.5 * full


def test_a_threshold_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold in \(0, 1\], got 1.5"):
        find_near_duplicates(open_world("nano", seed=0, size=10), 10, rng=Random(0), threshold=1.5)


def test_the_command_prints_departments_options_and_duplicates(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.mktemp("shop")
    main([str(folder), "--size", "120", "--seed", "2", "--world", "nano"])
    text = capsys.readouterr().out
    assert "120 products written" in text
    assert "values per group: median" in text
    assert "(0 of 120 products have another product" in text
    assert (folder / "items_shuffle_120.json").is_file()
