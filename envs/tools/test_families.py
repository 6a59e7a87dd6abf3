"""What each tool answers, against the world itself and numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from envs.tools.company import Company, Sent
from envs.tools.interpreter import run
from envs.tools.schema import Answer, ToolError
from envs.tools.toolbox import TOOLS
from envs.tools.world import Event, World, make_world

WORLD: World = make_world(7)
DAY = WORLD.days[0]
ADA = WORLD.people[3]


@pytest.fixture
def company() -> Company:
    return Company(WORLD, run)


def ask(company: Company, tool: str, **arguments: Any) -> Answer:
    assert TOOLS[tool].check(arguments) == []
    return TOOLS[tool].run(company, arguments)


@pytest.mark.parametrize(
    ("value", "source", "target", "result"),
    [
        (12, "km", "mile", 7.46),
        (1, "kg", "pound", 2.2),
        (-40, "celsius", "fahrenheit", -40),
        (100, "celsius", "kelvin", 373.15),
        (32, "fahrenheit", "celsius", 0),
        (90, "minute", "hour", 1.5),
        (2, "gallon", "liter", 7.57),
    ],
)
def test_units_are_converted(company: Company, value: float, source: str, target: str, result: float) -> None:
    found = ask(company, "convert_units", value=value, from_unit=source, to_unit=target)
    assert found == {"result": pytest.approx(result), "unit": target}


def test_units_of_different_things_are_refused(company: Company) -> None:
    for target in ("kg", "celsius"):
        with pytest.raises(ToolError, match="km is a unit of length"):
            ask(company, "convert_units", value=1, from_unit="km", to_unit=target)


def test_calculator_gives_two_decimals_and_says_why_it_cannot(company: Company) -> None:
    assert ask(company, "calculate", expression="2 / 3") == {"result": 0.67}
    with pytest.raises(ToolError, match="zero"):
        ask(company, "calculate", expression="1 / 0")


def test_the_first_free_slot_begins_where_an_event_ends(company: Company) -> None:
    company.events = {
        "e1": Event("e1", ADA.email, DAY, "09:30", 30, "a"),
        "e2": Event("e2", ADA.email, DAY, "10:30", 30, "b"),
    }
    found = [
        ask(company, "find_free_slot", person=ADA.email.upper(), date=DAY, minutes=minutes)["start"]
        for minutes in (30, 60, 360)
    ]
    assert found == ["09:00", "11:00", "11:00"]
    with pytest.raises(ToolError, match="no 390 minutes"):
        ask(company, "find_free_slot", person=ADA.email, date=DAY, minutes=390)
    made = ask(company, "create_event", person=ADA.email, date=DAY, start="10:00", minutes=30, title="c")
    assert company.events[made["id"]].title == "c"
    listed = ask(company, "list_events", person=ADA.email, date=DAY)
    assert [event["start"] for event in listed["events"]] == ["09:30", "10:00", "10:30"]
    with pytest.raises(ToolError, match="is busy"):
        ask(company, "create_event", person=ADA.email, date=DAY, start="09:00", minutes=60, title="d")
    assert ask(company, "cancel_event", event_id=made["id"])["cancelled"] == "c"
    with pytest.raises(ToolError, match="no event"):
        ask(company, "cancel_event", event_id=made["id"])


def test_an_event_can_be_made_in_an_empty_calendar(company: Company) -> None:
    company.events = {}
    assert ask(company, "create_event", person=ADA.email, date=DAY, start="10:00", minutes=30, title="c")["id"] == "e1"


def test_contacts_are_found_by_name_role_and_address_but_not_by_what_fits_several(company: Company) -> None:
    for query in (ADA.name.lower(), ADA.role, ADA.email):
        assert ask(company, "find_contact", query=query)["email"] == ADA.email
    with pytest.raises(ToolError, match="contacts match 'head of'"):
        ask(company, "find_contact", query="head of")
    with pytest.raises(ToolError, match="no contact matches"):
        ask(company, "find_contact", query="nobody")
    team = ask(company, "list_team", department="Finance")["members"]
    assert [member["name"] for member in team] == [p.name for p in WORLD.people if p.department == "finance"]
    assert len({person.email for person in WORLD.people}) == len(WORLD.people)


def test_mail_is_searched_read_and_sent_to_colleagues_only(company: Company) -> None:
    mail = WORLD.inbox[2]
    assert ask(company, "search_mail", query=mail.sender)["mails"][0]["id"] == mail.id
    assert ask(company, "read_mail", mail_id=mail.id)["amount"] == mail.amount
    assert f"{mail.amount:g} EUR" in mail.text
    ask(company, "send_mail", to=ADA.email.title(), subject="s", body="b")
    assert company.sent == [Sent(ADA.email, "s", "b")]
    with pytest.raises(ToolError, match="nobody's e-mail address"):
        ask(company, "send_mail", to="x@y.z", subject="s", body="b")


def test_files_and_notes(company: Company) -> None:
    paths = ask(company, "list_files", folder="/reports/sales/")["files"]
    assert paths == sorted(path for path in WORLD.files if path.startswith("reports/sales/"))
    assert ask(company, "read_file", path=paths[0])["amount"] == WORLD.files[paths[0]].amount
    for path in ("../etc/passwd", "/etc/passwd", "reports/sales"):
        with pytest.raises(ToolError, match="no file"):
            ask(company, "read_file", path=path)
    ask(company, "write_note", title="Mine", text="x")
    assert ask(company, "read_note", title="mine") == {"text": "x"}
    assert ask(company, "read_note", title=WORLD.notes[0].title)["figure"] == WORLD.notes[0].figure


def test_keys_and_records(company: Company) -> None:
    ask(company, "kv_set", key="A.b", value="1")
    assert ask(company, "kv_get", key="a.B") == {"value": "1"}
    ask(company, "kv_delete", key="a.b")
    with pytest.raises(ToolError, match="keys are fee"):
        ask(company, "kv_get", key="a.b")
    city, far = WORLD.tables["offices"][0]
    assert ask(company, "get_record", table="offices", name=str(city).lower()) == {"city": city, "distance_km": far}
    with pytest.raises(ToolError, match="no record"):
        ask(company, "get_record", table="offices", name="x' OR 1 = 1 --")
    with pytest.raises(ToolError, match="tables are products"):
        ask(company, "sql_query", query="SELECT * FROM sqlite_master")
    assert ask(company, "sql_execute", statement="DELETE FROM offices") == {"changed": 8}


def test_knowledge_rates_and_weather(company: Company) -> None:
    for article in WORLD.articles:
        assert ask(company, "search_knowledge", query=article.title.upper())["amount"] == article.amount
        assert f"{article.amount:g} EUR" in article.text
    rate = ask(company, "exchange_rate", from_currency="USD", to_currency="GBP")["rate"]
    assert rate == pytest.approx(WORLD.rates["USD"] / WORLD.rates["GBP"], abs=5e-5)
    city = next(iter(WORLD.weather))[0]
    assert ask(company, "get_weather", city=city, date=DAY)["celsius"] == WORLD.weather[city, DAY][0]
    with pytest.raises(ToolError, match="no forecast"):
        ask(company, "get_weather", city=city, date="1999-01-01")


def test_approvals(company: Company) -> None:
    made = ask(company, "request_approval", subject="s", amount=5)["id"]
    assert ask(company, "decide_approval", approval_id=made.upper(), decision="rejected")["status"] == "rejected"
    assert [a["id"] for a in ask(company, "list_approvals", status="rejected")["approvals"]] == [made]
    assert len(ask(company, "list_approvals", status="pending")["approvals"]) == 4
    with pytest.raises(ToolError, match="no request"):
        ask(company, "decide_approval", approval_id="a99", decision="approved")


def test_python_answers_what_is_printed(company: Company) -> None:
    assert ask(company, "run_python", code="print(2)\nprint(3)") == {"stdout": "2\n3"}


def test_words_of_an_enumeration_may_be_written_in_any_case() -> None:
    tool = TOOLS["exchange_rate"]
    assert (tool.read("from_currency", "usd"), tool.read("to_currency", " Eur ")) == ("USD", "EUR")
    assert tool.read("from_currency", "xyz") == "xyz"
