"""`CausalLM`: a transformers causal model as a trainable policy.

A turn is rendered, decoded with all others of the batch, and read back as a decision with its ledger. What a
decision is drawn from depends on its own context and seed alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from policies.causal_lm.checkpoint import PolicyRecord, restore_checkpoint, save_checkpoint
from policies.causal_lm.decode import Decoded, Decoder, Request
from policies.causal_lm.prompt import Prompt, Renderer
from policies.causal_lm.weights import DecodingWeights
from sage_gym.types import Candidate, Context, Decision, Ledger, StopReason, Turn

__all__ = ["CausalLM", "ForecastHead", "RestartingRenderer"]


class ForecastHead(Protocol):
    """What the policy uses of a meta-cognition head (a `torch.nn.Module`)."""

    def read_openings(self, embeddings: torch.nn.Module, openings: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return what tells the words `(B, H)` that each sequence opened with."""
        ...

    def p_fail(
        self, hidden_BH: torch.Tensor, opening_BH: torch.Tensor, place: Literal["before", "after"]
    ) -> torch.Tensor:
        """Return calibrated probabilities `(B)` that the episode will fail."""
        ...

    def save(self, path: Path) -> None:
        """Write the head's weights to a file."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take over weights."""
        ...


@runtime_checkable
class RestartingRenderer(Protocol):
    """A renderer that can begin anew when a sequence would outgrow the model."""

    def restart(self, context: Context, most: int) -> Prompt | None:
        """Return a prompt of at most `most` ids that continues nothing; None where that cannot be."""
        ...


