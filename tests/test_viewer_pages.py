"""What each page says; that hostile text is shown and does nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from rewards.critic import LearnedCritic
from sage_gym.evaluation.significance import compare, pair
from sage_gym.evaluation.viewer.introspection import Introspection, slug
from sage_gym.evaluation.viewer.pages import PAGES, Asked, Desk, PageError
from sage_gym.evaluation.viewer.query import to_link
from sage_gym.evaluation.viewer.rendering import render
from sage_gym.evaluation.viewer.tokens import find_tokenizer, prompt_tokens, sampled_tokens
from sage_gym.rollout.journal import read_trajectories
from sage_gym.types import Failure, StopReason
from tests.imports import ROOT
from tests.viewer_runs import HOSTILE, open_library, trajectory, turn, with_turns, write, write_points, write_run

VOID = frozenset({"meta", "link", "input", "br", "wbr", "img"})


class Read(HTMLParser):
    """A page's elements and words; fails where one is left open."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub("[ \n]+", " ", " ".join(self.text))

    def links(self, path: str) -> list[str]:
        return [v for name, v in self.attributes if name in ("href", "data-src") and v and v.startswith(f"{path}?")]


def show(desk: Desk, link: str) -> Read:
    address = urlsplit(link)
    page = PAGES[address.path](desk, Asked(address.path, parse_qsl(address.query, errors="surrogatepass")))
    return Read(render(page, desk.library.progress, 0))


def at(run: str, file: str, identifier: str) -> str:
    return f"{run}|{file}|{identifier}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "demo")
    write_run(folder / "rival", better=-3)
    return folder


@pytest.fixture(scope="module")
def desk(folder: Path) -> Iterator[Desk]:
    with open_library(folder) as library:
        yield Desk(library)


SELECT = at("demo", "rounds/001/select.jsonl", "r1/shop/009#0")


def follow(desk: Desk, *links: str, of_a_kind: int = 8) -> dict[str, Read]:
    """Show the pages that pages lead to, some of each kind."""
    waiting, shown = list(links), {}
    while waiting:
        link = waiting.pop(0)
        kind = urlsplit(link).path
        if link in shown or sum(urlsplit(one).path == kind for one in shown) >= of_a_kind:
            continue
        shown[link] = show(desk, link)
        waiting += [one.partition("#")[0] for path in PAGES for one in shown[link].links(path)]
    return shown


def test_every_page_that_pages_lead_to_can_be_shown(desk: Desk) -> None:
    assert {urlsplit(link).path for link in follow(desk, "/")} == set(PAGES)


def test_the_runs_are_there_with_their_numbers(desk: Desk) -> None:
    words = show(desk, "/").words
    assert "80 trajectories in 2 runs" in words
    assert "40 trajectories" in words


def test_a_runs_page_names_its_rounds_and_files(desk: Desk) -> None:
    page = show(desk, "/run?run=demo")
    assert "no manifest yet" in page.words
    assert "12 · 83.3 %" in page.words
    assert "beside rival" in page.words
    assert "env: {name: shop}" in page.words


def test_the_list_says_how_those_that_are_left_did(desk: Desk) -> None:
    page = show(desk, "/trajectories?run=demo&part=collect")
    assert "12 of 80 trajectories" in page.words
    assert "50.0 % succeeded · score 0.562 · 2.0 turns" in page.words
    assert len(page.links("/trajectory")) == 12


def test_a_trajectory_has_its_neighbours_in_the_list_that_it_was_opened_from(desk: Desk) -> None:
    listed = show(desk, "/trajectories?run=demo&part=collect&sort=-score").links("/trajectory")
    page = show(desk, listed[3])
    assert "4 of 12" in page.words
    assert listed[2] in page.links("/trajectory")
    assert listed[4] in page.links("/trajectory")
    assert "/trajectories?run=demo&part=collect&sort=-score" in page.links("/trajectories")
    assert "← previous" not in show(desk, listed[0]).words


