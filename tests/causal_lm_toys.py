"""A tiny tokenizer, templates of the common families in brief, and contexts for tests of the causal-LM policy."""

from __future__ import annotations

from functools import cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from policies.causal_lm import CausalLM
from policies.causal_lm.chat import ChatRenderer
from policies.metacognition import MetacognitionHead
from sage_gym.types import Context, Decision, Task, Turn, View

SPECIALS = (
    "<pad>",
    "<|im_start|>",
    "<|im_end|>",
    "<|begin|>",
    "<|header|>",
    "<|/header|>",
    "<|eot|>",
    "<|eos|>",
)
WORDS = "search red shoes click buy now back answer the task admissible actions you see a page price reasoning line"

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMOLLM2 = (
    "{% for m in messages %}"
    "{% if loop.first and m.role != 'system' %}<|im_start|>system\nbe kind<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "<|begin|>{% for m in messages %}<|header|>{{ m.role }}<|/header|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|header|>assistant<|/header|>\n\n{% endif %}"
)
STRIPPING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{{ m.content.split('</reasoning>')[-1].lstrip('\n') }}"
    "{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "chatml": (CHATML, "<|im_end|>"),
    "smollm2": (SMOLLM2, "<|im_end|>"),
    "llama3": (LLAMA3, "<|eot|>"),
    "stripping": (STRIPPING, "<|im_end|>"),
    "no_system": (NO_SYSTEM, "<|im_end|>"),
    "none": (None, "<|eos|>"),
}


@cache
def toy_tokenizer(family: str = "chatml") -> PreTrainedTokenizerFast:
    """A byte-level BPE of 400 ids with the family's template (`none`: no template)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS] * 3, trainer)
    template, _ = TEMPLATES[family]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<|eos|>",
        additional_special_tokens=list(SPECIALS[1:7]),
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = template
    return fast


def toy_model(*, longest: int = 2048, hidden: int = 32, seed: int = 0) -> Qwen2ForCausalLM:
    """A Qwen2 with random weights over the toy tokenizer's ids."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(toy_tokenizer()),
        hidden_size=hidden,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=longest,
        initializer_range=0.2,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=7,
    )
    return Qwen2ForCausalLM(config).eval()


def make_context(
    turns: tuple[Turn, ...] = (),
    *,
    observation: str = "a page",
    episode: str = "e",
    actions: tuple[str, ...] | None = ("click[buy now]", "click[back]"),
    free: tuple[str, ...] = ("search[",),
    seed: int = 0,
    turn_tokens: int = 24,
    episode_tokens_left: int = 1000,
) -> Context:
    """A context of a shop-like environment."""
    return Context(
        episode=episode,
        task=Task("toy/0", "find red shoes", "train", 0, "0", "toy"),
        observation=observation,
        turns=turns,
        seed=seed,
        admissible_actions=actions,
        view=View(page="p", news=observation, free=free),
        turn_tokens=turn_tokens,
        episode_tokens_left=episode_tokens_left,
    )


def make_turn(observation: str, decision: Decision) -> Turn:
    """A turn as the rollout engine records it."""
    return Turn(observation=observation, decision=decision, reward=0.0)


def toy_policy(
    *, preset: str = "plain", is_restricted: bool = True, longest: int = 2048, **options: object
) -> CausalLM:
    renderer = ChatRenderer(toy_tokenizer(), preset, restricted=is_restricted)
    return CausalLM(toy_model(longest=longest), toy_tokenizer(), renderer, **options)  # type: ignore[arg-type]


def toy_head(hidden: int = 32) -> MetacognitionHead:
    torch.manual_seed(1)
    head = MetacognitionHead(hidden)
    for linear in [*head.forecasts.values(), *head.openings.values()]:
        torch.nn.init.normal_(linear.weight)
    return head


def sampled_ids(decisions: list[Decision]) -> list[tuple[int, ...]]:
    return [d.ledger.sampled_ids for d in decisions if d.ledger is not None]
