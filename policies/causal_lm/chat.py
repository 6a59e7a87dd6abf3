"""Chat prompts for any instruction-tuned model, through the tokenizer's own template.

What was fed and sampled stands in the ledgers and is never tokenised again. A prompt is a continuation only where the
template, rendered anew over the whole conversation, begins with exactly the text that was fed and sampled so far; its
remainder alone is then tokenised and appended. Templates that rewrite history (stripping earlier reasoning, trimming)
fail that test where they do so, and a new sequence is begun.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from policies.causal_lm.presets import Preset, load_preset
from policies.causal_lm.prompt import Prompt, Reading, Restriction
from policies.causal_lm.restriction import AfterMarker, Spelling
from sage_gym.types import Context, Ledger, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["FALLBACK_TEMPLATE", "ChatRenderer"]

FALLBACK_TEMPLATE = (
    "{% for message in messages %}"
    "### {{ message['role'] | capitalize }}\n{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}### Assistant\n{% endif %}"
)
"""For tokenizers without a chat template: a heading for each message, the answer ended by the end-of-text token."""

PROBE = "an answer to end"
REASONING_SHARE = 0.75
"""Of a turn's tokens, so much may go to reasoning under a restriction; the rest is kept for the action."""


@dataclass(slots=True)
class ChatRenderer:
    """Renders contexts as a conversation: the preset, then observations and answers in turn.

    Args:
        tokenizer: of the policy's model.
        preset: name of a file in `presets/`.
        restricted: whether only admissible actions may be sampled, where the environment lists them (reasoning, where
            the preset asks for it, stays free).

    Raises:
        UnknownNameError: an unknown preset.
        ValueError: the tokenizer has neither a chat template nor an end-of-text token.
    """

    tokenizer: PreTrainedTokenizerBase
    preset: str = "plain"
    restricted: bool = False
    _style: Preset = field(init=False, repr=False)
    _template: str | None = field(init=False, repr=False)
    _has_system: bool = field(init=False, repr=False)
    _special: frozenset[int] = field(init=False, repr=False)
    _stop_id: int = field(init=False, repr=False)
    _stop_ids: frozenset[int] = field(init=False, repr=False)
    _spelling: Spelling | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self._style = load_preset(self.preset)
        self._template = None if self.tokenizer.chat_template else FALLBACK_TEMPLATE
        self._has_system = self._takes_system()
        self._special = frozenset(self.tokenizer.all_special_ids)
        self._stop_id = self._find_stop()
        eos = self.tokenizer.eos_token_id
        self._stop_ids = frozenset({self._stop_id} if eos is None else {self._stop_id, eos})

    def render(self, context: Context) -> Prompt:
        """Append what is new where the template allows it; otherwise start a new sequence."""
        first = _first_turn(context.turns)
        whole = self._conversation(context, first)
        begun = self._begun(context, first)
        if begun is not None and whole.startswith(begun):
            return self._prompt(context, whole, self._encode(whole[len(begun) :]), first, is_continuation=True)
        return self._prompt(context, whole, self._encode(whole), first, is_continuation=False)

    def restart(self, context: Context, most: int) -> Prompt | None:
        """Begin a new sequence of at most `most` ids with as many of the last turns as fit; None where none does."""
        for first in range(len(context.turns) + 1):
            whole = self._conversation(context, first)
            ids = self._encode(whole)
            if len(ids) <= most:
                return self._prompt(context, whole, ids, first, is_continuation=False)
        return None

    def _prompt(
        self, context: Context, whole: str, ids: tuple[int, ...], first: int, *, is_continuation: bool
    ) -> Prompt:
        actions, free = _admissible(context)
        return Prompt(
            ids=ids,
            is_continuation=is_continuation,
            restriction=self._restriction(context) if self.restricted else None,
            stop_ids=self._stop_ids,
            max_tokens=context.turn_tokens,
            read=partial(self._read, free, bool(actions or free)),
            notes={"first": first, "message": _message(context), "digest": zlib.crc32(whole.encode())},
        )

    def _begun(self, context: Context, first: int) -> str | None:
        """Return the text that was fed and sampled so far, None where that cannot be told."""
        if not context.turns:
            return None
        last = context.turns[-1].decision
        if last.ledger is None or "message" not in last.notes:
            return None
        fed = self._conversation(context, first, until=len(context.turns) - 1)
        if zlib.crc32(fed.encode()) != last.notes.get("digest"):
            return None
        return fed + "".join(self._written(last.ledger))

    def _conversation(self, context: Context, first: int, until: int | None = None) -> str:
        """Render the sequence that begins with turn `first`, up to the answer to turn `until` (the present one)."""
        observed = [str(t.decision.notes.get("message", t.observation)) for t in context.turns] + [_message(context)]
        last = len(context.turns) if until is None else until
        head = [f"Task: {context.task.instruction}", *(f"Advice from an earlier attempt: {h}" for h in context.hints)]
        if not self._has_system:
            head.insert(0, self._style.system)
        messages = [{"role": "system", "content": self._style.system}] if self._has_system else []
        for index in range(first, last + 1):
            parts = [*head, observed[index]] if index == first else [observed[index]]
            messages.append({"role": "user", "content": "\n\n".join(parts)})
            if index < last:
                decision = context.turns[index].decision
                answer = decision.text if decision.ledger is None else self._written(decision.ledger)[0]
                messages.append({"role": "assistant", "content": answer})
        return self._apply(messages, is_open=True)

    def _apply(self, messages: list[dict[str, str]], *, is_open: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages, chat_template=self._template, tokenize=False, add_generation_prompt=is_open
            )
        )

    def _restriction(self, context: Context) -> Restriction | None:
        actions, free = _admissible(context)
        if not actions and not free:
            return None
        marker = self._style.marker
        if self._spelling is None:
            self._spelling = Spelling(self.tokenizer, self._stop_id, lead="\n" if marker else "")
        trie = self._spelling.trie(actions, free)
        if not marker:
            return trie
        most = max(1, int(context.turn_tokens * REASONING_SHARE))
        return AfterMarker(self._decode, marker, self._encode(marker), most, trie)

    def _read(self, free: tuple[str, ...], is_line: bool, sampled: tuple[int, ...]) -> Reading:
        text = self._decode(tuple(token for token in sampled if token not in self._special))
        reading = self._style.read(text, is_line=is_line)
        action = reading.action
        if free and action.startswith(free) and "]" not in action:
            action += "]"
        return Reading(reading.text, action, reading.plan)

    def _written(self, ledger: Ledger) -> tuple[str, str]:
        """Return a decision's text without its stop id, and the stop id's text (empty where it has none)."""
        ids = ledger.sampled_ids
        if ids and ids[-1] in self._stop_ids:
            return self._decode(ids[:-1]), self._decode(ids[-1:])
        return self._decode(ids), ""

    def _takes_system(self) -> bool:
        """Whether the template shows a system message; where not, the first observation carries it."""
        messages = [{"role": "system", "content": PROBE}, {"role": "user", "content": "a question"}]
        try:
            return PROBE in self._apply(messages, is_open=True)
        except TemplateError:
            return False

    def _find_stop(self) -> int:
        """Find the id that the template ends an answer with."""
        if self._template is not None and self.tokenizer.eos_token_id is None:
            raise ValueError("expected a tokenizer with a chat template or an end-of-text token, got neither")
        messages = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": PROBE}]
        ending = self._apply(messages, is_open=False).rpartition(PROBE)[2]
        ids = self._encode(ending)
        added = self.tokenizer.get_added_vocab().values()
        if ids and (ids[0] in added or ids[0] in self.tokenizer.all_special_ids):
            return ids[0]
        if self.tokenizer.eos_token_id is None:
            raise ValueError(f"expected a token that ends an answer in the chat template, got {ending!r}")
        return int(self.tokenizer.eos_token_id)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _admissible(context: Context) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fixed actions and the prefixes that free text follows."""
    free = context.view.free if context.view else ()
    listed = context.admissible_actions
    if listed is None:
        listed = tuple(choice.action for choice in context.view.choices) if context.view else ()
    return tuple(action for action in listed if not (free and action.startswith(free))), free


def _message(context: Context) -> str:
    actions, free = _admissible(context)
    if not actions and not free:
        return context.observation
    return "\n".join([f"{context.observation}\n\nAdmissible actions:", *(f"{prefix}...]" for prefix in free), *actions])


def _first_turn(turns: Sequence[Turn]) -> int:
    """Return the index of the turn that the present sequence begins with."""
    return int(turns[-1].decision.notes.get("first", 0)) if turns else 0