def test_a_trajectory_is_shown_turn_by_turn_with_all_that_was_recorded(tmp_path: Path) -> None:
    played = with_turns(
        trajectory(1, reward=0.25, success=False, stop=StopReason.MAX_TURNS),
        turn("click[two]", before=0.5, p_fail=0.75, denial="deletes everything"),
        turn("search[tea]", before=0.6, p_fail=0.2, is_invalid=True),
    )
    played = replace(
        played,
        info={"reward_components": {"r_att": 0.125, "r_price": True}},
        hints=("try the other one",),
        failure=Failure("sandbox", "SandboxLostError", "the container is gone", 2),
    )
    write(tmp_path / "run/rounds/000/select.jsonl", [played])
    with open_library(tmp_path / "run") as library:
        page = show(Desk(library), to_link("/trajectory", [("at", at("run", "rounds/000/select.jsonl", played.id))]))
    for text in (
        "did not succeed",
        "score 0.250",
        "ended: max_turns",
        "p(fail) before 0.50",
        "at the decision 0.75",
        "critic −0.25",
        "critic +0.40",
        "rule −1.00",
        "The guard did not let this run: deletes everything",
        "invalid action",
        "look for it",
        "Weighed 2 alternatives",
        "0.905",
        "0.082",
        "try the other one",
        "r_att 0.125",
        "r_price yes",
        "sandbox: SandboxLostError: the container is gone (2 attempts)",
        "2 sampled after 3",
    ):
        assert text in page.words, text
    assert page.tags.count("article") == 3
    assert page.tags.count("circle") == 4
    score = LearnedCritic().score([played])[0]
    assert f"critic {score.value:.3f}" in page.words


def test_a_trajectory_without_forecasts_says_so(tmp_path: Path) -> None:
    played = with_turns(trajectory(1), turn(before=None, p_fail=None))
    write(tmp_path / "run/rounds/000/select.jsonl", [played])
    with open_library(tmp_path / "run") as library:
        page = show(Desk(library), to_link("/trajectory", [("at", at("run", "rounds/000/select.jsonl", played.id))]))
    assert "No forecast was recorded" in page.words
    assert "critic unscored turn 0: expected a forecast before and after the decision, got none" in page.words