class CausalLM:
    """A causal language model that acts.

    Args:
        model: with its language-model head; PEFT-wrapped or not.
        tokenizer: the one the renderer encodes with.
        renderer: turns contexts into prompts.
        head: a meta-cognition head; then decisions carry forecasts.
        temperature: of sampling; 0 takes the likeliest id, and the ledger's log-probabilities are those at 1.
        restricted: None leaves it to the renderer whether only admissible actions may be sampled; False lifts its
            restriction; True insists on a renderer that restricts.
        dtype: decode with a copy of the weights in this type; None decodes with the model itself.
        device: where the model is moved to.
        name: for records.
        max_rows: decisions decoded at a time.

    Raises:
        ValueError: an unsupported model, a temperature below 0, or `restricted=True` with a renderer that is not.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        renderer: Renderer,
        *,
        head: torch.nn.Module | None = None,
        temperature: float = 1.0,
        restricted: bool | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        name: str = "causal_lm",
        max_rows: int = 256,
    ) -> None:
        if temperature < 0:
            raise ValueError(f"expected a temperature of 0 (greedy) or more, got {temperature}")
        if restricted and not getattr(renderer, "restricted", True):
            raise ValueError(f"expected a restricted renderer, got {type(renderer).__name__}; give it restricted=True")
        self._model = model if device is None else cast(PreTrainedModel, model.to(device))  # type: ignore[arg-type]
        self._head = head if head is None or device is None else head.to(device)
        self._tokenizer, self._name = tokenizer, name
        self.renderer, self.temperature, self.restricted = renderer, temperature, restricted
        self._weights = DecodingWeights(self._model, dtype)
        self._decoder = Decoder(self._weights.model, temperature=temperature, max_rows=max_rows)
        self._longest = getattr(self._weights.source.config, "max_position_embeddings", None) or 2**31

    @property
    def name(self) -> str:
        """A short name for records."""
        return self._name

    @property
    def model(self) -> PreTrainedModel:
        """The model as it is trained, whatever type it is decoded in."""
        return self._model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the ledger's ids."""
        return self._tokenizer

    @property
    def head(self) -> torch.nn.Module | None:
        """The meta-cognition head, when there is one."""
        return self._head

    @head.setter
    def head(self, head: torch.nn.Module | None) -> None:
        self._head = head

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        """Return one decision for each context, in order.

        Several contexts of one episode are candidates for the same turn: their prompt is read once.

        Raises:
            ValueError: a turn that a prompt continues has no ledger.
        """
        if self._weights.refresh():
            self._decoder.clear()
        requests = [self._request(context) for context in contexts]
        runnable = [request for request in requests if request is not None]
        decoded = self._decoder.decode(runnable, has_after=self._head is not None)
        openings = [
            _opening(context.turns, request) for context, request in zip(contexts, requests, strict=True) if request
        ]
        before, after = self._forecast(decoded, openings)
        done = iter(zip(decoded, before, after, strict=True))
        decisions = []
        for context, request in zip(contexts, requests, strict=True):
            if request is None:
                decisions.append(Decision(text="", action="", stop=StopReason.EPISODE_TOKENS))
            else:
                decisions.append(self._decide(context, request, *next(done)))
        return decisions

    def foresee(self, contexts: Sequence[Context]) -> list[float]:
        """Return p_fail before anything is sampled, one for each context, from its prompt alone.

        Raises:
            ValueError: the policy has no head.
        """
        if self._head is None:
            raise ValueError("expected a meta-cognition head to forecast with; load the policy with one")
        forecasts: list[float] = []
        for first in range(0, len(contexts), self._decoder.max_rows):
            chunk = contexts[first : first + self._decoder.max_rows]
            passing = {context.episode for context in chunk} - self._decoder.episodes
            decisions = self.act([replace(context, turn_tokens=1) for context in chunk])
            self.release(passing)
            forecasts += [float(decision.p_fail_before or 0.0) for decision in decisions]
        return forecasts

    def with_decoding(self, *, temperature: float, restricted: bool) -> CausalLM:
        """Return a policy on the same weights that decodes otherwise; it has slots of its own."""
        renderer = self.renderer
        if is_dataclass(renderer) and getattr(renderer, "restricted", restricted) != restricted:
            renderer = cast(Renderer, replace(renderer, restricted=restricted))
        return CausalLM(
            self._model,
            self._tokenizer,
            renderer,
            head=self._head,
            temperature=temperature,
            restricted=restricted,
            dtype=self._weights.dtype,
            name=self._name,
            max_rows=self._decoder.max_rows,
        )

    def restore(self, folder: Path) -> None:
        """Take over weights and head from a folder that `save` wrote, in place.

        Raises:
            CheckpointError: the folder holds another architecture, or is damaged.
        """
        restore_checkpoint(folder, self._model, cast("ForecastHead | None", self._head))
        self.refresh()

    def release(self, episodes: Iterable[str]) -> None:
        """Forget what was kept for these episodes."""
        self._decoder.release(episodes)

    def refresh(self) -> None:
        """Take over changed weights now, and forget every episode; `act` also notices by itself."""
        self._weights.refresh()
        self._decoder.clear()

    def save(self, folder: Path) -> None:
        """Write weights, tokenizer, head and `policy.json` into `folder`, all or nothing."""
        record = PolicyRecord(
            name=self._name,
            prompt=str(getattr(self.renderer, "preset", "compact")),
            temperature=self.temperature,
            restricted=bool(getattr(self.renderer, "restricted", False)) and self.restricted is not False,
            has_head=self._head is not None,
        )
        save_checkpoint(folder, self._model, self._tokenizer, cast("ForecastHead | None", self._head), record)

    def _request(self, context: Context) -> Request | None:
        """Render a context; None where no token may be sampled any more."""
        prompt = self.renderer.render(context)
        history = _held(context.turns) if prompt.is_continuation else ()
        wanted = min(prompt.max_tokens, context.turn_tokens, context.episode_tokens_left)
        room = self._longest - len(history) - len(prompt.ids)
        if room < wanted and isinstance(self.renderer, RestartingRenderer):
            again = self.renderer.restart(context, self._longest - wanted)
            if again is not None:
                prompt, history, room = again, (), self._longest - len(again.ids)
        limit = min(wanted, room)
        if limit < 1:
            return None
        if self.restricted is False:
            prompt = replace(prompt, restriction=None)
        return Request(context.episode, history, prompt, context.seed, limit)

    @torch.inference_mode()
    def _forecast(
        self, decoded: Sequence[Decoded], openings: Sequence[tuple[int, ...]]
    ) -> tuple[list[float | None], list[float | None]]:
        """Return p_fail before and after each decision; None without a head."""
        if self._head is None or not decoded:
            return [None] * len(decoded), [None] * len(decoded)
        head = cast(ForecastHead, self._head)
        before_BH = torch.stack([d.hidden_before_H for d in decoded]).float()
        after_BH = torch.stack([d.hidden_after_H for d in decoded if d.hidden_after_H is not None]).float()
        opening_BH = head.read_openings(self._model.get_input_embeddings(), openings)
        return head.p_fail(before_BH, opening_BH, "before").tolist(), head.p_fail(
            after_BH, opening_BH, "after"
        ).tolist()

    def _decide(
        self, context: Context, request: Request, decoded: Decoded, before: float | None, after: float | None
    ) -> Decision:
        prompt = request.prompt
        reading = prompt.read(decoded.sampled_ids)
        ledger = Ledger(
            prompt_ids=prompt.ids,
            sampled_ids=decoded.sampled_ids,
            logprobs=decoded.logprobs,
            mask=decoded.mask,
            allowed=decoded.allowed,
            is_continuation=prompt.is_continuation,
            temperature=self.temperature or 1.0,
        )
        greedy: dict[str, Any] = {} if self.temperature else {"is_greedy": True}
        return Decision(
            text=reading.text,
            action=reading.action,
            plan=reading.plan,
            ledger=ledger,
            p_fail_before=before,
            p_fail=after,
            entropy=decoded.entropy,
            candidates=tuple(_candidate(prompt, decoded.forced, *top) for top in decoded.top),
            stop=None if decoded.is_stopped else _stop_reason(context, request),
            notes={**prompt.notes, **greedy},
        )


