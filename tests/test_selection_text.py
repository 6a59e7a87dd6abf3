"""Overlap with held-out text, and near-duplicates found without comparing all pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.selection import HeldOut, SelectionSettings, find_contamination, select
from sage_gym.selection.settings import Decontamination
from sage_gym.selection.similarity import NearIndex, jaccard, shingles
from tests.trajectories import make_group, make_task, make_trajectory

RULE = Decontamination(n=4, common_share=0.01)


def trajectories(*instructions, environment="shop"):
    return [
        make_trajectory(make_task(f"{environment}/{i}", instruction=text, environment=environment))
        for i, text in enumerate(instructions)
    ]


def test_benchmark_overlap_is_dropped_with_the_shared_words():
    train = trajectories("How many clips did Natalia sell in May?", "buy a red shoe in size nine please")
    found = find_contamination(train, [HeldOut("gsm8k", ["so how many CLIPS did anyone sell"])], RULE)
    assert found.dropped == {"shop/0#0": "gsm8k: shares 'how many clips did'"}
    assert (found.overlaps[0].overlapping_tasks, found.overlaps[0].dropped) == (1, True)


def test_overlap_within_an_environment_is_reported_and_not_dropped():
    train = trajectories("i want a red shoe in size nine")
    found = find_contamination(train, [HeldOut("shop test", ["i want a red shoe in blue"], "shop")], RULE)
    assert not found.dropped
    assert (found.overlaps[0].overlapping_tasks, found.overlaps[0].dropped) == (1, False)
    assert found.overlaps[0].share == 1.0


def test_another_environments_held_out_text_is_dropped():
    train = trajectories("i want a red shoe in size nine")
    found = find_contamination(train, [HeldOut("mall test", ["i want a red shoe in blue"], "mall")], RULE)
    assert list(found.dropped) == ["shop/0#0"]


def test_ngrams_common_among_training_tasks_are_ignored():
    train = trajectories(*(f"please find me another product number {i} of kind {i * 7}" for i in range(200)))
    source = HeldOut("benchmark", ["please find me another horse", "product number 3 of all"])
    found = find_contamination(train, [source], RULE)
    # "please find me another" is in all 200; "product number 3 of" in one
    assert list(found.dropped) == ["shop/3#0"]
    everything = find_contamination(train, [source], RULE.model_copy(update={"common_share": 1.0}))
    assert len(everything.dropped) == 200


def test_a_copied_instruction_shorter_than_n_words_is_found():
    found = find_contamination(trajectories("Prove Fermat theorem"), [HeldOut("m", ["prove fermat theorem!"])], RULE)
    assert found.dropped["shop/0#0"] == "m: instruction is the same as 'prove fermat theorem!'"


def test_what_the_policy_wrote_counts_as_training_text():
    wrote = make_trajectory("shop/0", actions=["search[natalia sold clips to her friends]"])
    found = find_contamination([wrote], [HeldOut("gsm8k", ["Natalia sold clips to 48 of them"])], RULE)
    assert list(found.dropped) == ["shop/0#0"]
    narrow = RULE.model_copy(update={"parts": ("instruction",)})
    assert not find_contamination([wrote], [HeldOut("gsm8k", ["Natalia sold clips to 48 of them"])], narrow).dropped


def test_selection_shows_what_decontamination_dropped():
    train = trajectories("how many clips did Natalia sell in all of May and June")
    source = HeldOut("gsm8k", ["how many clips did natalia sell in all of april"])
    selection = select([make_group(t) for t in train], {}, SelectionSettings(), [source])
    assert selection.verdicts[0].reasons[0].rule == "decontamination"
    assert [row.dropped for row in selection.rows if row.rule == "decontamination"] == [1]
    assert selection.record().overlaps[0].source == "gsm8k"


def test_jaccard_by_hand():
    assert shingles("a b c d", 3) == {"a b c", "b c d"}
    assert jaccard(shingles("a b c d", 3), shingles("b c d e", 3)) == pytest.approx(1 / 3)
    assert shingles("One, two", 3) == {"one two"}


texts = st.lists(st.sampled_from("abcde"), min_size=1, max_size=8).map(" ".join)


@given(st.lists(texts, max_size=12), texts, st.sampled_from([0.3, 0.5, 0.6, 0.8, 1.0]))
def test_the_index_finds_exactly_what_comparing_all_pairs_finds(members, query, threshold):
    index = NearIndex(threshold)
    sets = [shingles(member, 1) for member in members]
    for key, members_of in enumerate(sets):
        index.add(str(key), members_of)
    target = shingles(query, 1)
    expected = [str(key) for key, candidate in enumerate(sets) if jaccard(candidate, target) >= threshold]
    assert [key for key, _ in index.near(target)] == expected
