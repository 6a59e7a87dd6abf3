"""A key-value cache with one row ("slot") per episode.

All rows of a forward pass are *packed* behind one another in a single sequence `(1, T)`, each row bringing as many
new tokens as it has, so that projections and MLPs see no padding at all; only attention looks at one row at a time,
against that row's slot. A row's result is then that of a plain forward pass of the row alone, whatever else is in
the batch (up to the noise of floating point). What lies in a slot behind a row's length is never read.

It is passed as `past_key_values` with explicit `position_ids`, under `policies.causal_lm.attention.slot_attention`.

Shapes: S slots, C capacity in tokens, T packed tokens, R rows, K key-value heads, D head width, W longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache

__all__ = ["Packing", "SlotCache"]


@dataclass(frozen=True, slots=True)
class Packing:
    """The rows of one forward pass: where each lies in the packed sequence, and what each may attend to.

    `past` and `count` are in tokens; `masks` are additive, `(count, past + count)`, None where none is needed.
    """

    cache: SlotCache
    slots: tuple[int, ...]
    past: tuple[int, ...]
    count: tuple[int, ...]
    start: tuple[int, ...]
    slot_T: torch.Tensor
    position_T: torch.Tensor
    masks: tuple[torch.Tensor | None, ...]
    mask_R11W: torch.Tensor | None

    @property
    def last(self) -> np.ndarray:
        """Packed index of each row's last token, `(R,)`."""
        last: np.ndarray = np.array(self.start) + np.array(self.count) - 1
        return last


