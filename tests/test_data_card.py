"""The data card: sources of trained tokens, overlap with what is held out, over the rounds of a run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sage_gym import card as card_command
from sage_gym.config import TrainConfig
from sage_gym.distill.recounting import recount
from sage_gym.distill.stages import Material, StageResult, make_optimizer, take_stages
from sage_gym.errors import RecordError
from sage_gym.evaluation.card import CARD_FILE, DataCard, build_card, read_card, write_card
from sage_gym.evaluation.manifest import RoundManifest, read_rounds, round_path, write_manifest
from sage_gym.evaluation.report import write_report
from sage_gym.evaluation.sources import Composition, SourceCount, attempt_of, count_sources
from sage_gym.selection import HeldOut, Library, apply_critics, find_contamination, select
from sage_gym.selection.settings import Decontamination, SelectionSettings
from sage_gym.selection.verdicts import Overlap, Specimen
from sage_gym.types import Group, Origin
from tests.nano_toys import play, tiny_student
from tests.scripted_student import scripted_loop
from tests.test_export import a_run
from tests.test_report import HOSTILE, Page
from tests.trajectories import make_task, make_trajectory, make_turn

BENCHMARK = HeldOut("gsm8k", ["Natalia sold clips to 48 of her friends in April, and half as many clips in May."])
LEAK = "NATALIA sold clips to 48 of her friends in april -- and half as many clips in may"


# Sources


def test_tokens_are_counted_by_who_wrote_them_and_how_the_episode_came_about() -> None:
    own, expert = make_turn("a"), make_turn("b", origin=Origin.EXPERT)
    trajectories = {
        "first": make_trajectory("t/1", identifier="first", turns=(own, own)),
        "again": replace(make_trajectory("t/2", identifier="again", turns=(own,)), hints=("try the other door",)),
        "mended": make_trajectory("t/3", identifier="mended", turns=(own, expert), is_intervened=True),
        "chosen": make_trajectory("t/4", identifier="chosen", turns=(own,), is_intervened=True),
    }
    tokens = [
        ("first", {0: 3, 1: 2}),
        ("first", {1: 4}),
        ("again", {0: 5}),
        ("mended", {0: 1, 1: 7}),
        ("chosen", {0: 2}),
    ]
    counted = count_sources("distil", trajectories, tokens)
    assert {(c.attempt, c.author): (c.episodes, c.tokens) for c in counted} == {
        ("first", "policy"): (1, 9),
        ("second", "policy"): (1, 5),
        ("recovery", "policy"): (1, 1),
        ("recovery", "expert"): (1, 7),
        ("amplified", "policy"): (1, 2),
    }
    assert {(c.stage, c.environment, c.split, c.policy, c.round) for c in counted} == {
        ("distil", "shop", "train", "scripted", 0)
    }


def test_an_injected_turn_makes_a_recovery_of_an_episode() -> None:
    forced = make_turn("x", origin=Origin.INJECTED)
    assert attempt_of(make_trajectory(turns=(forced, make_turn()), is_intervened=True)) == "recovery"
    assert attempt_of(make_trajectory()) == "first"


@pytest.mark.parametrize("stages", [["distil"], ["reinforce"], ["distil", "reinforce"]])
def test_every_trained_token_has_a_source_and_no_other_has(stages: list[str]) -> None:
    student = tiny_student()
    found = [replace(t, reward=float(i % 2), success=bool(i % 2)) for i, t in enumerate(play(student, episodes=4))]
    found = [replace(t, task=found[i // 2].task) for i, t in enumerate(found)]
    groups = [Group(found[i].task, tuple(found[i : i + 2])) for i in (0, 2)]
    selection = select(groups, apply_critics(groups, []), SelectionSettings(), [])
    settings: dict[str, Any] = {"rounds": {"stages": stages}, "distil": {"epochs": 2}}
    config = TrainConfig.model_validate(settings)
    result = take_stages(
        student, Material(found, 0, selection=selection), config, make_optimizer(student, learning_rate=1e-4)
    )
    assert result.tokens_trained > 0
    assert sum(source.tokens for source in result.sources) == result.tokens_trained
    assert {source.stage for source in result.sources} == set(stages)
    if stages == ["distil"]:
        kept = {item.trajectory.id for item in selection.kept()}
        sampled = sum(
            sum(t.decision.ledger.mask) for one in found if one.id in kept for t in one.turns if t.decision.ledger
        )
        assert (sum(s.tokens for s in result.sources), sum(s.episodes for s in result.sources)) == (
            2 * sampled,
            len(kept),
        )
    assert StageResult.from_record(json.loads(json.dumps(result.to_record()))) == result


def test_a_checkpoint_of_an_earlier_version_names_no_sources() -> None:
    assert StageResult.from_record({"metrics": {"a": 1.0}, "tokens_trained": 3}) == StageResult({"a": 1.0}, 3)


# Overlap


def test_what_is_only_read_is_counted_apart_and_never_dropped() -> None:
    read = make_trajectory("shop/0", turns=(make_turn("click[a]", observation=f"the page says: {LEAK} [SEP] Buy"),))
    found = find_contamination([read], [BENCHMARK], Decontamination())
    [overlap] = found.overlaps
    assert (found.dropped, overlap.overlapping_tasks, overlap.episodes, overlap.context_episodes) == ({}, 0, 0, 1)
    assert [(case.part, case.kind, case.task) for case in overlap.worst] == [("observations", "whole", "shop/0")]
    named = find_contamination([read], [BENCHMARK], Decontamination(parts=("observations",)))
    assert list(named.dropped) == [read.id]


def test_an_environments_own_split_is_reported_with_its_shared_tasks_and_n_grams() -> None:
    text = "i want a red shoe in size nine with a soft sole and a lace for less than forty dollars"
    train = [
        make_trajectory(make_task("shop/0", instruction=text)),
        make_trajectory(make_task("shop/1", instruction="x")),
    ]
    own = HeldOut("shop test", [text.replace("red", "blue")], "shop", tasks=["hash of shop/1"])
    [overlap] = find_contamination(train, [own], Decontamination()).overlaps
    assert (overlap.overlapping_tasks, overlap.dropped, overlap.same_tasks) == (1, False, 1)
    assert overlap.sharing_tasks == {8: 1, 13: 1}
    assert overlap.worst[0].kind == "words"
    assert (overlap.worst[0].words, overlap.worst[0].share) == (19, pytest.approx(19 / 20))


def test_the_worst_cases_come_first_and_are_cut() -> None:
    long = "word " * 100
    train = [
        make_trajectory(make_task("shop/0", instruction=f"{long} Natalia sold clips to 48 of her friends {long}")),
        make_trajectory(make_task("shop/1", instruction=LEAK)),
        make_trajectory(make_task("shop/2", instruction=f"I say {LEAK} as well")),
    ]
    [overlap] = find_contamination(train, [BENCHMARK], Decontamination()).overlaps
    assert [(s.task, s.kind) for s in overlap.worst] == [("shop/1", "same"), ("shop/2", "whole"), ("shop/0", "run")]
    run = overlap.worst[2]
    assert "Natalia sold clips to 48 of her friends" in run.training
    assert run.training.startswith("…")
    assert max(len(run.training), len(run.held_out)) <= 241


# The card of a run


def composition(*sources: SourceCount, overlap: Overlap | None = None, **fields: Any) -> Composition:
    given = {"episodes": 8, "tasks": 4, "decontamination": "dropped", "parts": ("instruction",), **fields}
    return Composition(sources=sources, overlaps=(overlap,) if overlap else (), **given)


def source(tokens: int, *, number: int = 1, attempt: str = "first") -> SourceCount:
    return SourceCount(
        stage="distil", environment="shop", split="train", policy="p", round=number, attempt=attempt, author="policy",
        episodes=2, tokens=tokens,
    )  # fmt: skip


def an_overlap(**fields: Any) -> Overlap:
    given = {"source": "gsm8k", "held_out_texts": 9, "training_tasks": 4, "overlapping_tasks": 1, "dropped": True}
    return Overlap(**{**given, "episodes": 2, "dropped_episodes": 2, "sharing_tasks": {8: 1}, **fields})


def manifests(*compositions: Composition | None) -> list[RoundManifest]:
    return [
        RoundManifest(run="demo", round=number, stage="distil" if number else "start", policy="p", composition=one)
        for number, one in enumerate((None, *compositions))
    ]


def test_a_card_adds_up_the_rounds() -> None:
    rounds = manifests(
        composition(source(30), source(10, attempt="second"), overlap=an_overlap(), dropped=2),
        composition(source(60, number=2), overlap=an_overlap(overlapping_tasks=3, sharing_tasks={8: 2, 13: 1})),
    )
    card = build_card(rounds)
    assert (card.tokens, card.episodes, card.dropped_episodes, card.environments) == (100, 16, 2, ("shop",))
    assert {(s.name, s.tokens, s.share) for s in card.shares["round"]} == {("1", 40, 0.4), ("2", 60, 0.6)}
    assert {(s.name, s.tokens) for s in card.shares["attempt"]} == {("first", 90), ("second", 10)}
    [row] = card.held_out
    assert (row.tasks, row.overlapping_tasks, row.sharing_tasks) == (8, 4, {8: 3, 13: 1})
    assert (row.episodes, row.dropped_episodes, row.reported_episodes) == (4, 4, 0)
    assert [(r.round, r.tokens, r.dropped) for r in card.rounds] == [(1, 40, 2), (2, 60, 0)]
    assert card.notes == ()


def test_where_decontamination_is_off_what_overlaps_is_reported() -> None:
    card = build_card(manifests(composition(source(1), overlap=an_overlap(), decontamination="reported")))
    assert (card.held_out[0].dropped_episodes, card.held_out[0].reported_episodes) == (0, 2)


def test_the_worst_cases_of_all_rounds_are_shown_once_each() -> None:
    cases = [
        Specimen(kind="run", part="instruction", task="t", training="x", held_out=text, words=words, share=share)
        for text, words, share in (("a", 8, 0.2), ("b", 20, 1.0), ("a", 9, 0.5))
    ]
    card = build_card(manifests(*(composition(overlap=an_overlap(worst=(case,))) for case in cases)))
    assert [(case.held_out, case.words) for case in card.held_out[0].worst] == [("b", 20), ("a", 9)]


def test_tasks_of_a_held_out_split_that_were_trained_on_are_an_alarm() -> None:
    card = build_card(manifests(composition(source(1), overlap=an_overlap(same_tasks=1))))
    assert card.notes == ("1 tasks of gsm8k were trained on: results on it are worth nothing",)


def test_a_run_of_an_earlier_version_says_that_it_kept_no_account() -> None:
    card = build_card(manifests(None, composition(source(1))))
    assert "rounds 1 were trained by a version that kept no account" in card.notes[0]
    with pytest.raises(ValueError, match="at least one round"):
        build_card([])


def test_a_card_comes_back_as_it_was_written_and_damage_is_named(tmp_path: Path) -> None:
    assert (write_card(tmp_path), read_card(tmp_path)) == (None, None)
    for manifest in manifests(composition(source(3), overlap=an_overlap())):
        write_manifest(round_path(tmp_path, manifest.round), manifest)
    assert write_card(tmp_path) == tmp_path / CARD_FILE
    assert read_card(tmp_path) == build_card(read_rounds(tmp_path))
    (tmp_path / CARD_FILE).write_text('{"format": 7}')
    with pytest.raises(RecordError, match=r"data_card.json: expected a data card, got a problem at format"):
        read_card(tmp_path)


# Runs


def doors(folder: Path, *, stages: str = "reinforce", benchmark: str = "open door 3", **settings: Any) -> Any:
    held_out = [HeldOut("keys", [benchmark]), HeldOut("doors test", ["open door 5"], "doors", ["test 5", "train 6"])]
    sections = {"rounds": {"stages": [stages], "count": 2}, "rollout": {"tasks_per_round": 40}, **settings}
    return scripted_loop(folder, {0: 0.5, 1: 0.5, 2: 0.5}, settings=sections, held_out=held_out)


@pytest.mark.parametrize("stages", ["distil", "reinforce"])
def test_what_repeats_a_benchmark_trains_in_no_stage_and_is_counted(tmp_path: Path, stages: str) -> None:
    loop = doors(tmp_path, stages=stages)
    loop.run()
    for material in loop.materials:
        assert len(material.collected) == 78
        assert "open door 3" not in {t.task.instruction for t in material.collected}
        assert "open door 5" in {t.task.instruction for t in material.collected}
    card = read_card(loop.folder)
    assert card is not None
    assert (card.episodes, card.dropped_episodes) == (160, 4)
    rows = {row.source: row for row in card.held_out}
    assert (rows["keys"].overlapping_tasks, rows["keys"].dropped_episodes, rows["keys"].reported_episodes) == (2, 4, 0)
    assert (rows["doors test"].overlapping_tasks, rows["doors test"].reported_episodes) == (2, 4)
    assert rows["doors test"].same_tasks == 2
    assert [m.composition.dropped for m in read_rounds(loop.folder)[1:] if m.composition] == [2, 2]


def test_with_decontamination_off_everything_trains_and_the_card_says_so(tmp_path: Path) -> None:
    loop = doors(tmp_path, selection={"decontamination": None})
    loop.run()
    assert [len(material.collected) for material in loop.materials] == [80, 80]
    card = read_card(loop.folder)
    assert card is not None
    assert (card.dropped_episodes, card.held_out[0].dropped_episodes, card.held_out[0].reported_episodes) == (0, 0, 4)


def test_a_finished_run_that_is_started_again_gets_its_card_back(tmp_path: Path) -> None:
    loop = doors(tmp_path)
    loop.run()
    before = (loop.folder / CARD_FILE).read_bytes()
    (loop.folder / CARD_FILE).unlink()
    doors(tmp_path).run()
    assert (loop.folder / CARD_FILE).read_bytes() == before


def test_the_card_grows_with_the_rounds_and_holds_through_a_kill(tmp_path: Path) -> None:
    whole = doors(tmp_path / "whole")
    whole.run()
    cards: list[DataCard | None] = []

    class Watching:
        def log(self, metrics: Any, step: int) -> None:
            cards.append(read_card(broken.folder))
            if step == 2 and len(cards) == 3:
                raise KeyboardInterrupt

        def close(self) -> None:
            pass

    broken = doors(tmp_path / "broken")
    broken.tracker = Watching()
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert [card and len(card.rounds) for card in cards] == [None, 0, 1]
    doors(tmp_path / "broken").run()
    assert read_card(broken.folder) == read_card(whole.folder)


def test_a_card_is_made_anew_against_other_benchmarks(tmp_path: Path) -> None:
    loop = doors(tmp_path)
    loop.run()
    then = read_card(loop.folder)
    library = Library([HeldOut("keys", ["open door 3"]), HeldOut("locks", ["open door 7"])])
    card = recount(loop.folder, loop.config, read_rounds(loop.folder), library)
    rows = {row.source: row for row in card.held_out}
    assert (rows["keys"].dropped_episodes, rows["keys"].reported_episodes) == (4, 0)
    assert (rows["locks"].dropped_episodes, rows["locks"].reported_episodes) == (0, 4)  # it was not left out then
    assert then is not None
    assert (card.tokens, card.episodes, card.dropped_episodes) == (then.tokens, then.episodes, then.dropped_episodes)
    assert read_card(loop.folder) == card
    assert "made anew from the episodes" in card.notes


def test_a_run_of_an_earlier_version_gets_a_card_of_all_its_sampled_tokens(tmp_path: Path) -> None:
    loop = doors(tmp_path)
    loop.run()
    for manifest in read_rounds(loop.folder):
        old = manifest.model_copy(update={"composition": None})
        write_manifest(round_path(loop.folder, manifest.round), old)
    (loop.folder / CARD_FILE).unlink()
    card = recount(loop.folder, loop.config, read_rounds(loop.folder), loop.library)
    assert (card.basis, card.episodes) == ("collected", 160)
    assert "rounds 1, 2: which tokens had a weight is not on record" in card.notes[1]
    doors(tmp_path).run()  # which knows no better
    assert read_card(loop.folder) == card


def test_the_report_shows_the_card_and_nothing_in_it_acts(tmp_path: Path) -> None:
    loop = doors(tmp_path, benchmark=f"open door 3 {HOSTILE}")
    loop.run()
    case = Specimen(kind="run", part="instruction", task="t", training=HOSTILE, held_out=HOSTILE, words=8, share=0.5)
    manifest = read_rounds(loop.folder)[1]
    worse = composition(source(30), overlap=an_overlap(worst=(case,)))
    write_manifest(round_path(loop.folder, 1), manifest.model_copy(update={"composition": worse}))
    write_card(loop.folder)
    page = Page(write_report(loop.folder).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    words = page.words()
    assert "30 tokens with a weight in a loss" in words
    assert "gsm8k: the worst cases" in words
    assert '<script>alert(1)</script> \u241b[31mred⟨U+202E⟩ & "quoted"' in words


def test_a_report_without_a_card_says_how_to_make_one(tmp_path: Path) -> None:
    loop = doors(tmp_path)
    loop.run()
    (loop.folder / CARD_FILE).unlink()
    page = Page(write_report(loop.folder).read_text(encoding="utf-8"))
    assert "python -m sage_gym.card run= doors" in page.words().replace("run=doors", "run= doors")


def test_the_command_makes_a_card_against_other_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = a_run(tmp_path / "runs" / "demo", is_tested=False)
    (tmp_path / "mine").mkdir()
    text = "Find me red shoes, number 3, and take them to the old house by the river."
    (tmp_path / "mine" / "shoes.txt").write_text(text)
    assert card_command.main(["run=demo", "benchmarks=mine"]) == 0
    told = capsys.readouterr().err
    assert "demo: 24 trained tokens of 6 episodes" in told
    assert re.search(r"shoes.txt +6 +1 +0 +0 +0 +0 +1\n", told)
    card = read_card(run)
    assert card is not None
    assert [row.source for row in card.held_out] == ["shoes.txt", "webshop select", "webshop test"]
    assert "shoes.txt" in (run / "report.html").read_text()
    assert card_command.main(["run=demi"]) == 2
    assert "no run named 'demi'; did you mean 'demo'?" in capsys.readouterr().err
