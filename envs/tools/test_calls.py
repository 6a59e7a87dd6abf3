"""Actions as text: what is read, what is refused and in which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.tools.calls import Call, Ending, Mistake, parse, spell
from envs.tools.environment import Tools
from envs.tools.plan import fit, show
from envs.tools.references import UnknownReferenceError, resolve
from envs.tools.toolbox import FAMILIES, TOOLS

WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


def call_of(action: str) -> Call:
    read = parse(action)
    assert isinstance(read, Call), read
    return read


def open_session() -> Tools:
    env = Tools(faults=0.0)
    env.reset(options={"task": "tools/train/00000"})
    return env


# What is read


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("convert_units[12, km, mile]", {"value": "12", "from_unit": "km", "to_unit": "mile"}),
        (" Convert_Units [12,km,mile] and more", {"value": "12", "from_unit": "km", "to_unit": "mile"}),
        ("convert_units[12, to_unit=mile, from_unit=km]", {"value": "12", "from_unit": "km", "to_unit": "mile"}),
        ("send_mail[a@b.c, hi, one, two]", {"to": "a@b.c", "subject": "hi", "body": "one, two"}),
        ('send_mail[a@b.c, "hi, you", one]', {"to": "a@b.c", "subject": "hi, you", "body": "one"}),
        ("kv_get[fee.x, refresh=true]", {"key": "fee.x", "refresh": "true"}),
        ("sql_query[SELECT a, b FROM t WHERE c = 'd']", {"query": "SELECT a, b FROM t WHERE c = 'd'"}),
        ("run_python[print([1, 2][0])]", {"code": "print([1, 2][0])"}),
        ("run_python[code = 5]", {"code": "code = 5"}),
        ("kv_get[]", {}),
        ("send_mail[a@b.c, hi, ,]", {"to": "a@b.c", "subject": "hi", "body": ","}),
        ("get_record[products, Oak Desk, true]", {"table": "products", "name": "Oak Desk", "refresh": "true"}),
        ('call[{"name": "kv_get", "arguments": {"key": "a[0]"}}]', {"key": "a[0]"}),
        ('call[{"id": "x", "name": "kv_get", "arguments": "{\\"key\\": \\"a\\"}"}]', {"key": "a"}),
    ],
)
def test_both_forms_give_the_same_kind_of_call(action: str, arguments: dict[str, str]) -> None:
    assert call_of(action).arguments == arguments


def test_answer_and_done_end_the_episode() -> None:
    assert parse("answer[ 19.31 ]") == Ending("19.31")
    assert parse("done[]") == Ending(None)


@given(st.text())
def test_no_text_makes_the_parser_raise(text: str) -> None:
    for action in (text, f"call[{text}]", f"send_mail[{text}]", f"answer[{text}]"):
        assert isinstance(parse(action), Call | Ending | Mistake)


@given(WORDS, WORDS, WORDS)
def test_what_is_spelled_is_read_back(to: str, subject: str, body: str) -> None:
    written = {"to": to, "subject": subject, "body": body}
    assert call_of(spell("send_mail", written, is_json=True)).arguments == written
    assert call_of(spell("send_mail", written)).arguments == written


@given(NUMBERS)
def test_numbers_keep_their_value_through_the_short_form(value: float) -> None:
    text = show(value)
    assert fit(text, "number") == pytest.approx(value) or "e" in text


def test_every_tool_has_a_schema_as_function_calling_takes_it() -> None:
    assert len(TOOLS) >= 14
    assert len(FAMILIES) == 10
    for tool in TOOLS.values():
        schema = tool.schema()
        assert schema["type"] == "function"
        assert set(schema["function"]) == {"name", "description", "parameters"}
        assert schema["function"]["parameters"]["type"] == "object"
        assert all(kind in ("string", "number", "integer", "boolean") for kind in tool.kinds.values())
        json.dumps(schema)


# What is refused

BAD = [
    ("hello", "expected tool[arguments]"),
    ("", "expected tool[arguments]"),
    ("kv_get", "expected tool[arguments]"),
    ("x" * 30_000, "expected tool[arguments]"),
    ("find_contct[dana]", "did you mean 'find_contact'?"),
    ("call[{name: kv_get}]", "not JSON"),
    ("call[" + "[" * 5000 + "]]", "not JSON"),
    ('call[["kv_get"]]', "expected a JSON object"),
    ('call[{"arguments": {}}]', 'misses "name"'),
    ('call[{"name": "find_contct", "arguments": {}}]', "did you mean 'find_contact'?"),
    ('call[{"name": "kv_get", "arguments": [1]}]', '"arguments" should be an object'),
    ('call[{"name": "kv_get", "arguments": "no"}]', '"arguments" is text that is not JSON'),
    ('call[{"name": "kv_get", "arguments": {"key": "a"}, "then": 1}]', 'no place for "then"'),
    ('call[{"name": "convert_units", "arguments": {"value": NaN}}]', "NaN is no JSON number"),
    ('call[{"name": "kv_get", "arguments": {}}]', "misses 'key' (string)"),
    ('call[{"name": "kv_get", "arguments": {"key": 3}}]', "'key' should be a valid string, got 3"),
    ('call[{"name": "kv_get", "arguments": {"kye": "a"}}]', "did you mean 'key'?"),
    ('call[{"name": "find_free_slot", "arguments": {"person": "a", "date": "b", "minutes": "30"}}]', "valid integer"),
    ("convert_units[twelve, km, mile]", "'value' should be a valid number, got \"twelve\""),
    ("convert_units[12, km, parsec]", "'to_unit' should be 'm', 'km'"),
    ("find_free_slot[a, 2026-01-05, 45]", "multiple of 30"),
    ("get_weather[Lyon, tomorrow]", "'date'"),
    ("find_free_slot[a, 2026-01-05, 30, 60]", "takes at most 3 arguments, got 4"),
    ("kv_get[$nothing]", "no earlier answer has '$nothing'"),
    ("answer[$nothing]", "no earlier answer has '$nothing'"),
    ('kv_get["\ud800"]', "lone surrogate"),
]


@pytest.mark.parametrize(("action", "said"), BAD)
def test_a_bad_call_says_what_is_wrong_and_changes_nothing(action: str, said: str) -> None:
    env = open_session()
    observation, reward, ended, _, info = env.step(action)
    assert said in observation
    assert (reward, ended, info["invalid_action"]) == (0.0, False, True)
    assert env.session.company.changes() == []
    assert env.session.log == []
    if action.partition("[")[0] in TOOLS and "[" in action:
        assert '"parameters"' in observation


@pytest.mark.parametrize(
    "action",
    [
        'call[{"name": "write_note", "arguments": {"title": "\\ud800", "text": "x"}}]',
        'call[{"name": "write_note", "arguments": {"\\ud800": 1}}]',
        'call[{"name": "\\ud800"}]',
        'write_note["\\ud800", x]',
        "find_contact[\x1b]0;title\x07 \x9b2J]",
        "\x1b[2J",
        "\ud800",
    ],
)
def test_what_an_action_holds_takes_no_effect_where_it_is_shown(action: str) -> None:
    env = open_session()
    observation, _, _, _, info = env.step(action)
    for shown in (observation, env.view().news, info["message"], env.render() or ""):
        shown.encode()
        assert not set(shown) & {"\x1b", "\x07", "\x9b"}
    assert env.session.company.changes() == []


def test_what_a_note_holds_takes_no_effect_where_it_is_read() -> None:
    env = open_session()
    env.step("write_note[mine, \x9b2J\u202eabc]")
    observation = env.step("read_note[mine]")[0]
    assert "abc" in observation
    assert not set(observation + env.view().news) & {"\x9b", "\u202e"}


def test_every_problem_of_a_call_is_told_at_once() -> None:
    observation = open_session().step('call[{"name": "send_mail", "arguments": {"to": 1, "bdy": "x"}}]')[0]
    for said in ("'to' should be", "misses 'subject'", "misses 'body'", "did you mean 'body'?", "Schema:"):
        assert said in observation


# References


def test_references_take_the_latest_value_or_that_of_a_numbered_answer() -> None:
    answers = [{"email": "a@x", "rows": [{"total": 2.5}]}, {"email": "b@x", "rate": 4.0}]
    assert resolve("$email", answers) == "b@x"
    assert resolve("$1.email", answers) == "a@x"
    assert resolve("$rows.0.total", answers) == 2.5
    assert resolve("$rows.0.total * $rate", answers) == "2.5 * 4"
    assert resolve("costs $$5 or $5", answers) == "costs $5 or $5"
    with pytest.raises(UnknownReferenceError, match=r"known: \$email, \$rate"):
        resolve("$city", answers)


@given(st.text())
def test_no_text_makes_references_raise_anything_else(text: str) -> None:
    try:
        resolve(text, [{"email": "a@x"}])
    except UnknownReferenceError:
        assert "$" in text
