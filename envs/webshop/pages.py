"""What a page shows: text, buttons and short choices, made once a product and shared by every environment.

Source of the wording: princeton-nlp/WebShop, `web_agent_site/templates/*.html` as BeautifulSoup's text nodes give
them in `web_agent_site/envs/web_agent_text_env.py` (`convert_html_to_text`). No HTML is made: a text node that is
empty is not there, one of blanks only shows as the empty string, or not at all where a newline is among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from envs.webshop.catalog import Product
from sage_gym.types import Choice

__all__ = [
    "BACK",
    "BUY",
    "NEXT",
    "PAGE_SIZE",
    "PREVIOUS",
    "QUERY_TEMPLATE",
    "SEARCH",
    "SUB_PAGES",
    "ProductPage",
    "build_page",
    "done_nodes",
    "join",
    "join_rich",
    "rich_item",
    "rich_listing",
    "sub_nodes",
    "visible",
]

PAGE_SIZE = 10
SEPARATOR = " [SEP] "
SEARCH, BUY, NEXT, PREVIOUS, BACK = "search", "buy now", "next >", "< prev", "back to search"
SUB_PAGES = ("description", "features", "reviews", "attributes")
BLANKS = " \n\t\f\r"
RATING = "Rating: N.A."
QUERY_TEMPLATE = "search[<your query>]"


@dataclass(frozen=True, slots=True)
class ProductPage:
    """One product's fragments.

    `listing` is its part of a results page, `item` the item page below the instruction. `buttons` are upstream's
    clickables in upstream's order, `actions` as actions, with the search template last. `groups` gives the options that
    a value belongs to. `button` and `listed_as` are its link on a results page.
    """

    product: Product
    position: int
    listing: str
    item: str
    buttons: tuple[str, ...]
    actions: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    subs: tuple[str, ...]
    button: str
    choices: tuple[Choice, ...]
    listed_as: Choice

    def group_of(self, value: str, chosen: Mapping[str, str]) -> str:
        """Return the option that clicking `value` sets: the last that has it, as upstream, or one not set to it yet."""
        groups = self.groups[value]
        return next((group for group in reversed(groups) if chosen.get(group) != value), groups[-1])


def visible(text: str) -> tuple[str, ...]:
    """Return the text node that upstream's HTML parser makes of `text`, if any."""
    if not text:
        return ()
    if text.strip(BLANKS):
        return (text,)
    return () if "\n" in text else (" ",)


def join(nodes: Iterable[str]) -> str:
    """Join text nodes as the text mode does."""
    return SEPARATOR.join(node.strip() for node in nodes)


def join_rich(nodes: Iterable[str]) -> str:
    """Join text nodes as the rich mode does, one a line."""
    return "".join(f"{node}\n" for node in nodes)


def build_page(product: Product, position: int, *, has_attributes: bool) -> ProductPage:
    """Make a product's fragments."""
    subs = SUB_PAGES if has_attributes else SUB_PAGES[:3]
    values = [(value, name) for name, held in product.options for value in held]
    buttons = tuple(dict.fromkeys([BACK, PREVIOUS, *subs, BUY, *(value for value, _ in values)]))
    groups: dict[str, tuple[str, ...]] = {}
    for value, name in values:
        groups[value] = (*groups.get(value, ()), name)
    named = [(BUY, BUY), (PREVIOUS, "prev"), (BACK, BACK), *((sub, sub) for sub in subs)]
    reserved = {button for button, _ in named}
    options = ((value, f"{held[-1]}: {value}") for value, held in groups.items() if value and value not in reserved)
    asin = product.asin.lower()
    return ProductPage(
        product=product,
        position=position,
        listing=join(_listing_nodes(product)),
        item=join(_item_nodes(product, subs)),
        buttons=buttons,
        actions=(*(f"click[{button}]" for button in buttons if button), QUERY_TEMPLATE),
        groups=groups,
        subs=subs,
        button=asin,
        choices=tuple(Choice(f"click[{button}]", text) for button, text in (*named, *options)),
        listed_as=Choice(f"click[{asin}]", f"{product.title} {product.price_tag}"),
    )


def _listing_nodes(product: Product) -> Iterator[str]:
    for text in (product.asin, product.title, product.price_tag):
        yield from visible(text)


def _item_nodes(product: Product, subs: tuple[str, ...]) -> Iterator[str]:
    yield from ("Back to Search", "< Prev")
    for name, values in product.options:
        for text in (name, *values):
            yield from visible(text)
    yield from visible(product.title)
    yield from (f"Price: {product.price_tag}", RATING, *(sub.capitalize() for sub in subs), "Buy Now")


def sub_nodes(product: Product, sub: str) -> list[str]:
    """List the text nodes of a sub-page below its buttons."""
    if sub == "description":
        return list(visible(product.description))
    if sub == "features":
        return [node for bullet in product.bullets for node in visible(f" {bullet}")]
    if sub == "attributes":
        lines = [f" {attribute}" for attribute in product.attributes]
        return [
            node
            for text in (*lines, product.category, product.query, product.product_category)
            for node in visible(text)
        ]
    return []


def rich_listing(product: Product, *, is_visited: bool) -> list[str]:
    """List a product's lines on a results page of the rich mode."""
    mark = "clicked button" if is_visited else "button"
    return [f"\n[{mark}] {product.asin} [{mark}_]", *visible(product.title), *visible(product.price_tag)]


def rich_item(product: Product, subs: tuple[str, ...], url: str) -> tuple[list[str], list[str]]:
    """List the lines of an item page of the rich mode, and the notices of chosen options that stand above it.

    As upstream, an option counts as chosen when its value in double quotes is part of the page's address.
    """
    lines, notices = ["[button] Back to Search [button_]", "[button] < Prev [button_]"], []
    for name, values in product.options:
        lines.extend(visible(name))
        for value in (node for text in values for node in visible(text)):
            is_chosen = f'"{value}"' in url
            mark = "clicked button" if is_chosen else "button"
            lines.append(f"  [{mark}] {value} [{mark}_]")
            if is_chosen:
                notices.append(f"You have clicked {value}.")
    lines += [*visible(product.title), f"Price: {product.price_tag}", RATING]
    lines += [f"[button] {name} [button_]" for name in (*(sub.capitalize() for sub in subs), "Buy Now")]
    return lines, notices[::-1]


def done_nodes(asin: str, options: Mapping[str, str], reward: float) -> list[str]:
    """List the text nodes of the page after a purchase; the empty fields are upstream's."""
    chosen = json.dumps(options, sort_keys=True)
    for mark, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027")):
        chosen = chosen.replace(mark, code)
    nothing = "None"
    purchased = ["Purchased", "asin", asin, "options", chosen, "attrs", nothing, "category", nothing]
    purchased += ["query", nothing, "product category", nothing]
    target = ["Target", "asin", "options", "attrs", "price upper", "instuction text", "category"]
    target += ["product category", "query", "Goal ", nothing]
    score = ["Reward", "Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", nothing]
    thanks = ["Thank you for shopping with us!", "Your code: ", nothing, " (Paste it in your MTurk interface.)"]
    return [*thanks, *purchased, *target, *score]
