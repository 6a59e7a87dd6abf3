"""Chat prompts: the token ledger holds for every template, and readings are right."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from policies.causal_lm.chat import ChatRenderer
from policies.causal_lm.presets import load_preset
from policies.causal_lm.prompt import Prompt
from sage_gym.errors import UnknownNameError
from sage_gym.types import Context, Decision, Ledger, Turn
from tests.causal_lm_toys import NO_SYSTEM, SPECIALS, TEMPLATES, make_context, make_turn, toy_tokenizer

ORDINARY = range(len(SPECIALS), 400)
sampled_ids = st.lists(st.sampled_from(ORDINARY), min_size=0, max_size=12).map(tuple)
steps = st.lists(st.tuples(st.text("ab <>é\n", max_size=12), sampled_ids, st.booleans()), min_size=1, max_size=4)


def _decide(prompt: Prompt, sampled: tuple[int, ...]) -> Decision:
    reading = prompt.read(sampled)
    ledger = Ledger(
        prompt_ids=prompt.ids,
        sampled_ids=sampled,
        logprobs=(0.0,) * len(sampled),
        mask=(True,) * len(sampled),
        is_continuation=prompt.is_continuation,
    )
    return Decision(reading.text, reading.action, reading.plan, ledger=ledger, notes=prompt.notes)


def _conversation(tokenizer: PreTrainedTokenizerFast, renderer: ChatRenderer, context: Context) -> str:
    """Render the whole conversation as the template has it, without looking at ledgers' prompts."""
    system = load_preset(renderer.preset).system
    messages = []
    for index, turn in enumerate([*context.turns, None]):
        content = context.observation if turn is None else turn.observation
        if context.admissible_actions:
            content += "\n\n" + "\n".join(["Admissible actions:", "search[...]", *context.admissible_actions])
        if index == 0:
            content = f"Task: {context.task.instruction}\n\n{content}"
        messages.append({"role": "user", "content": content})
        if turn is not None:
            ids = turn.decision.ledger.sampled_ids if turn.decision.ledger else ()
            text = tokenizer.decode([i for i in ids if i >= len(SPECIALS)], clean_up_tokenization_spaces=False)
            messages.append({"role": "assistant", "content": text})
    if tokenizer.chat_template == NO_SYSTEM:
        messages[0]["content"] = f"{system}\n\n{messages[0]['content']}"
    else:
        messages.insert(0, {"role": "system", "content": system})
    template = tokenizer.chat_template or renderer._template
    return str(
        tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=True)
    )


@pytest.mark.parametrize("family", TEMPLATES)
@settings(max_examples=25, deadline=None)
@given(steps)
def test_what_is_fed_reads_as_the_template_says_and_never_retokenises_what_was_sampled(
    family: str, steps: list[tuple[str, tuple[int, ...], bool]]
) -> None:
    tokenizer = toy_tokenizer(family)
    renderer = ChatRenderer(tokenizer)
    stop = tokenizer.convert_tokens_to_ids(TEMPLATES[family][1])
    turns: tuple[Turn, ...] = ()
    fed: tuple[int, ...] = ()
    for observation, sampled, is_stopped in steps:
        context = make_context(turns, observation=observation)
        prompt = renderer.render(context)
        whole = _conversation(tokenizer, renderer, context)
        begins_alike = bool(turns) and whole.startswith(tokenizer.decode(fed))
        assert prompt.is_continuation == begins_alike
        fed = fed + prompt.ids if prompt.is_continuation else prompt.ids
        assert tokenizer.decode(fed, clean_up_tokenization_spaces=False) == whole
        assert prompt.stop_ids >= {stop}
        sampled = (*sampled, stop) if is_stopped else sampled
        turns = (*turns, make_turn(observation, _decide(prompt, sampled)))
        fed += sampled
        assert turns[-1].decision.ledger is not None
        assert turns[-1].decision.ledger.sampled_ids == sampled


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_plain_answer_is_continued_in_every_template(family: str) -> None:
    tokenizer = toy_tokenizer(family)
    renderer = ChatRenderer(tokenizer)
    first = renderer.render(make_context())
    stop = tokenizer.convert_tokens_to_ids(TEMPLATES[family][1])
    answer = (*tokenizer.encode("click[back]", add_special_tokens=False), stop)
    turn = make_turn("a page", _decide(first, answer))
    second = renderer.render(make_context((turn,), observation="another page"))
    assert second.is_continuation
    assert "find red shoes" not in tokenizer.decode(second.ids)


