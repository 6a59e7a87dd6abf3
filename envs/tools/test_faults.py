"""Faults: what they do, that they do it at their rate, and what counts as recovery."""

from __future__ import annotations

import dataclasses

import pytest

from envs.tools.company import Company
from envs.tools.faults import Fault, Faults
from envs.tools.generator import make_puzzle
from envs.tools.interpreter import run
from envs.tools.session import Session
from envs.tools.toolbox import TOOLS


def session_with(kind: Fault, tool: str, arguments: dict[str, object]) -> Session:
    """Open a session in which this call meets this fault."""
    puzzle = make_puzzle("train", 0)
    for seed in range(5000):
        if Faults(seed, 1.0, puzzle.world.today).before(TOOLS[tool], arguments) is kind:
            return Session(puzzle, Company(puzzle.world, run), Faults(seed, 1.0, puzzle.world.today))
    raise AssertionError("no seed gives it")


@pytest.mark.parametrize(("kind", "said"), [(Fault.TIMEOUT, "did not answer in time"), (Fault.ERROR, "503")])
def test_a_call_that_failed_has_done_nothing_and_works_when_made_again(kind: Fault, said: str) -> None:
    session = session_with(kind, "kv_set", {"key": "a", "value": "1"})
    session.act("kv_set[a, 1]")
    assert said in session.observation
    assert session.company.changes() == []
    assert session.log[0].is_error
    assert session.faults_recovered(is_success=False) == []
    session.act("kv_set[a, 1]")
    assert session.company.store["a"] == "1"
    assert len(session.faults_recovered(is_success=False)) == len(session.faults_met()) == 1


def test_stale_data_are_marked_and_refreshed() -> None:
    asked = {"from_currency": "USD", "to_currency": "EUR", "refresh": False}
    session = session_with(Fault.STALE, "exchange_rate", asked)
    session.act("exchange_rate[USD, EUR]")
    session.act("exchange_rate[USD, EUR]")
    assert "as_of" in session.news
    assert session.faults_recovered(is_success=True) == []
    session.act("exchange_rate[USD, EUR, refresh=true]")
    assert "as_of" not in session.news
    stale, again, fresh = session.log
    assert stale.answer == again.answer
    assert stale.answer["as_of"] < session.faults.today == fresh.answer["as_of"]
    assert stale.answer["rate"] != fresh.answer["rate"] == session.puzzle.world.rates["USD"]
    assert "refresh=true" in stale.answer["cached"]
    assert len(session.faults_recovered(is_success=False)) == len(session.faults_met()) == 2


def test_a_renamed_field_counts_as_recovered_when_its_value_is_used() -> None:
    role = {"query": "accountant"}
    session = session_with(Fault.RENAMED, "find_contact", role)
    session.faults = dataclasses.replace(session.faults, rate=1.0)
    session.act("find_contact[accountant]")
    answer = session.log[0].answer
    assert "mail_address" in answer
    assert "email" not in answer
    assert session.faults_recovered(is_success=False) == []
    session.act(f"send_mail[{answer['mail_address']}, a, b]")
    assert session.log[0] in session.faults_recovered(is_success=False)


def test_faults_come_at_their_rate_and_a_fault_seed_draws_others() -> None:
    tool = TOOLS["kv_get"]
    calls = [{"key": f"k{number}", "refresh": False} for number in range(800)]
    found = []
    for seed in (1, 2):
        faults = Faults(seed, 0.15, "2026-01-05")
        found.append([faults.before(tool, call) for call in calls])
    assert sum(kind is not None for kind in found[0]) / 800 == pytest.approx(0.15, abs=0.04)
    assert {kind for kind in found[0] if kind} == set(Fault)
    assert found[0] != found[1]


def test_no_faults_are_met_where_none_are_asked_for() -> None:
    faults = Faults(1, 0.0, "2026-01-05")
    assert not any(faults.before(TOOLS["kv_get"], {"key": f"k{number}"}) for number in range(200))


@pytest.mark.parametrize("value", [0.0, 0.1, 0.92, 1.17, 20.5, -3.4, 2900.0, 0, 3, 1400])
def test_a_stale_number_differs_and_looks_alike(value: float) -> None:
    faults = Faults(1, 1.0, "2026-01-05")
    for number in range(40):
        found = faults.spoil(Fault.STALE, f"k{number}", {"value": value, "sky": "clear", "sent": True})
        assert found is not None
        assert found["value"] != value
        assert type(found["value"]) is type(value)
        assert len(str(found["value"]).partition(".")[2]) <= len(str(value).partition(".")[2])
        assert found["value"] == pytest.approx(value, rel=0.15, abs=1)
        assert (found["sky"], found["sent"]) == ("clear", True)
    assert faults.spoil(Fault.STALE, "k", {"value": "text"}) is None
    assert faults.spoil(Fault.RENAMED, "k", {"sent": True}) is None
