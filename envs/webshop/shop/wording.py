"""Words for a product: title, bullets, description and instruction, in the shapes that shop listings have.

A title names some of the attributes only; the rest stand in bullets, in the description, or nowhere but in the
attribute list, so that a buyer has to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from envs.webshop.shop.family import Attribute, Phrasing
from envs.webshop.shop.product import Draft

__all__ = ["Listing", "write_listing"]

SMALL_WORDS = frozenset({"a", "and", "as", "at", "by", "for", "in", "of", "on", "or", "the", "to", "with"})


@dataclass(frozen=True, slots=True)
class Listing:
    """The texts of a product. `instruction` is empty where nothing is asked for."""

    title: str
    bullets: tuple[str, ...]
    description: str
    instruction: str


def write_listing(draft: Draft, phrasing: Phrasing, rng: Random) -> Listing:
    """Put words to a product."""
    return Listing(
        title=_title(draft, rng),
        bullets=_bullets(draft, phrasing, rng),
        description=_description(draft, phrasing, rng),
        instruction=_instruction(draft),
    )


def titled(text: str) -> str:
    """Capitalise as titles do: `leak proof` becomes `Leak Proof`, small words stay."""
    words = text.split(" ")
    return " ".join(w if at and w in SMALL_WORDS else w[:1].upper() + w[1:] for at, w in enumerate(words))


def _title(draft: Draft, rng: Random) -> str:
    """Join brand, attributes, type, features and a variant until a drawn length (60 to 180 characters) is reached."""
    share = rng.uniform(*draft.family.shelf.titled)
    named = [attribute for attribute in draft.attributes if rng.random() < share]
    before = [titled(a.text) for a in named if a.role == "plain"]
    after = [f"{'with' if a.role == 'with' else 'for'} {titled(a.text)}" for a in named if a.role != "plain"]
    head = [draft.brand, *([draft.model] * (rng.random() < 0.18)), *before[:2], draft.noun]
    tail = [*before[2:], *draft.extras]
    rng.shuffle(tail)
    text = " ".join([*head, *after[:1]])
    length = rng.triangular(60, 180, 105)
    separator = rng.choices((", ", " - ", " | ", "; ", " "), weights=(56, 18, 8, 4, 14))[0]
    for segment in [*after[1:], *tail]:
        if len(text) + len(segment) > length and len(text) >= 60:
            break
        text += separator + segment
    variant = _variant(draft, rng)
    return text + variant if len(text) + len(variant) <= 200 else text


def _variant(draft: Draft, rng: Random) -> str:
    """Name one of the options at the end, as many listings do: ` - Navy`, ` (Large)`, `, 2 Pack, Blue`."""
    values = [rng.choice(offer.values) for offer in draft.offers if offer.values]
    if not values or rng.random() < 0.6:
        return ""
    shape = rng.random()
    if shape < 0.4:
        return f" ({values[0]})"
    return f" - {values[-1]}" if shape < 0.7 else ", " + ", ".join(values[:2])


def _fill(template: str, draft: Draft, rng: Random, attribute: Attribute | None = None) -> str:
    text = attribute.text if attribute else ""
    return template.format(
        a=text,
        A=titled(text),
        noun=draft.noun.lower(),
        extra=rng.choice(draft.extras),
        brand=draft.brand,
        number=rng.randint(2, 90),
    )


def _state(attributes: Sequence[Attribute], share: float, draft: Draft, phrasing: Phrasing, rng: Random) -> list[str]:
    chosen = [attribute for attribute in attributes if rng.random() < share]
    return [_fill(rng.choice(phrasing.of_role(a.role)), draft, rng, a) for a in chosen]


def _bullets(draft: Draft, phrasing: Phrasing, rng: Random) -> tuple[str, ...]:
    stated = _state(draft.attributes, draft.family.shelf.bullets, draft, phrasing, rng)
    count = min(len(phrasing.filler), rng.randint(1, 3))
    filler = [_fill(text, draft, rng) for text in rng.sample(phrasing.filler, count)]
    bullets = [*stated, *filler]
    rng.shuffle(bullets)
    return tuple(bullet[:1].upper() + bullet[1:] for bullet in bullets)


def _description(draft: Draft, phrasing: Phrasing, rng: Random) -> str:
    """Write a few sentences; one product in six has none, as in the public set."""
    if rng.random() < 1 / 6:
        return ""
    sentences = [_fill(rng.choice(phrasing.opening), draft, rng)]
    sentences += _state(draft.attributes, draft.family.shelf.described, draft, phrasing, rng)
    sentences.append(_fill(rng.choice(phrasing.filler), draft, rng))
    return " ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences)


def _instruction(draft: Draft) -> str:
    """Word what is asked for as upstream's synthetic instructions are: `Find me A, B TYPE with C for D`."""
    if not draft.wanted:
        return ""
    parts = {role: ", ".join(a.text for a in draft.wanted if a.role == role) for role in ("plain", "with", "for")}
    words = ["Find me", parts["plain"], draft.family.query]
    words += [f"with {parts['with']}" if parts["with"] else "", f"for {parts['for']}" if parts["for"] else ""]
    return " ".join(word for word in words if word)
