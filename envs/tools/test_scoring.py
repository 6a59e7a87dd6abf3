"""Side effects, effects and answers: what the final state is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from envs.tools.company import Change
from envs.tools.environment import Tools
from envs.tools.experts import Expert
from envs.tools.generator import make_puzzle
from envs.tools.scoring import carries, score


def solve(
    env: Tools, key: str, before_end: Callable[[Tools], object] = lambda env: None
) -> tuple[float, dict[str, Any]]:
    env.reset(options={"task": key})
    solver = Expert(env)
    while True:
        action = solver.action()
        if action.startswith(("answer[", "done[")):
            before_end(env)
            _, reward, ended, _, info = env.step(action)
            assert ended
            return reward, info
        env.step(action)


def first_task(is_right: Callable[[object], bool]) -> str:
    return next(puzzle.task.key for puzzle in (make_puzzle("train", i) for i in range(200)) if is_right(puzzle))


def clean() -> Tools:
    return Tools(faults=0.0)


STRAY = {
    "mail": "send_mail[{email}, hello, there]",
    "note": "write_note[stray, text]",
    "event": "cancel_event[e1]",
    "booking": "create_event[{email}, 2031-01-06, 09:00, 30, stray]",
    "key": "kv_set[stray, 1]",
    "deleted key": "kv_delete[limit.sales]",
    "record": "sql_execute[UPDATE offices SET distance_km = 1 WHERE distance_km > 0]",
    "new record": "sql_execute[INSERT INTO offices VALUES ('x', 1)]",
    "approval": "request_approval[stray, 5]",
    "decision": "decide_approval[a4, rejected]",
}


@pytest.mark.parametrize("what", STRAY)
def test_a_side_effect_halves_the_score(what: str) -> None:
    key = first_task(lambda puzzle: puzzle.plan.steps[0] == "fee" and puzzle.plan.shape == "chain")

    def stray(env: Tools) -> None:
        email = env.session.puzzle.world.people[1].email
        _, _, _, _, info = env.step(STRAY[what].format(email=email))
        assert not info["invalid_action"]
        assert not env.session.log[-1].is_error, env.session.log[-1]

    assert solve(clean(), key)[0] == 1.0
    reward, info = solve(clean(), key, stray)
    assert reward == 0.5
    assert not info["success"]
    assert info["reward_components"]["no_side_effects"] == 0.0
    assert info["side_effects"]


def test_what_was_undone_is_no_side_effect() -> None:
    key = first_task(lambda puzzle: puzzle.plan.steps[0] == "fee" and puzzle.plan.shape == "chain")

    def there_and_back(env: Tools) -> None:
        env.step("kv_set[stray, 1]")
        env.step("kv_delete[stray]")

    assert solve(clean(), key, there_and_back)[0] == 1.0


def test_an_effect_done_twice_is_a_side_effect() -> None:
    key = first_task(lambda puzzle: puzzle.plan.acts[-1].tool == "send_mail" and puzzle.plan.shape == "chain")

    def again(env: Tools) -> None:
        sent = env.session.company.sent[-1]
        env.step(f"send_mail[{sent.to}, {sent.subject}, {sent.body}]")

    assert solve(clean(), key, again)[0] == 0.5


def test_an_answer_counts_beside_the_effects() -> None:
    key = "tools/test_shapes/00000"
    index = next(i for i in range(200) if (p := make_puzzle("test_shapes", i)).answer and len(p.expected) == 1)
    key = f"tools/test_shapes/{index:05d}"
    env = clean()
    env.reset(options={"task": key})
    solver = Expert(env)
    while not (action := solver.action()).startswith("answer["):
        env.step(action)
    _, reward, _, _, info = env.step("answer[I do not know]")
    assert reward == 0.5
    assert info["reward_components"] == {"no_side_effects": 1.0, "effects": 1.0, "answer": 0.0}
    assert set(Tools.shortfalls) == set(info["reward_components"])


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("540.2", True),
        ("540.20 USD", True),
        ("It is 540.21.", True),
        ("$540.20", True),
        ("12 % of it are 540.2", True),
        ("540.9", False),
        ("540.2 or 540.9", False),
        ("", False),
        ("five hundred", False),
        ("x" * 200 + " 540.2", False),
    ],
)
def test_a_text_carries_a_value_or_not(text: str, is_right: bool) -> None:
    assert carries(text, "540.2", "12 % of the price") is is_right


@pytest.mark.parametrize(
    ("text", "is_right"), [("9:30", True), ("at 09:30", True), ("09:30 or 10:00", False), ("9", False)]
)
def test_a_text_carries_a_time_or_not(text: str, is_right: bool) -> None:
    assert carries(text, "09:30", "on 2026-01-05") is is_right


def test_numbers_are_read_with_thousands_separators() -> None:
    assert carries("1,540.20", "1540.2", "")


def test_score_by_hand() -> None:
    wanted = [Change("store", "a", None, {"value": "5"}), Change("event", "e1", {"title": "x"}, None)]
    other = Change("note", "n", None, {"title": "n", "text": "5"})
    assert score(wanted, wanted, None, None, "").value == 1.0
    assert score(wanted, wanted[:1], None, None, "").value == 0.5
    assert score(wanted, [*wanted, other], None, None, "").value == 0.5
    assert score(wanted, [], "7", "7", "").value == pytest.approx(1 / 3)
    assert score(wanted, [], "7", None, "").value == 0.0
    wrong_key = Change("store", "b", None, {"value": "5"})
    assert score(wanted[:1], [wrong_key], None, None, "").value == 0.0
