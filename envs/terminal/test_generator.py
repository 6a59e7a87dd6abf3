"""The generator: alike in every process, split by wording, names and kind."""

from __future__ import annotations

import re

import pytest

from envs.terminal.demonstration_wordings import DEMONSTRATIONS
from envs.terminal.drafts import NOUNS
from envs.terminal.synthetic import KINDS, SPLITS, kinds_of, synthetic
from envs.terminal.wordings import SEEN, UNSEEN


def test_there_are_kinds_enough_and_some_are_held_out() -> None:
    groups = {split: {kind.name for kind in kinds_of(split)} for split in SPLITS}
    assert len(KINDS) == len({kind.name for kind in KINDS}) == 24
    assert len(groups["train"]) == 15
    assert groups["train"] == groups["select"] == groups["test"] == groups["demonstrations"]
    assert len(groups["select_kinds"]) == 4
    assert len(groups["test_kinds"]) == 5
    assert sum(map(len, (groups["train"], groups["select_kinds"], groups["test_kinds"]))) == len(KINDS)


def test_splits_share_no_wording_and_no_name() -> None:
    wordings = [text for split in SEEN.values() for texts in split.values() for text in texts]
    wordings += [text for held in (UNSEEN, DEMONSTRATIONS) for texts in held.values() for text in texts]
    assert len(set(wordings)) == len(wordings)
    assert set(SEEN) == set(DEMONSTRATIONS) == {kind.name for kind in kinds_of("train")}
    assert set(UNSEEN) == {kind.name for kind in KINDS} - set(SEEN)
    assert all(len(split["train"]) >= 3 and split["select"] and split["test"] for split in SEEN.values())
    assert all(len(texts) >= 3 for texts in UNSEEN.values())
    nouns = [noun for group in NOUNS.values() for noun in group]
    assert len(set(nouns)) == len(nouns)


@pytest.mark.parametrize("split", SPLITS)
def test_a_task_uses_only_the_names_of_its_split(split: str) -> None:
    foreign = {noun for group, nouns in NOUNS.items() if group != split.removesuffix("_kinds") for noun in nouns}
    for at in range(len(kinds_of(split)) * 4):
        problem = synthetic(split, 100, 5).problem(at)
        written = " ".join([problem.instruction, *problem.solution, *(file.path for file in problem.files)])
        assert not foreign & set(re.findall(r"[a-z]+", written)), problem.key


@pytest.mark.parametrize("split", SPLITS)
def test_wordings_are_filled_in_whole(split: str) -> None:
    for at in range(len(kinds_of(split)) * 6):
        assert not set("{}") & set(synthetic(split, 1_000, 0).problem(at).instruction)


def test_no_problem_is_solved_by_what_it_starts_with() -> None:
    for split in SPLITS:
        for at in range(200):
            problem = synthetic(split, 200, 1).problem(at)
            goal, files = problem.goal, {file.path: file for file in problem.files}
            assert goal.answer or goal.paths or goal.archive or goal.script or goal.stopped
            if goal.paths:
                assert any(
                    entry.path in files
                    if entry.kind == "absent"
                    else entry.path not in files
                    or files[entry.path].content != entry.content
                    or entry.mode not in (None, files[entry.path].mode)
                    for entry in goal.paths
                ), problem.key