def test_decision_points_are_marked_where_a_file_names_them(folder: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_points(run, slug("r1/shop/009#0"), points=[{"turn": 1, "weight": 0.61, "why": "it bought", "other": 1}])
    write_points(run, "any", trajectory="r0/shop/009#0", points=[{"turn": 0, "weight": 0.1}, {"turn": 7, "weight": 1}])
    write_points(run, "wrong", trajectory="r1/shop/008#0", points=[{"turn": "first"}])
    with open_library(run) as library:
        desk = Desk(library)
        page = show(desk, to_link("/trajectory", [("at", at("run", "rounds/001/select.jsonl", "r1/shop/009#0"))]))
        assert "Decision point , weight 0.61: it bought" in page.words
        assert "decision point, turn 2, weight 0.61: it bought" in page.words
        page = show(desk, to_link("/trajectory", [("at", at("run", "rounds/000/select.jsonl", "r0/shop/009#0"))]))
        assert "turn 7 is named as a decision point; there are 2" in page.words
        assert "weight 0.10" in page.words
        page = show(desk, to_link("/trajectory", [("at", at("run", "rounds/001/select.jsonl", "r1/shop/007#0"))]))
        assert "ecision point" not in page.words.partition("Keys")[0]


def test_decision_points_belong_to_one_file_where_two_share_an_id(tmp_path: Path) -> None:
    write_points(tmp_path, "a", id="r0/x#0", file="test/a.jsonl", points=[{"turn": 0}])
    write_points(tmp_path, "b", id="r0/x#0", file="test/b.jsonl", points=[{"turn": 1}])
    introspection = Introspection(tmp_path)
    assert [point.turn for point in introspection.points("r0/x#0", "test/b.jsonl", 3)[0]] == [1]
    write_points(tmp_path, "c", id="r0/x#0", points=[{"turn": 2}])
    assert [point.turn for point in introspection.points("r0/x#0", "test/b.jsonl", 3)[0]] == [1, 2]


def test_a_file_of_decision_points_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_points(tmp_path, slug("r0/x#0"), points=[{"turn": -1}])
    points, problems = Introspection(tmp_path).points("r0/x#0", "a.jsonl", 3)
    assert points == ()
    assert problems == ["r0-x-0.json: points.0.turn: Input should be greater than or equal to 0"]


def test_tokens_are_shown_with_what_was_masked(desk: Desk) -> None:
    page = show(desk, to_link("/ledger", [("at", SELECT), ("turn", "2")]))
    assert "No tokenizer lies with the run's checkpoints" in page.words
    assert "1 4 −0.100 0.905 2 trained" in re.sub(r" +", " ", page.words)
    assert "2 5 0.000 – 1 masked" in re.sub(r" +", " ", page.words)
    assert "Fed before: 3 tokens" in page.words


def test_tokens_have_their_text_where_the_run_has_a_tokenizer(tmp_path: Path) -> None:
    place = tmp_path / "rounds/000/checkpoint/student"
    place.mkdir(parents=True)
    assert find_tokenizer(tmp_path) is None
    (place / "tokenizer.json").write_text("{")
    assert find_tokenizer(tmp_path) is None
    (place / "tokenizer.json").write_bytes((ROOT / "policies/nano/weights/tokenizer.json").read_bytes())
    tokenizer = find_tokenizer(tmp_path)
    assert tokenizer is not None
    ids = tokenizer.encode("green tea").ids
    ledger = turn().decision.ledger
    assert ledger is not None
    ledger = replace(ledger, prompt_ids=tuple(ids))
    assert "".join(token.text for token in prompt_tokens(ledger, tokenizer)).strip() == "green tea"
    sampled = sampled_tokens(ledger, tokenizer)
    assert [token.level for token in sampled] == ["sure", "forced"]
    assert [token.allowed for token in sampled] == [2, 1]


def test_a_turn_that_is_not_there_is_refused(desk: Desk) -> None:
    for number in ("0", "3", "x", "²", "-1"):
        with pytest.raises(PageError, match="there are 2"):
            show(desk, to_link("/ledger", [("at", SELECT), ("turn", number)]))


@pytest.mark.parametrize(
    ("link", "status", "says"),
    [
        ("/run?run=nobody", 404, "there are demo, rival"),
        ("/trajectory?at=demo|rounds/001/select.jsonl|nothing", 404, "no trajectory 'nothing' in demo"),
        ("/trajectory?at=demo|../../secret|x", 404, "no trajectory"),
        ("/trajectory", 404, "no run on show is meant by ''"),
        ("/group?of=demo|rounds/001/select.jsonl&task=none", 404, "no trajectory of task 'none'"),
        ("/group?of=demo|rounds/009/select.jsonl&task=none", 404, "no file of trajectories"),
        ("/task?task=none", 404, "no trajectory of task 'none'"),
        ("/compare", 400, "expected two trajectories"),
        ("/paired", 400, "expected two runs"),
    ],
)
def test_what_is_not_there_is_said(desk: Desk, link: str, status: int, says: str) -> None:
    with pytest.raises(PageError) as caught:
        show(desk, link)
    assert caught.value.status == status
    assert says in caught.value.message


def test_a_group_shows_its_attempts_side_by_side(desk: Desk) -> None:
    page = show(desk, "/group?of=demo|rounds/001/collect.jsonl&task=shop/101")
    assert "4 trajectories · 50.0 % succeeded" in page.words
    assert page.words.count("click[buy]") == 4
    assert page.tags.count("circle") == 8


def test_a_task_is_found_in_all_rounds_and_runs(desk: Desk) -> None:
    page = show(desk, "/task?task=shop/003")
    assert len(page.links("/trajectory")) == 4
    assert len(page.links("/group")) == 4


def test_two_rounds_of_a_task_stand_side_by_side(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = with_turns(trajectory(1, success=False), turn("click[a]"), turn("click[b]"))
    later = with_turns(trajectory(1, round=1), turn("click[a]"), turn("click[c]"), turn("click[d]"))
    write(run / "rounds/000/select.jsonl", [first])
    write(run / "rounds/001/select.jsonl", [later])
    places = [("at", at("run", f"rounds/00{n}/select.jsonl", one.id)) for n, one in enumerate((first, later))]
    with open_library(run) as library:
        desk = Desk(library)
        page = show(desk, to_link("/compare", places))
        alone = show(desk, to_link("/compare", places[:1]))
    assert "The same actions for 1 turn; they part at turn 2." in page.words
    assert "ended before this turn" in page.words
    assert page.tags.count("circle") == 5
    assert alone.words == page.words, "the other round is what a trajectory is held against by itself"


def test_a_trajectory_is_held_against_its_own_attempt_in_another_round(tmp_path: Path) -> None:
    for round in range(3):
        attempts = [trajectory(1, round=round, attempt=attempt) for attempt in range(3)]
        write(tmp_path / f"run/rounds/00{round}/collect.jsonl", attempts)
        write(tmp_path / f"run/rounds/00{round}/select.jsonl", [trajectory(1, round=round, split="select")])
    with open_library(tmp_path / "run") as library:
        place = at("run", "rounds/000/collect.jsonl", "r0/shop/001#1")
        page = show(Desk(library), to_link("/compare", [("at", place)]))
    assert "run · round 2 · collect · attempt 1" in page.words


def test_a_task_that_was_played_once_has_nothing_beside_it(desk: Desk, tmp_path: Path) -> None:
    write(tmp_path / "run/rounds/000/select.jsonl", [trajectory(1)])
    with open_library(tmp_path / "run") as library, pytest.raises(PageError, match="played once"):
        show(Desk(library), to_link("/compare", [("at", at("run", "rounds/000/select.jsonl", "r0/shop/001#0"))]))


def test_two_sets_are_tested_in_pairs_as_the_report_tests_them(desk: Desk, folder: Path) -> None:
    link = "/paired?of=demo|rounds/000/select.jsonl&of=demo|rounds/001/select.jsonl"
    page = show(desk, link)
    a, b = (
        [one for chunk in read_trajectories(folder / f"demo/rounds/00{n}/select.jsonl") for one in chunk]
        for n in (0, 1)
    )
    test = compare("A", "B", pair(a, b))
    difference = test.success_difference
    assert (
        f"+{100 * difference.value:.1f} [{100 * difference.low:.1f}, {100 * difference.high:.1f}] points" in page.words
    )
    assert f"{test.gained} gained, {test.lost} lost" in page.words
    assert f"p = {test.mcnemar_p:.2f}" in page.words
    assert len(page.links("/compare")) == 12
    assert len(show(desk, f"{link}&kind=gained").links("/compare")) == test.gained == 4


def test_two_runs_are_held_by_what_both_played_last(desk: Desk) -> None:
    page = show(desk, "/paired?run=demo&run=rival")
    assert "demo · round 1 · test free" in page.words
    assert "rival · round 1 · test free" in page.words


def test_groups_are_paired_by_their_means_and_get_no_mcnemar_test(desk: Desk) -> None:
    page = show(desk, "/paired?of=demo|rounds/001/collect.jsonl&of=rival|rounds/001/collect.jsonl")
    assert "means over attempts" in page.words
    assert "McNemar, exact" not in page.words
    assert "no McNemar test" in page.words


def test_tasks_that_infrastructure_took_from_either_set_are_left_out(tmp_path: Path) -> None:
    lost = trajectory(1, stop=StopReason.INFRASTRUCTURE, success=False)
    write(tmp_path / "run/rounds/000/select.jsonl", [trajectory(0), trajectory(1), trajectory(2, success=False)])
    write(tmp_path / "run/rounds/001/select.jsonl", [trajectory(0), lost, trajectory(2)])
    with open_library(tmp_path / "run") as library:
        page = show(Desk(library), "/paired?run=run&run=run")
    assert len(page.links("/compare")) == 2
    assert "1 gained, 0 lost" in page.words
    assert "ended by infrastructure, or of another content): 1 of A, 0 of B." in page.words


def test_sets_without_a_task_in_common_say_so(desk: Desk) -> None:
    page = show(desk, "/paired?of=demo|rounds/001/collect.jsonl&of=demo|rounds/001/select.jsonl")
    assert "no task in common" in page.words


def test_a_task_of_another_content_is_no_pair(tmp_path: Path) -> None:
    one = trajectory(1)
    write(tmp_path / "run/rounds/000/select.jsonl", [one, trajectory(2)])
    other = replace(one, task=replace(one.task, hash="another"))
    write(tmp_path / "run/rounds/001/select.jsonl", [other, trajectory(2)])
    with open_library(tmp_path / "run") as library:
        page = show(Desk(library), "/paired?run=run&run=run")
    assert "or of another content): 1 of A, 1 of B." in page.words
    assert len(page.links("/compare")) == 1


def test_damage_is_named_on_the_runs_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = run / "rounds/001/select.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b'{"id": "<script>"}\n'
    path.write_bytes(b"".join(lines))
    with open_library(run) as library:
        desk = Desk(library)
        page = show(desk, "/run?run=run")
        assert "1 damaged line. Skipped: 1." in page.words
        assert "rounds/001/select.jsonl , line 3: expected a trajectory" in page.words
        assert "1 damaged line skipped" in show(desk, "/").words
        assert len(library.index) == 12 + 11 + 12 + 4


def test_manifests_that_are_there_are_shown_and_damaged_ones_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    success = {"value": 0.8125, "low": 0.7, "high": 0.9, "level": 0.95, "n": 12, "method": "Wilson"}
    manifest = {"run": "run", "round": 1, "stage": "distil", "policy": HOSTILE, "tokens_trained": 1234, "new": [1]}
    manifest |= {"select": {"episodes": 12, "success": success}, "promotion": {"promoted": False, "reason": "worse"}}
    (run / "rounds/001/manifest.json").write_text(json.dumps(manifest))
    (run / "rounds/000/manifest.json").write_text("{")
    with open_library(run) as library:
        page = show(Desk(library), "/run?run=run")
    assert "81.2 % [70.0, 90.0]" in page.words
    assert "1\u202f234" in page.words
    assert "manifest.json of 000 cannot be read" in page.words
    assert "script" not in [tag for tag in page.tags if tag == "script"][1:]


def hostile_run(folder: Path) -> Path:
    """Everything that a policy, an environment or a critic can write holds what would act on a page."""
    run = write_run(folder / "run<script>alert(1)<", text=HOSTILE)
    odd = turn(HOSTILE, denial=HOSTILE, text=HOSTILE)
    odd = replace(
        odd,
        decision=replace(odd.decision, plan=HOSTILE, notes={HOSTILE: HOSTILE}),
        info={HOSTILE: HOSTILE, "denial": HOSTILE},
    )
    bad = replace(
        with_turns(trajectory(900, text=HOSTILE, environment=HOSTILE, split=HOSTILE), odd, odd),
        policy=HOSTILE,
        hints=(HOSTILE,),
        failure=Failure(HOSTILE, HOSTILE, HOSTILE),
        info={"reward_components": {HOSTILE: HOSTILE}, HOSTILE: [HOSTILE]},
    )
    bad = replace(bad, task=replace(bad.task, key=f"shop/{HOSTILE}", family=HOSTILE), id=f"r0/{HOSTILE}#0")
    write(run / "rounds/000/collect.jsonl", [bad, replace(bad, id=f"r0/{HOSTILE}#1", attempt=1)])
    (run / "config.yaml").write_text(HOSTILE)
    write_points(run, "odd", trajectory=bad.id, points=[{"turn": 0, "weight": 1, "why": HOSTILE}])
    return run


def harmless(page: Read) -> None:
    assert page.tags.count("script") == 1
    assert page.tags.count("img") == 0
    assert [name for name, _ in page.attributes if name.startswith("on") or name in ("style", "srcdoc")] == []
    assert [
        value for name, value in page.attributes if name in ("href", "src") and not re.match("[/#]", value or "")
    ] == []
    everything = "".join(page.text) + "".join(value or "" for _, value in page.attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", everything)


def test_hostile_text_is_shown_everywhere_and_does_nothing(tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    with open_library(run) as library:
        desk = Desk(library)
        shown = follow(desk, "/", "/trajectories?sort=-task")
        assert {urlsplit(link).path for link in shown} == set(PAGES)
        for page in shown.values():
            harmless(page)
        bad = to_link(
            "/trajectory", [("at", at(next(iter(library.runs)), "rounds/000/collect.jsonl", f"r0/{HOSTILE}#0"))]
        )
        page = show(desk, bad)
        assert "<script>window.broken = 1</script>" in page.words
        assert "␛[31mred" in page.words
        assert "⟨U+202E⟩txt.exe" in page.words
        assert "{{ 7 * 7 }}" in page.words


def test_a_lone_surrogate_breaks_no_page_and_no_link(tmp_path: Path) -> None:
    odd = trajectory(1, text="half \ud800 pair")
    odd = replace(odd, id="r0/\udc80#0", task=replace(odd.task, key="shop/\udc80"))
    write(tmp_path / "run/rounds/000/select.jsonl", [odd])
    with open_library(tmp_path / "run") as library:
        desk = Desk(library)
        (link,) = show(desk, "/trajectories").links("/trajectory")
        assert "half ⟨U+D800⟩ pair" in show(desk, link).words
