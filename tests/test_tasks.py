"""Lists of tasks that are made when asked for, and the keys that they are asked for by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.arguments import (
    check_arguments,
    expect_one_of,
    expect_positive,
    expect_render_mode,
    expect_share,
    expect_size,
)
from sage_gym.errors import ConfigError, TaskKeyError, UnknownNameError
from sage_gym.tasks import KeyRange, Library, Source, TaskList
from sage_gym.types import Task


def task_of(number: int) -> Task:
    return Task(f"mine/{number:05d}", f"count to {number}", "train", number, str(number), "mine")


def numbers(stem: str, count: int, first: int = 0) -> Source[int]:
    return Source(KeyRange(stem, count, first), lambda at: first + at)


SOURCES = {"train": numbers("mine", 3), "test": numbers("mine", 2, 10), "none": numbers("mine/none", 0)}


def library(sources: Mapping[str, Source[int]] = SOURCES, advice: str = "") -> Library[int]:
    return Library(sources, task_of, advice)


# Keys


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.data())
def test_a_key_is_found_where_it_was_given(first: int, count: int, data: st.DataObject) -> None:
    keys = KeyRange("a/b", count, first)
    at = data.draw(st.integers(0, count - 1))
    assert keys.find(keys.key(at)) == at


@pytest.mark.parametrize(
    "key",
    [
        *("a/00004", "a/00008", "a/5", "a/000005", "a/0000\N{FULLWIDTH DIGIT FIVE}", "a/-0005", "a/00005 "),
        *("b/00005", "a//00005", "a", "", "a/" + "9" * 5_000),
    ],
)
def test_what_is_spelled_otherwise_or_out_of_range_is_no_key(key: str) -> None:
    keys = KeyRange("a", 3, first=5)
    assert [keys.key(at) for at in range(3)] == ["a/00005", "a/00006", "a/00007"]
    assert keys.find(key) is None


def test_numbers_of_more_than_five_digits_are_keys_too() -> None:
    assert KeyRange("a", 2_000_000).find("a/1234567") == 1_234_567


# Lists


def test_a_list_makes_only_what_is_asked_for() -> None:
    made = list[int]()

    def make(at: int) -> Task:
        made.append(at)
        return task_of(at)

    tasks = TaskList(100_000, make)
    assert (tasks[7].seed, tasks[-1].seed) == (7, 99_999)
    assert [task.seed for task in tasks[2:9:3]] == [2, 5, 8]
    assert [task.seed for task in tasks[-2:]] == [99_998, 99_999]
    assert made == [7, 99_999, 2, 5, 8, 99_998, 99_999]
    assert [task.seed for task in TaskList(3, make)] == [0, 1, 2]


@pytest.mark.parametrize("at", [3, -4])
def test_a_task_beyond_the_list_is_an_error_with_their_number(at: int) -> None:
    with pytest.raises(IndexError, match=f"expected a task below 3, got {at}"):
        TaskList(3, task_of)[at]


# Libraries


def test_a_library_lists_finds_and_draws() -> None:
    held = library()
    assert held.splits == ("train", "test", "none")
    assert [task.key for task in held.tasks("test")] == ["mine/00010", "mine/00011"]
    assert (held.problem("mine/00002"), held.problem("mine/00011")) == (2, 11)
    generator = np.random.default_rng(0)
    assert held.choose(task_of(11), "train", generator) == held.choose("mine/00011", "train", generator) == 11
    assert {held.choose(None, "test", generator) for _ in range(20)} == {10, 11}


def test_a_key_that_is_not_there_is_told_those_that_are_and_what_to_do() -> None:
    said = "no task 'mine/00005'; there are train: mine/00000 to mine/00002; test: mine/00010 to mine/00011; ask her"
    with pytest.raises(TaskKeyError, match=f"^{said}$"):
        library(advice="ask her").problem("mine/00005")


def test_a_split_that_is_not_there_is_told_the_nearest() -> None:
    for look in (library().check_split, library().source, library().tasks):
        with pytest.raises(UnknownNameError, match="did you mean 'train'"):
            look("trian")


class Late(Mapping[str, Source[int]]):
    """Sources that remember what was looked up."""

    def __init__(self) -> None:
        self.read = list[str]()

    def __getitem__(self, split: str) -> Source[int]:
        self.read.append(split)
        return Source(KeyRange(f"mine/{split}", 2), lambda at: at)

    def __contains__(self, split: object) -> bool:
        return split in ("one", "two")

    def __iter__(self) -> Iterator[str]:
        return iter(("one", "two"))

    def __len__(self) -> int:
        return 2


def test_sources_that_need_not_be_read_are_not() -> None:
    late = Late()
    held = library(late)
    held.check_split("two")
    assert late.read == []
    held.problem("mine/one/00001")
    assert late.read == ["one"]
    held.tasks("two")
    assert late.read == ["one", "two"]


# Arguments


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        check_arguments(
            expect_one_of("sandbox", "dokcer", ("docker", "stub")),
            expect_one_of("sandbox", "stub", ("docker", "stub")),
            expect_positive("max_turns", 0, is_optional=True),
            expect_positive("max_turns", None, is_optional=True),
            expect_positive("timeout_s", None),
            expect_positive("timeout_s", 0.5),
            expect_share("faults", 1.5),
            expect_share("faults", 1.0),
            expect_size(11, 10),
            expect_size(10, 10),
            expect_size(None, 10, is_optional=True),
            expect_render_mode("rgb"),
            expect_render_mode("human"),
            expect_render_mode(None),
        )
    assert caught.value.problems == (
        "sandbox: expected one of docker, stub, got 'dokcer'; did you mean 'docker'?",
        "max_turns: expected a positive number or None, got 0",
        "timeout_s: expected a positive number, got None",
        "faults: expected a share in [0, 1], got 1.5",
        "size: the generator can give 1 to 10 tasks a split, got 11",
        "render_mode: expected ansi, human or None, got 'rgb'",
    )
    check_arguments("", "")