def test_a_template_that_strips_reasoning_begins_a_new_sequence() -> None:
    tokenizer = toy_tokenizer("stripping")
    renderer = ChatRenderer(tokenizer, "sage")
    first = renderer.render(make_context())
    answer = tokenizer.encode("<reasoning>the price</reasoning>\nclick[back]", add_special_tokens=False)
    turn = make_turn("a page", _decide(first, (*answer, tokenizer.convert_tokens_to_ids("<|im_end|>"))))
    second = renderer.render(make_context((turn,)))
    assert not second.is_continuation
    assert "the price" not in tokenizer.decode(second.ids)
    assert "find red shoes" in tokenizer.decode(second.ids)


def test_a_turn_of_someone_else_begins_a_new_sequence() -> None:
    renderer = ChatRenderer(toy_tokenizer())
    turn = make_turn("a page", Decision("click[back]", "click[back]"))
    prompt = renderer.render(make_context((turn,)))
    assert not prompt.is_continuation
    assert "click[back]<|im_end|>" in toy_tokenizer().decode(prompt.ids)


def test_a_restart_keeps_the_task_and_as_many_turns_as_fit() -> None:
    tokenizer = toy_tokenizer()
    renderer = ChatRenderer(tokenizer)
    turns: tuple[Turn, ...] = ()
    for index in range(5):
        prompt = renderer.render(make_context(turns, observation=f"page {index}"))
        turns = (*turns, make_turn(f"page {index}", _decide(prompt, (20, 21, 2))))
    context = make_context(turns, observation="page 5")
    whole = renderer.restart(context, 10_000)
    assert whole is not None
    shorter = renderer.restart(context, len(whole.ids) - 1)
    assert shorter is not None
    text = tokenizer.decode(shorter.ids)
    assert "page 0" not in text
    assert "find red shoes" in text
    assert all(f"page {index}" in text for index in range(1, 6))
    turn = make_turn("page 5", _decide(shorter, (20, 2)))
    following = renderer.render(make_context((*turns, turn), observation="page 6"))
    assert following.is_continuation
    assert renderer.restart(context, 10) is None


@pytest.mark.parametrize(
    ("preset", "text", "action", "plan"),
    [
        ("plain", " click[back]\nand more", "click[back]", ""),
        ("plain", "search[red shoes", "search[red shoes]", ""),
        ("sage", "<reasoning>first a, then b</reasoning>\nclick[back]\n", "click[back]", "first a, then b"),
        ("sage", "<reasoning>never ends", "", "never ends"),
    ],
)
def test_an_answer_is_read_as_its_preset_asks_for_it(preset: str, text: str, action: str, plan: str) -> None:
    tokenizer = toy_tokenizer()
    prompt = ChatRenderer(tokenizer, preset).render(make_context())
    reading = prompt.read((*tokenizer.encode(text, add_special_tokens=False), 2))
    assert (reading.text, reading.action, reading.plan) == (text, action, plan)


def test_an_answer_keeps_its_lines_where_no_actions_are_listed() -> None:
    tokenizer = toy_tokenizer()
    prompt = ChatRenderer(tokenizer, restricted=True).render(make_context(actions=None, free=()))
    assert prompt.restriction is None
    assert prompt.read(tuple(tokenizer.encode("a\nb\n", add_special_tokens=False))).action == "a\nb"


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="no prompt preset named 'sgae'; did you mean 'sage'"):
        ChatRenderer(toy_tokenizer(), "sgae")


def test_a_tokenizer_without_template_and_end_is_refused() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=toy_tokenizer("none").backend_tokenizer)
    with pytest.raises(ValueError, match="a chat template or an end-of-text token, got neither"):
        ChatRenderer(tokenizer)
