"""The reward of a purchase.

R = r_type · (n_attributes + n_options + r_price)/(|A| + |O| + 1). r_type is 1 where the products' queries are equal,
two of their categories are shared or more than 0.2 of the goal's title nouns are bought, else 0.5; an overlap below
0.1 makes it 0.1, an overlap of 0 makes it 0. Source: princeton-nlp/WebShop, `web_agent_site/engine/goal.py`, with
thefuzz's `token_set_ratio`.

`rules="upstream"` keeps a fault: a synthetic goal's option is matched as the text of the pair (name, value) and its
colour is normalised only where the whole value is one colour word, while the bought option always is; 458 of the
public set's 6,910 goals cannot reach 1.0 therefore, and one wrong value in twelve is accepted. `rules="fixed"`
compares values under the same name, both normalised; where the bought product offers the wanted value itself, only
that value counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rapidfuzz.fuzz import token_set_ratio
from rapidfuzz.utils import default_process

from envs.webshop.catalog import Product
from envs.webshop.goals import Goal

__all__ = ["SHORTFALLS", "Purchase", "Rules", "normalise_color", "score_purchase"]

Rules = Literal["upstream", "fixed"]
FUZZY_BAR = 85
LATIN_1 = dict.fromkeys(range(128, 256))
COLOR_TEXT = (
    "alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo "
    "caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream "
    "crystal dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather "
    "indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha "
    "multicolor mushroom mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal "
    "rust sand sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise "
    "violet walnut wheat white wine yellow"
)
COLORS = tuple(COLOR_TEXT.split())
SHORTFALLS = {
    "r_type": "what was bought is of another kind than what was asked for",
    "r_att": "it lacks something that was asked for",
    "r_option": "an option was wrong or not chosen",
    "r_price": "its price was above the bound",
}
"""What a component below 1 means to the shopper; for critiques of failed attempts."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase's reward in [0, 1] and its components, named as upstream names them.

    `r_option` and `w_option` are missing where the goal has no options.
    """

    reward: float
    components: Mapping[str, float | bool]


def score_purchase(
    bought: Product,
    wanted: Product,
    goal: Goal,
    *,
    price: float,
    options: Mapping[str, str],
    nouns: tuple[Sequence[str], Sequence[str]],
    rules: Rules = "upstream",
) -> Purchase:
    """Score buying `bought` at `price` dollars with `options` (name → value); `nouns` are (bought's, wanted's)."""
    kind = _type_reward(bought, wanted, *nouns)
    attributes = sum(_has_attribute(bought, attribute) for attribute in goal.attributes)
    matched = _options_matched(bought, goal, options, rules)
    is_cheap = price <= goal.price_upper
    weight = len(goal.attributes) + len(goal.options) + 1
    components = {
        "r_type": kind["r_type"],
        "r_att": attributes / len(goal.attributes) if goal.attributes else 0.0,
        "w_att": len(goal.attributes) / weight,
        "query_match": kind["query_match"],
        "category_match": kind["category_match"],
        "title_score": kind["title_score"],
    }
    if goal.options:
        components |= {"r_option": matched / len(goal.options), "w_option": len(goal.options) / weight}
    components |= {"r_price": is_cheap, "w_price": 1 / weight}
    return Purchase((attributes + matched + is_cheap) / weight * float(kind["r_type"]), components)


def _type_reward(
    bought: Product, wanted: Product, bought_nouns: Sequence[str], wanted_nouns: Sequence[str]
) -> dict[str, float | bool]:
    query_match = bought.query == wanted.query
    category_match = len(_categories(bought) & _categories(wanted)) >= 2
    shared = len(set(bought_nouns) & set(wanted_nouns))
    title_score = shared / len(wanted_nouns) if wanted_nouns else 0.2
    r_type = 1.0 if query_match or category_match or title_score > 0.2 else 0.5
    if title_score < 0.1:
        r_type = 0.1
    if title_score == 0.0:
        r_type = 0.0
    return {
        "r_type": r_type,
        "query_match": query_match,
        "category_match": category_match,
        "title_score": title_score,
    }


def _categories(product: Product) -> set[str]:
    return {part.strip() for part in product.product_category.split("›")}


def _has_attribute(product: Product, attribute: str) -> bool:
    return (
        any(_is_similar(held, attribute) for held in product.attributes)
        or attribute in product.title.lower()
        or attribute in " ".join(product.bullets).lower()
        or attribute in product.description.lower()
    )


def _options_matched(bought: Product, goal: Goal, options: Mapping[str, str], rules: Rules) -> int:
    if rules == "fixed":
        return sum(_is_chosen(bought, name, value, options) for name, value in goal.options)
    chosen = [normalise_color(value) for value in options.values()]
    return sum(any(_is_similar(value, _upstream_text(*wanted)) for value in chosen) for wanted in goal.options)


def _is_chosen(bought: Product, name: str, wanted: str, options: Mapping[str, str]) -> bool:
    chosen = [value for held, value in options.items() if name in ("", held)]
    if any(wanted in values for held, values in bought.options if name in ("", held)):
        return wanted in chosen
    return any(_is_similar(normalise_color(value), normalise_color(wanted)) for value in chosen)


def _upstream_text(name: str, value: str) -> str:
    """What upstream compares with: a pair's Python text, unless one of its two members is a colour word."""
    if not name:
        return normalise_color(value)
    return next((color for color in COLORS if color in (name, value)), str((name, value)))


@lru_cache(maxsize=65_536)
def normalise_color(text: str) -> str:
    """Return the first colour word, in upstream's order, that is part of the text, else the text."""
    return next((color for color in COLORS if color in text), text)


@lru_cache(maxsize=262_144)
def _is_similar(first: str, second: str) -> bool:
    return round(token_set_ratio(_fold(first), _fold(second))) > FUZZY_BAR


@lru_cache(maxsize=65_536)
def _fold(text: str) -> str:
    return default_process(text.translate(LATIN_1))
