"""Batched decoding of many prompts, each on its episode's slot of the key-value cache.

One packed forward pass reads all prompts; then token by token, with the rows that go on, until none does. What the
slot holds already is not read again: the longest common prefix of the slot and the wanted sequence is kept, whatever
it stems from (an earlier turn, a decision taken back). Nor is the same sequence read twice in one call: the episodes of
a group begin alike, and candidates for a turn have all of it in common, so that one row reads and the others copy keys
and values. An id that a restriction leaves no choice about is appended without sampling, and a run of such ids is read
in one pass.

Shapes: R rows, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel

from policies.causal_lm.attention import check_supported, slot_attention
from policies.causal_lm.prompt import Prompt
from policies.causal_lm.sampling import Draw, Sampler, uniforms
from policies.causal_lm.slots import Packing, SlotCache

__all__ = ["Decoded", "Decoder", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """One decision to decode.

    `history` are the ids that `prompt.ids` extends (empty where the prompt starts anew); `limit` the most ids,
    sampled and forced, that the decision may have.
    """

    episode: str
    history: tuple[int, ...]
    prompt: Prompt
    seed: int
    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1 or not self.prompt.ids:
            held = f"{len(self.prompt.ids)} ids, limit {self.limit}"
            raise ValueError(f"expected a prompt of 1 id or more and a limit of 1 or more, got {held}")


@dataclass(frozen=True, slots=True)
class Decoded:
    """The ids of a decision with their records, as `Ledger` wants them.

    `is_stopped` tells a decision that reached a stop id from one that ran into its limit. `top` are the likeliest
    ids at the first sampled position, which `forced` ids came before. `hidden_before_H` is the last layer's output
    at the last token of the prompt, `hidden_after_H` at the last token of the decision (None unless asked for).
    """

    sampled_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    mask: tuple[bool, ...]
    allowed: tuple[tuple[int, ...] | None, ...]
    entropy: float | None
    is_stopped: bool
    top: tuple[tuple[int, float], ...]
    forced: tuple[int, ...]
    hidden_before_H: torch.Tensor
    hidden_after_H: torch.Tensor | None


@dataclass(slots=True)
class _Row:
    request: Request
    slot: int
    feed: list[int] = field(default_factory=list)
    prompt_offset: int = 0
    uniform: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sampled: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    allowed: list[tuple[int, ...] | None] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    top: tuple[tuple[int, float], ...] = ()
    open: tuple[int, ...] | None = None
    is_stopped: bool = False
    hidden_before_H: torch.Tensor | None = None
    hidden_after_H: torch.Tensor | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """What is to be read before anything is sampled."""
        return self.request.history + self.request.prompt.ids

    @property
    def key(self) -> tuple[object, ...]:
        """What two rows have in common whose prompts, and ids forced behind them, are read as one."""
        return self.ids, id(self.request.prompt.restriction), self.request.prompt.stop_ids, self.request.limit

    @property
    def is_done(self) -> bool:
        return self.is_stopped or len(self.sampled) >= self.request.limit

    def force(self) -> None:
        """Append the ids that the restriction leaves no choice about; note what is open behind them."""
        restriction = self.request.prompt.restriction
        while not self.is_done:
            self.open = restriction.allowed(tuple(self.sampled)) if restriction is not None else None
            if self.open is None or len(self.open) > 1:
                return
            if not self.open:
                raise ValueError(f"expected the restriction to leave an id open after {self.sampled}, got none")
            self._append(self.open[0], 0.0, is_sampled=False)

    def accept(self, draw: Draw) -> None:
        """Append a sampled id and what is forced behind it."""
        self.feed = []
        if not self.entropies:
            self.top = draw.top
        self.entropies.append(draw.entropy)
        self._append(draw.token, draw.logprob, is_sampled=True)
        self.force()

    def _append(self, token: int, logprob: float, *, is_sampled: bool) -> None:
        self.sampled.append(token)
        self.feed.append(token)
        self.logprobs.append(logprob)
        self.mask.append(is_sampled)
        self.allowed.append(self.open)
        self.is_stopped = token in self.request.prompt.stop_ids

    def result(self) -> Decoded:
        """Freeze the row once its prompt has been read."""
        if self.hidden_before_H is None:
            raise RuntimeError("expected the prompt to have been read before the result is asked for")
        return Decoded(
            sampled_ids=tuple(self.sampled),
            logprobs=tuple(self.logprobs),
            mask=tuple(self.mask),
            allowed=tuple(self.allowed),
            entropy=sum(self.entropies) / len(self.entropies) if self.entropies else None,
            is_stopped=self.is_stopped,
            top=self.top,
            forced=tuple(self.sampled[: self.mask.index(True)]) if any(self.mask) else tuple(self.sampled),
            hidden_before_H=self.hidden_before_H,
            hidden_after_H=self.hidden_after_H,
        )


class Decoder:
    """Decodes on a model's slots. Not safe to share between threads.

    Args:
        model: a causal model (a PEFT-wrapped one is unwrapped by the caller).
        temperature: 0 is greedy; log-probabilities are then under temperature 1.
        forward_tokens: packed tokens that one forward pass reads at most (a longer single row goes alone): enough to
            keep the cores busy, little enough for activations to stay in cache.
        max_rows: rows decoded at a time.
        cache_dtype: of keys and values; by default float32 on a CPU, else the model's.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        temperature: float = 1.0,
        forward_tokens: int = 4096,
        max_rows: int = 256,
        cache_dtype: torch.dtype | None = None,
    ) -> None:
        check_supported(model)
        self.model = model
        self.backbone: torch.nn.Module = getattr(model, model.base_model_prefix)
        unembedding: torch.nn.Module = model.get_output_embeddings()
        self.sampler = Sampler(unembedding, temperature)
        self.forward_tokens, self.max_rows = forward_tokens, max_rows
        default = torch.float32 if model.device.type == "cpu" else model.dtype
        self.cache = SlotCache(device=model.device, dtype=cache_dtype or default)
        self._slots: dict[str, int] = {}

    @property
    def episodes(self) -> set[str]:
        """The episodes that hold a slot."""
        return set(self._slots)

    def release(self, episodes: Iterable[str]) -> None:
        """Give back the slots of these episodes; unknown ones are no error."""
        for episode in episodes:
            if episode in self._slots:
                self.cache.release(self._slots.pop(episode))

    def clear(self) -> None:
        """Give back every slot: what they hold does not fit other weights."""
        self.release(tuple(self._slots))

    @torch.inference_mode()
    def decode(self, requests: Sequence[Request], *, has_after: bool = False) -> list[Decoded]:
        """Decode every request; `has_after` also reads the last id of each, for `hidden_after_H`.

        Requests of one episode in one call are candidates for the same turn: the prompt is read once, and the
        episode's slot afterwards holds the first of them.
        """
        results: list[Decoded] = []
        with slot_attention(self.model):
            for first in range(0, len(requests), self.max_rows):
                results += self._decode(requests[first : first + self.max_rows], has_after)
        return results

    def _decode(self, requests: Sequence[Request], has_after: bool) -> list[Decoded]:
        rows, copies = self._assign(requests)
        try:
            hidden = self._read(rows, copies, has_after)
            live = [row for row in rows if not row.is_done]
            self._sample(live, [hidden[id(row)] for row in live], has_after)
            return [row.result() for row in rows]
        finally:
            for slot in copies:
                self.cache.release(slot)

    def _read(self, rows: list[_Row], copies: dict[int, int], has_after: bool) -> dict[int, torch.Tensor]:
        """Read each distinct sequence once; return the hidden state that each row samples from, by the row's id."""
        leaders: dict[tuple[object, ...], _Row] = {}
        leader_of = {id(row): leaders.setdefault(row.key, row) for row in rows}
        own = [row for row in leaders.values() if row.slot not in copies]
        hidden = {id(row): h for row, h in zip(own, self._read_prompts(own, has_after), strict=True)}
        late = [row for row in leaders.values() if row.slot in copies]
        for row in late:
            source = copies[row.slot]
            self.cache.copy(source, row.slot, self.cache.common_prefix(source, np.array(row.ids, dtype=np.int64)))
        hidden |= {id(row): h for row, h in zip(late, self._read_prompts(late, has_after), strict=True)}
        for row in rows:
            leader = leader_of[id(row)]
            if leader is not row:
                self._follow(row, leader, hidden[id(leader)], has_after)
                hidden[id(row)] = hidden[id(leader)]
        return hidden

    def _follow(self, row: _Row, leader: _Row, last_H: torch.Tensor, has_after: bool) -> None:
        """Take over from another row what was read: the same sequence, with the same ids forced behind it."""
        length = int(self.cache.lengths[leader.slot])
        kept = self.cache.common_prefix(row.slot, self.cache.tokens[leader.slot, :length])
        self.cache.copy(leader.slot, row.slot, length, start=kept)
        row.force()
        row.feed = []
        row.hidden_before_H = leader.hidden_before_H
        if has_after and row.is_done:
            row.hidden_after_H = last_H

    def _assign(self, requests: Sequence[Request]) -> tuple[list[_Row], dict[int, int]]:
        """Give each request a slot; a further one of the same episode gets a copy (copy → original)."""
        rows, copies, seen = [], {}, set()
        for request in requests:
            if request.episode not in self._slots:
                self._slots[request.episode] = self.cache.acquire()
            slot = self._slots[request.episode]
            if request.episode in seen:
                copy = self.cache.acquire()
                copies[copy] = slot
                slot = copy
            seen.add(request.episode)
            rows.append(_Row(request, slot, uniform=uniforms(request.seed, request.limit)))
        return rows, copies

    def _read_prompts(self, rows: list[_Row], has_after: bool) -> list[torch.Tensor]:
        """Read what the slots lack of the prompts, and the ids forced behind them; return the hidden states there."""
        for row in rows:
            ids = row.ids
            kept = min(self.cache.common_prefix(row.slot, np.array(ids, dtype=np.int64)), len(ids) - 1)
            self.cache.truncate(row.slot, kept)
            row.feed = list(ids[kept:])
            row.prompt_offset = len(row.feed) - 1
            row.force()
        before, last = self._forward(rows, [row.prompt_offset for row in rows])
        for row, before_H, last_H in zip(rows, before, last, strict=True):
            row.hidden_before_H = before_H
            if has_after and row.is_done:
                row.hidden_after_H = last_H
        return list(last)

    def _sample(self, live: list[_Row], hidden: list[torch.Tensor], has_after: bool) -> None:
        while live:
            uniform_R = np.array([row.uniform[len(row.sampled)] for row in live])
            has_top = any(not row.entropies for row in live)
            draws = self.sampler.draw(torch.stack(hidden), [row.open for row in live], uniform_R, has_top=has_top)
            for row, draw in zip(live, draws, strict=True):
                row.accept(draw)
            read = live if has_after else [row for row in live if not row.is_done]
            _, last = self._forward(read, [0] * len(read))
            for row, last_H in zip(read, last, strict=True):
                if row.is_done:
                    row.hidden_after_H = last_H if has_after else None
            hidden = [last_H for row, last_H in zip(read, last, strict=True) if not row.is_done]
            live = [row for row in read if not row.is_done]

    def _forward(self, rows: list[_Row], offsets: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Read every row's feed; return the hidden states at an offset of each row and at its last token."""
        before: dict[int, torch.Tensor] = {}
        last: dict[int, torch.Tensor] = {}
        for chunk in _chunks([len(row.feed) for row in rows], self.forward_tokens):
            packing = self.cache.pack([rows[i].slot for i in chunk], [rows[i].feed for i in chunk])
            hidden_TH = self._backbone(packing)
            first = np.array(packing.start) + np.array([offsets[i] for i in chunk])
            for store, index in ((before, first), (last, packing.last)):
                picked_RH = hidden_TH[torch.from_numpy(index).to(hidden_TH.device)]
                store.update(zip(chunk, picked_RH, strict=True))
        return [before[i] for i in range(len(rows))], [last[i] for i in range(len(rows))]

    def _backbone(self, packing: Packing) -> torch.Tensor:
        output = self.backbone(
            input_ids=self.cache.input_ids(packing),
            position_ids=packing.position_T[None],
            past_key_values=self.cache,
            use_cache=True,
            packing=packing,
        )
        self.cache.commit(packing)
        hidden: torch.Tensor = output.last_hidden_state[0]
        return hidden


def _chunks(counts: Sequence[int], most: int) -> list[list[int]]:
    """Split row indices, in order, into runs of at most `most` tokens (or a single row)."""
    chunks: list[list[int]] = []
    room = 0
    for index, count in enumerate(counts):
        if not chunks or count > room:
            chunks.append([])
            room = most
        chunks[-1].append(index)
        room -= count
    return chunks
