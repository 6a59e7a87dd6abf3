"""One shopper's state and moves: the page that is open, what was found, what was chosen.

Source: princeton-nlp/WebShop, `web_agent_site/envs/web_agent_text_env.py` (`WebAgentTextEnv.step`,
`SimServer.receive`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from envs.webshop.goals import Goal
from envs.webshop.pages import (
    BACK,
    BUY,
    NEXT,
    PAGE_SIZE,
    PREVIOUS,
    QUERY_TEMPLATE,
    SEARCH,
    SUB_PAGES,
    ProductPage,
    sub_nodes,
)
from envs.webshop.reward import Purchase, Rules, score_purchase
from envs.webshop.store import RESULT_COUNT, Store
from sage_gym.types import Choice, View

__all__ = ["Session"]

ACTION = re.compile(r"(.+)\[(.+)\]")
ADDRESS = "http://127.0.0.1:3000"
NEWS_LENGTH = 300
FREE = ("search[",)
NEXT_CHOICE = Choice("click[next >]", "next page")
PREVIOUS_CHOICE = Choice("click[< prev]", "previous page")
BACK_CHOICE = Choice("click[back to search]", "back to search")
SUB_CHOICES = (Choice("click[< prev]", "prev"), BACK_CHOICE)
PageName = Literal["index", "results", "item", "sub", "done"]


@dataclass(slots=True)
class Session:
    """Mutable, one an episode. `found` are product positions, `shown` the products of the open results page."""

    store: Store
    goal: Goal
    rules: Rules
    page: PageName = "index"
    query: str = ""
    number: int = 1
    found: list[int] = field(default_factory=list)
    shown: list[ProductPage] = field(default_factory=list)
    item: ProductPage | None = None
    sub: str = ""
    news: str = ""
    message: str = ""
    options: dict[str, str] = field(default_factory=dict)
    visited: set[str] = field(default_factory=set)
    purchase: Purchase | None = None

    def act(self, action: str) -> None:
        """Carry out an action; `message` then says why it is invalid, or is empty."""
        match = ACTION.match(action)
        name, argument = (match.group(1), match.group(2).lower()) if match else ("", "")
        self.message = ""
        if name == SEARCH:
            self._search(argument)
        elif name != "click":
            self.message = f"expected search[words] or click[button], got {action[:80]!r}"
        elif argument == SEARCH or argument not in self.buttons():
            self.message = f"expected a button of this page, got {argument[:80]!r}; {self._button_words()}"
        else:
            self._click(argument)

    def buttons(self) -> tuple[str, ...]:
        """List upstream's clickables."""
        if self.page == "index":
            return (SEARCH,)
        if self.page == "item" and self.item:
            return self.item.buttons
        if self.page == "sub":
            return (BACK, PREVIOUS)
        if self.page == "done":
            return ()
        turns = (PREVIOUS, NEXT) if self.number > 1 else (NEXT,)
        return (BACK, *turns, *(page.button for page in self.shown))

    def actions(self) -> tuple[str, ...]:
        """List what may be done, a template standing for every search."""
        if self.page == "item" and self.item:
            return self.item.actions
        if self.page == "results":
            return (*(page.listed_as.action for page in self.shown), *self._turn_actions(), QUERY_TEMPLATE)
        if self.page == "sub":
            return (SUB_CHOICES[0].action, SUB_CHOICES[1].action, QUERY_TEMPLATE)
        return (QUERY_TEMPLATE,) if self.page == "index" else ()

    @property
    def address(self) -> str:
        """The page's address as upstream has it, with the goal's index for a session."""
        words = self.query.replace(" ", "+")
        asin = self.item.product.asin if self.item else ""
        place = f"{self.goal.index}/{asin}/{words}/{self.number}"
        return {
            "index": f"{ADDRESS}/{self.goal.index}",
            "results": f"{ADDRESS}/search_results/{self.goal.index}/{words}/{self.number}",
            "item": f"{ADDRESS}/item_page/{place}/{json.dumps(self.options)}",
            "sub": f"{ADDRESS}/item_sub_page/{place}/{self.sub.capitalize()}/{self.options}",
            "done": f"{ADDRESS}/done/{self.goal.index}/{asin}/{self.options}",
        }[self.page]

    def view(self) -> View:
        """Give the state in brief: page key, news, and every admissible click with a short text."""
        news = "invalid" if self.message else self.news
        if self.page == "index":
            return View("index", news, (), FREE)
        if self.page == "results":
            turns = (NEXT_CHOICE, PREVIOUS_CHOICE, BACK_CHOICE) if self.number > 1 else (NEXT_CHOICE, BACK_CHOICE)
            choices = (*(page.listed_as for page in self.shown), *turns)
            return View(f"results:{self.query}:{self.number}", news, choices, FREE)
        if self.item is None or self.page == "done":
            return View("done", f"score {self.purchase.reward:.3g}" if self.purchase else "")
        asin = self.item.product.asin
        if self.page == "item":
            return View(f"item:{asin}", news, self.item.choices, FREE)
        return View(f"sub:{asin}:{self.sub}", news, SUB_CHOICES, FREE)

    def _turn_actions(self) -> tuple[str, ...]:
        turns = (NEXT_CHOICE, PREVIOUS_CHOICE, BACK_CHOICE) if self.number > 1 else (NEXT_CHOICE, BACK_CHOICE)
        return tuple(choice.action for choice in turns)

    def _button_words(self) -> str:
        buttons = [button for button in self.buttons() if button != SEARCH]
        shown = ", ".join(buttons[:12]) + (", …" if len(buttons) > 12 else "")
        return f"its buttons are {shown}" if buttons else "it has none, so search first"

    def _click(self, button: str) -> None:
        if button == BUY:
            self._buy()
        elif button == BACK:
            self._go_back()
        elif button in (NEXT, PREVIOUS) and self._address_page() == "results":
            self._turn_to(self.number + 1 if button == NEXT else self.number - 1)
        elif button == PREVIOUS and self._address_page() == "item":
            self._turn_to(self.number)
        elif button in SUB_PAGES:
            self._open_sub(button)
        else:
            self._open_item(button)

    def _go_back(self) -> None:
        self.page, self.query, self.number = "index", "", 1
        self.found, self.shown, self.item, self.news = [], [], None, ""
        self.options, self.visited = {}, set()

    def _search(self, query: str) -> None:
        self.query = query
        if query.split(" ", 1)[0] == "<r>":
            drawn = np.random.default_rng(self.goal.index).permutation(len(self.store.products))
            self.found = drawn[:RESULT_COUNT].tolist()
        else:
            self.found = self.store.search(query)
        self._turn_to(1)

    def _turn_to(self, number: int) -> None:
        self.page, self.number = "results", number
        self.item, self.options = None, {}
        start = (number - 1) * PAGE_SIZE
        self.shown = [self.store.page(p) for p in self.found[start : start + PAGE_SIZE]] if number > 0 else []
        self.news = f"page {number}" if self.found else "no results"

    def _open_item(self, button: str) -> None:
        if self.page == "results":
            self.item = next(page for page in self.shown if page.button == button)
            self.visited.add(self.item.product.asin)
        if self.item is None:
            raise LookupError(f"expected an open item for {button!r}, got page {self.page}")
        if self.page == "item":
            group = self.item.group_of(button, self.options if self.rules == "fixed" else {})
            self.options[group] = button
            self.news = f"chosen {group}: {button}"
        else:
            self.news = f"price {self.item.product.price_tag}"
        self.page = "item"

    def _open_sub(self, button: str) -> None:
        self.page, self.sub = "sub", button
        if self.item:
            self.news = " ".join(node.strip() for node in sub_nodes(self.item.product, button))[:NEWS_LENGTH]

    def _buy(self) -> None:
        if self.item is None:
            raise LookupError(f"expected an open item to buy, got page {self.page}")
        bought, wanted = self.item.product, self.store.products[self.goal.position]
        self.purchase = score_purchase(
            bought,
            wanted,
            self.goal,
            price=float(self.store.prices[self.item.position]),
            options=self.options,
            nouns=(self.store.nouns(bought), self.store.nouns(wanted)),
            rules=self.rules,
        )
        self.page = "done"

    def _address_page(self) -> str:
        """Which page upstream takes the open one for: it looks for a page's name anywhere in the address."""
        if self.page == "results" or "search_results" in self.query:
            return "results"
        return "item" if self.page == "item" or "item_page" in self.query else self.page