def _stop_reason(context: Context, request: Request) -> StopReason:
    """Name the budget that a decision ran into."""
    turn = min(request.prompt.max_tokens, context.turn_tokens)
    return StopReason.TURN_TOKENS if request.limit == turn else StopReason.EPISODE_TOKENS


def _candidate(prompt: Prompt, forced: tuple[int, ...], token: int, logprob: float) -> Candidate:
    """Read the action that a first token leads to, as far as nothing else is open behind it."""
    ids = (*forced, token)
    while prompt.restriction is not None and ids[-1] not in prompt.stop_ids and len(ids) < prompt.max_tokens:
        allowed = prompt.restriction.allowed(ids)
        if allowed is None or len(allowed) > 1:
            break
        ids += allowed
    return Candidate(action=prompt.read(ids).action, logprob=logprob)


def _opening(turns: Sequence[Turn], request: Request) -> tuple[int, ...]:
    """Return the prompt that the decision's sequence began with."""
    if request.history:
        for turn in reversed(turns):
            ledger = turn.decision.ledger
            if ledger is not None and not ledger.is_continuation:
                return ledger.prompt_ids
    return request.prompt.ids


def _held(turns: Sequence[Turn]) -> tuple[int, ...]:
    """Return the ids of the sequence that the last decision ended."""
    parts: list[tuple[int, ...]] = []
    for turn in reversed(turns):
        ledger = turn.decision.ledger
        if ledger is None:
            break
        parts.append(ledger.prompt_ids + ledger.sampled_ids)
        if not ledger.is_continuation:
            return tuple(token for part in reversed(parts) for token in part)
    raise ValueError(
        f"expected a ledger for every turn back to the one that began the sequence, got {len(turns)} turns, the last "
        f"{len(parts)} with one; a prompt that follows a turn without ledger must start anew"
    )