class SlotCache(Cache):
    """Keys and values of many episodes; rows grow by doubling, are truncated, copied, released and reused.

    Args:
        device: where the model is.
        dtype: of keys, values and attention. float32 is the fastest on a CPU also under bfloat16 weights.
        capacity: tokens a slot holds at first; None is 256 on an accelerator, and 2,048 on a CPU, whose memory is
            only taken where it is written.
        is_gathered: attend to all rows at once, over gathered and padded slots, when each brings a single token:
            faster where launching a kernel costs more than copying (accelerators).
    """

    def __init__(
        self, *, device: torch.device, dtype: torch.dtype, capacity: int | None = None, is_gathered: bool | None = None
    ) -> None:
        super().__init__(layers=[])
        self.device, self.dtype = device, dtype
        self.is_gathered = device.type != "cpu" if is_gathered is None else is_gathered
        self.lengths = np.zeros(0, dtype=np.int64)
        if capacity is None:
            capacity = 2048 if device.type == "cpu" else 256
        self.tokens = np.zeros((0, capacity), dtype=np.int64)
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._free: list[int] = []
        self._packing: Packing | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Slots and tokens a slot holds, `(S, C)`."""
        return self.tokens.shape[0], self.tokens.shape[1]

    def acquire(self) -> int:
        """Give an empty slot."""
        if not self._free:
            count, capacity = self.shape
            self._resize(max(8, 2 * count), capacity)
            self._free = list(range(max(8, 2 * count) - 1, count - 1, -1))
        return self._free.pop()

    def release(self, slot: int) -> None:
        """Take a slot back; its content is dropped."""
        if slot in self._free or not 0 <= slot < self.shape[0]:
            raise ValueError(f"expected a slot in use below {self.shape[0]}, got {slot}; release each slot once")
        self.lengths[slot] = 0
        self._free.append(slot)
        if len(self._free) == self.shape[0]:
            # slots are given in the same order after every batch of episodes, so that a resumed run repeats it exactly
            self._free.sort(reverse=True)

    def common_prefix(self, slot: int, ids: np.ndarray) -> int:
        """Count the leading tokens of `ids` that the slot holds already."""
        length = min(int(self.lengths[slot]), len(ids))
        differs = np.flatnonzero(self.tokens[slot, :length] != ids[:length])
        return int(differs[0]) if differs.size else length

    def truncate(self, slot: int, length: int) -> None:
        """Keep the first `length` tokens of a slot."""
        if not 0 <= length <= self.lengths[slot]:
            held = self.lengths[slot]
            raise ValueError(f"expected a length up to the {held} tokens that slot {slot} holds, got {length}")
        self.lengths[slot] = length

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int, *, start: int = 0) -> None:
        """Let `target` hold the first `length` tokens of `source`, whose first `start` it holds already."""
        for store in (*self._keys, *self._values):
            store[target, :, start:length] = store[source, :, start:length]
        self.tokens[target, start:length] = self.tokens[source, start:length]
        self.lengths[target] = length

    @torch.inference_mode()
    def pack(self, slots: Sequence[int], ids: Sequence[Sequence[int]]) -> Packing:
        """Lay out a forward pass that appends `ids[r]` (at least one token) to `slots[r]`, and make room for it."""
        count = tuple(len(row) for row in ids)
        if len(set(slots)) != len(slots) or 0 in count:
            raise ValueError(f"expected distinct slots and at least one token a row, got slots {slots}, tokens {count}")
        past = tuple(int(length) for length in self.lengths[list(slots)])
        needed = max(p + c for p, c in zip(past, count, strict=True))
        rows, capacity = self.shape
        if needed > capacity:
            self._resize(rows, max(needed, 2 * capacity))
        for slot, p, c, row in zip(slots, past, count, ids, strict=True):
            self.tokens[slot, p : p + c] = row
        positions = np.concatenate([np.arange(p, p + c) for p, c in zip(past, count, strict=True)])
        is_together = self.is_gathered and max(count) == 1
        self._packing = Packing(
            cache=self,
            slots=tuple(slots),
            past=past,
            count=count,
            start=tuple(accumulate(count, initial=0))[:-1],
            slot_T=torch.from_numpy(np.repeat(np.array(slots), count)).to(self.device),
            position_T=torch.from_numpy(positions).to(self.device),
            masks=() if is_together else tuple(self._mask(p, c) for p, c in zip(past, count, strict=True)),
            mask_R11W=self._mask_together(past) if is_together else None,
        )
        return self._packing

    def commit(self, packing: Packing) -> None:
        """Count the tokens of a forward pass that has succeeded."""
        self.lengths[list(packing.slots)] = np.array(packing.past) + np.array(packing.count)
        self._packing = None

    def input_ids(self, packing: Packing) -> torch.Tensor:
        """Return the packed ids, `(1, T)`."""
        spans = zip(packing.slots, packing.past, packing.count, strict=True)
        flat = np.concatenate([self.tokens[slot, p : p + c] for slot, p, c in spans])
        return torch.from_numpy(flat)[None].to(self.device)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new keys and values `(1, K, T, D)` of a layer; return them as they came."""
        packing = self._packing
        if packing is None:
            raise RuntimeError("expected `pack` before a forward pass on a SlotCache")
        if len(self._keys) <= layer_idx:
            self._keys.append(self._allocate(key_states))
            self._values.append(self._allocate(value_states))
        where = (packing.slot_T, packing.position_T)
        self._keys[layer_idx].transpose(1, 2)[where] = key_states[0].transpose(0, 1).to(self.dtype)
        self._values[layer_idx].transpose(1, 2)[where] = value_states[0].transpose(0, 1).to(self.dtype)
        return key_states, value_states

    def layer(self, layer_idx: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's keys and values, `(S, K, C, D)`."""
        return self._keys[layer_idx], self._values[layer_idx]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the longest row's length; positions are passed explicitly, so that no model needs it."""
        return int(self.lengths.max(initial=0))

    def _mask(self, past: int, count: int) -> torch.Tensor | None:
        if count == 1:
            return None
        query = torch.arange(past, past + count, device=self.device)[:, None]
        key = torch.arange(past + count, device=self.device)[None]
        return torch.zeros(count, past + count, dtype=self.dtype, device=self.device).masked_fill_(
            key > query, float("-inf")
        )

    def _mask_together(self, past: tuple[int, ...]) -> torch.Tensor:
        last = torch.tensor(past, device=self.device)[:, None]
        return (torch.arange(max(past) + 1, device=self.device)[None] <= last)[:, None, None]

    def _allocate(self, states: torch.Tensor) -> torch.Tensor:
        rows, capacity = self.shape
        return self._store(rows, states.shape[1], capacity, states.shape[3])

    def _store(self, rows: int, heads: int, capacity: int, width: int) -> torch.Tensor:
        """Make room; gathered attention multiplies what it masks by 0, so that there it has to hold numbers."""
        make = torch.zeros if self.is_gathered else torch.empty
        return make(rows, heads, capacity, width, dtype=self.dtype, device=self.device)

    def _resize(self, rows: int, capacity: int) -> None:
        count, length = self.shape
        used = [(slot, int(self.lengths[slot])) for slot in np.flatnonzero(self.lengths)]
        for stores in (self._keys, self._values):
            for index, store in enumerate(stores):
                grown = self._store(rows, store.shape[1], capacity, store.shape[3])
                for slot, held in used:  # a whole copy would write, and so take, memory that nothing lies in
                    grown[slot, :, :held] = store[slot, :, :held]
                stores[index] = grown
        tokens = np.zeros((rows, capacity), dtype=np.int64)
        tokens[:count, :length] = self.tokens
        self.tokens = tokens
        self.lengths = np.concatenate([self.lengths, np.zeros(rows - count, dtype=np.int64)])
