"""Lists: what filters leave, how they are sorted, and the link that says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.evaluation.viewer.index import Index
from sage_gym.evaluation.viewer.query import FACETS, PAGE_ROWS, SORTS, Query, Searches, read_query, to_link
from sage_gym.types import StopReason
from tests.viewer_runs import open_library, trajectory, turn, with_turns, write, write_run


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "demo")
    odd = [
        with_turns(trajectory(500, success=False, reward=0.3, text="A Walnut stand"), turn(before=None, p_fail=None)),
        with_turns(trajectory(501, environment="tools"), turn(p_fail=0.9, is_invalid=True)),
        with_turns(trajectory(502, success=False), turn(p_fail=0.1, denial="never")),
        trajectory(503, stop=StopReason.INFRASTRUCTURE, success=False),
    ]
    write(folder / "other/rounds/004/collect.jsonl", odd)
    with open_library(folder) as library:
        yield library.index


def found(index: Index, words: str) -> list[str]:
    query, problems = read_query(parse_qsl(words))
    assert problems == []
    return [index.words["task"][int(row)] for row in Searches().run(index, query).rows]


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        ("run=other", ["shop/500", "shop/501", "shop/502", "shop/503"]),
        ("run=other&outcome=did+not+succeed", ["shop/500", "shop/502"]),
        ("outcome=infrastructure", ["shop/503"]),
        ("run=other&outcome=succeeded&outcome=infrastructure", ["shop/501", "shop/503"]),
        ("environment=tools", ["shop/501"]),
        ("text=WALNUT", ["shop/500"]),
        ("text=hop%2F501", ["shop/501"]),
        ("task=shop/502", ["shop/502"]),
        ("task=shop/50", []),
        ("flag=denied", ["shop/502"]),
        ("flag=invalid", ["shop/501"]),
        ("flag=invalid&flag=denied", []),
        ("round_min=2", ["shop/500", "shop/501", "shop/502", "shop/503"]),
        ("run=other&score_min=0.2&score_max=0.5", ["shop/500"]),
        ("run=other&forecast_max=0.5", ["shop/502", "shop/503"]),
        ("run=other&forecast_min=0", ["shop/501", "shop/502", "shop/503"]),
        ("split=test&part=test+free", ["shop/200", "shop/201", "shop/202", "shop/203"]),
        ("stop=infrastructure&run=demo", []),
        ("run=nobody", []),
    ],
)
def test_filters_leave_what_they_say(index: Index, words: str, tasks: list[str]) -> None:
    assert found(index, words) == tasks


def test_what_has_no_forecast_comes_last_either_way(index: Index) -> None:
    assert found(index, "run=other&sort=forecast") == ["shop/502", "shop/503", "shop/501", "shop/500"]
    assert found(index, "run=other&sort=-forecast") == ["shop/501", "shop/503", "shop/502", "shop/500"]


def test_the_most_surprising_are_those_whose_forecast_was_furthest_off(index: Index) -> None:
    # 501 succeeded at 0.9, 502 failed at 0.1; 500 has no forecast, and 503 was no failure of the policy's
    assert found(index, "run=other&sort=-surprise") == ["shop/501", "shop/502", "shop/500", "shop/503"]


def test_words_are_sorted_by_the_alphabet(index: Index) -> None:
    tasks = found(index, "sort=-task")
    assert tasks == sorted(tasks, reverse=True)


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_keeps_every_row(index: Index, sort: str) -> None:
    assert sorted(found(index, f"sort={sort}")) == sorted(found(index, ""))


@pytest.mark.parametrize("facet", FACETS)
def test_a_facets_counts_are_what_choosing_the_value_would_leave(index: Index, facet: str) -> None:
    query, _ = read_query(parse_qsl("outcome=succeeded&run=demo&score_min=0.1"))
    counts = Searches().run(index, query).counts[facet]
    for value, count in counts.items():
        alone = query.model_copy(update={facet: (value,)})
        assert len(Searches().run(index, alone).rows) == count, value


def test_a_page_beyond_the_last_is_the_last(index: Index) -> None:
    result = Searches().run(index, Query())
    assert list(result.page(99)) == list(result.rows[-(len(index) % PAGE_ROWS) :])


def test_a_search_is_made_once_until_the_index_is_another(index: Index) -> None:
    searches = Searches(kept=2)
    first = searches.run(index, Query(text="kettle"))
    assert searches.run(index, Query(text="kettle", page=3)) is first
    searches.run(index, Query(text="a"))
    searches.run(index, Query(text="b"))
    assert searches.run(index, Query(text="kettle")) is not first


queries = st.builds(
    Query,
    run=st.lists(st.text(min_size=1).filter(str.strip), max_size=2).map(tuple),
    outcome=st.lists(st.sampled_from(["succeeded", "infrastructure"]), unique=True).map(tuple),
    flag=st.lists(st.sampled_from(["invalid", "denied"]), unique=True).map(tuple),
    score_min=st.none() | st.floats(-2, 2),
    round_max=st.none() | st.integers(0, 99),
    text=st.text().filter(lambda text: text == "" or text.strip()),
    sort=st.sampled_from(["", "score", "-task"]),
    page=st.integers(1, 9),
)


@given(queries)
def test_a_link_says_all_of_a_query(query: Query) -> None:
    link = to_link("/trajectories", query.pairs())
    assert link.isascii()
    pairs = parse_qsl(urlsplit(link).query, errors="surrogatepass")
    assert read_query(pairs) == (query, [])


def test_what_a_link_gets_wrong_is_named_all_at_once_and_the_rest_holds() -> None:
    query, problems = read_query(parse_qsl("score_min=much&sort=beauty&page=0&text=tea&flag=odd&unknown=1&round_min="))
    assert query == Query(text="tea")
    assert len(problems) == 4
    assert any(problem.startswith("sort=beauty: expected one of run, round, part") for problem in problems)
    assert any(problem.startswith("score_min=much: ") for problem in problems)


def test_not_a_number_is_no_bound() -> None:
    assert read_query([("score_min", "nan")])[1] != []


def test_the_round_of_a_test_is_that_of_its_student(index: Index, tmp_path: Path) -> None:
    rows = [row for row in range(len(index)) if index.words["part"][row] == "test free"]
    assert {int(index.numbers["round"][row]) for row in rows} == {1}
