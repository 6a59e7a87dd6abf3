"""The WebShop environment: one shopper's session over a shared store."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from envs.webshop.goals import Goal
from envs.webshop.pages import (
    BACK,
    BUY,
    NEXT,
    PAGE_SIZE,
    PREVIOUS,
    SEARCH,
    SUB_PAGES,
    ProductPage,
    done_nodes,
    join,
    join_rich,
    rich_item,
    rich_listing,
    sub_nodes,
    visible,
)
from envs.webshop.reward import Purchase, Rules, score_purchase
from envs.webshop.store import Store, open_store
from sage_gym.errors import ConfigError, UnknownNameError
from sage_gym.spaces import UnicodeText
from sage_gym.types import Choice, StopReason, Task, View

__all__ = ["TaskList", "WebShop"]

ACTION = re.compile(r"(.+)\[(.+)\]")
ADDRESS = "http://127.0.0.1:3000"
QUERY_TEMPLATE = "search[<your query>]"
NEWS_LENGTH = 300
MODES = ("text", "text_rich")
RULES = ("upstream", "fixed")
Mode = Literal["text", "text_rich"]


class TaskList(Sequence[Task]):
    """The tasks of one split, made when asked for."""

    def __init__(self, store: Store, split: str) -> None:
        self._store, self._split = store, split
        self._kind, self._indices = store.splits[split].kind, store.splits[split].indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        goal = self._store.goal(self._kind, int(self._indices[at]))
        seed = int(goal.hash[:8], 16)
        return Task(goal.key, goal.instruction, self._split, seed, goal.hash, "webshop", family=goal.asin)


class WebShop(gymnasium.Env[str, str]):
    """Shop for a product that an instruction describes, by search and clicks.

    ## Description
    Pure-Python WebShop over one read-only catalogue that all instances of a process share. With `rules="upstream"`
    every observation, button and reward is upstream's.

    ## Observation space
    Text. `observation_mode="text"`: the page's visible strings joined by ` [SEP] `; `"text_rich"`: one a line,
    buttons in `[button] … [button_]`. `rules="fixed"` adds the chosen options to an item page and an explanation to
    the answer to an invalid action. `view()` gives the state in brief.

    ## Action space
    Text: `search[words]`, on every page, or `click[button]`. Anything else changes nothing.

    ## Rewards
    0 until `click[buy now]`, then upstream's score in [0, 1] (`envs.webshop.reward`).

    ## Starting state
    The search page with the goal's instruction. `reset(options={"task": key})` picks the goal; otherwise it is drawn
    from `split` with `np_random`. In a vector environment one `options` reaches every sub-environment, and autoreset
    drops it: later episodes are drawn.

    ## Episode end
    Terminated by a purchase; truncated after `max_turns` actions (None: never).

    ## Information
    `task` (key), `clickables` and `has_search_bar` as upstream gives them, `admissible_actions`, `invalid_action`,
    `message` (why the last action was invalid, else empty), `success` (reward 1), `stop_reason` (None while it runs)
    and, after a purchase, `reward_components` and `bought`.

    ## Arguments
    catalog: folder with upstream's files, or the product file itself; `world:<name>[:<seed>[:<size>]]` for a generated
        shop; None for the embedded one.
    goals, prices, title_nouns: JSON files, optionally gzipped; without them goals and prices are drawn as upstream
        draws them at seed 0, and nouns come from spaCy where it is installed, else from a fallback.
    split: where `reset` draws from when no task is named; see `envs.webshop.splits` for the names.
    show_attributes: upstream's `show_attrs`, a fourth sub-page.

    ## References
    Yao et al., "WebShop: Towards Scalable Real-World Web Interaction with Grounded Language Agents", arXiv 2207.01206;
    princeton-nlp/WebShop.

    ## Version history
    v0: first.

    Raises:
        ConfigError: an argument is none of its values.
        CatalogError: a file is missing or bad.
        UnknownNameError: there is no such split.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # type: ignore[misc]

    def __init__(
        self,
        catalog: str | None = None,
        goals: str | None = None,
        prices: str | None = None,
        title_nouns: str | None = None,
        observation_mode: Mode = "text",
        rules: Rules = "upstream",
        max_turns: int | None = 15,
        split: str = "train",
        show_attributes: bool = False,
        render_mode: str | None = None,
    ) -> None:
        _check_arguments(observation_mode, rules, max_turns, render_mode)
        paths = [None if path is None else str(path) for path in (catalog, goals, prices, title_nouns)]
        self.store = open_store(*paths, show_attributes)
        self.split = split
        if split not in self.store.splits:
            raise UnknownNameError("split", split, self.store.splits)
        self.rules: Rules = rules
        self.max_turns = max_turns
        self.render_mode = render_mode
        self.observation_space, self.action_space = UnicodeText(), UnicodeText()
        self._is_rich = observation_mode == "text_rich"
        self._subs = SUB_PAGES if show_attributes else SUB_PAGES[:3]
        self._goal: Goal | None = None
        self._is_over = True

    # Tasks

    def splits(self) -> tuple[str, ...]:
        """Name the splits that hold goals."""
        return tuple(self.store.splits)

    def tasks(self, split: str) -> Sequence[Task]:
        """List the tasks of a split, by index.

        Raises:
            UnknownNameError: there is no such split; the nearest is given.
        """
        if split not in self.store.splits:
            raise UnknownNameError("split", split, self.store.splits)
        return TaskList(self.store, split)

    @property
    def goal(self) -> Goal:
        """The present episode's hidden goal, for experts and demonstrations.

        Raises:
            ResetNeeded: no episode has begun.
        """
        if self._goal is None:
            raise ResetNeeded("expected reset() before goal: no episode has begun")
        return self._goal

    # Episodes

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode on `options["task"]` (a key or a `Task`), else on one drawn from the split.

        Raises:
            TaskKeyError: no such task; the valid range is given.
        """
        super().reset(seed=seed)
        wanted = (options or {}).get("task")
        if wanted is None:
            split = self.store.splits[self.split]
            index = int(split.indices[int(self.np_random.integers(len(split.indices)))])
            self._goal = self.store.goal(split.kind, index)
        else:
            self._goal = self.store.goal_of(wanted.key if isinstance(wanted, Task) else str(wanted))
        self._key = self._goal.key
        self._header_nodes = visible(self._goal.instruction)
        self._header = join(["Instruction:", *self._header_nodes])
        self._turns, self._is_over = 0, False
        self._message, self._purchase = "", None
        self._is_success = False
        self._open_index()
        if self.render_mode == "human":
            self.render()
        return self._observe(), self._info(None)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            ResetNeeded: the episode is over, or none has begun.
        """
        if self._is_over or self._goal is None:
            raise ResetNeeded("expected reset() before step(): the episode is over or none has begun")
        self._turns += 1
        self._message = self._apply(action)
        reward = 0.0
        is_bought = self._purchase is not None
        if self._purchase is not None:
            reward = self._purchase.reward
            self._is_success = reward >= 1.0 - 1e-9
        is_cut = not is_bought and self.max_turns is not None and self._turns >= self.max_turns
        self._is_over = is_bought or is_cut
        stop = StopReason.TERMINATED if is_bought else StopReason.MAX_TURNS if is_cut else None
        if self.render_mode == "human":
            self.render()
        return self._observe(), reward, is_bought, is_cut, self._info(None if stop is None else stop.value)

    def render(self) -> str | None:
        """Show the page: returned in mode `ansi`, printed in mode `human`."""
        if self._goal is None:
            raise ResetNeeded("expected reset() before render(): no episode has begun")
        page = self._observe().replace(" [SEP] ", "\n")
        lines = ["-" * 80, page]
        if not self._is_rich:
            lines.append("Actions: search[…], " + ", ".join(self._actions()[:40]))
        text = "\n".join(lines)
        if self.render_mode == "human":
            print(text)
            return None
        return text

    # Moves: each takes the session to a page

    def _apply(self, action: str) -> str:
        """Carry out an action; return why it is invalid, or the empty string."""
        match = ACTION.match(action)
        if match is None:
            return f"expected search[words] or click[button], got {action[:80]!r}"
        name, argument = match.group(1), match.group(2).lower()
        if name == SEARCH:
            self._open_search(argument)
            return ""
        if name != "click":
            return f"expected search[words] or click[button], got {action[:80]!r}"
        if argument == SEARCH or not self._has_button(argument):
            return f"expected a button of this page, got {argument[:80]!r}; the buttons are {self._button_words()}"
        self._click(argument)
        return ""

    def _has_button(self, argument: str) -> bool:
        if self._page in ("item", "sub"):
            buttons = self._item.buttons if self._page == "item" and self._item else (BACK, PREVIOUS)
            return argument in buttons
        return argument in self._buttons()

    def _click(self, button: str) -> None:
        if button == BUY:
            self._buy()
        elif button == BACK:
            self._open_index()
        elif button == NEXT and self._address_page() == "results":
            self._turn_to(self._number + 1)
        elif button == PREVIOUS and self._address_page() == "results":
            self._turn_to(self._number - 1)
        elif button == PREVIOUS and self._address_page() == "item":
            self._turn_to(self._number)
        elif button in SUB_PAGES:
            self._page, self._sub = "sub", button
        else:
            self._open_item(button)

    def _open_index(self) -> None:
        self._page = "index"
        self._query: str = ""
        self._number: int = 1
        self._found: list[int] = []
        self._shown: list[ProductPage] = []
        self._item: ProductPage | None = None
        self._sub = ""
        self._news = ""
        self._options: dict[str, str] = {}
        self._visited: set[str] = set()

    def _open_search(self, query: str) -> None:
        self._query = query
        if query.split(" ", 1)[0] == "<r>":
            everything = len(self.store.products)
            drawn = np.random.default_rng(self._goal.index).permutation(everything) if self._goal else np.empty(0)
            self._found = drawn[:50].tolist()
        else:
            self._found = self.store.search(query)
        self._turn_to(1)

    def _turn_to(self, number: int) -> None:
        self._page, self._number = "results", number
        self._item, self._options = None, {}
        start = (number - 1) * PAGE_SIZE
        self._shown = [self.store.page(p) for p in self._found[start : start + PAGE_SIZE]] if number > 0 else []
        self._news = f"page {number}" if self._found else "no results"

    def _open_item(self, button: str) -> None:
        if self._page == "results":
            self._item = next(page for page in self._shown if page.product.asin.lower() == button)
            self._visited.add(self._item.product.asin)
            self._news = f"price {self._item.product.price_tag}"
        elif self._item is not None and self._page == "item":
            group = self._item.groups[button]
            self._options[group] = button
            self._news = f"chosen {group}: {button}"
        elif self._item is not None:
            self._news = f"price {self._item.product.price_tag}"
        self._page = "item"

    def _buy(self) -> None:
        if self._item is None or self._goal is None:
            raise ResetNeeded("expected an open item to buy; this state cannot be reached through the pages")
        bought, wanted = self._item.product, self.store.products[self._goal.position]
        self._purchase = score_purchase(
            bought,
            wanted,
            self._goal,
            price=float(self.store.prices[self._item.position]),
            options=self._options,
            nouns=(self.store.nouns(bought), self.store.nouns(wanted)),
            rules=self.rules,
        )
        self._page = "done"

    def _address_page(self) -> str:
        """Which page upstream takes the present one for, by looking for a page's name in its address."""
        words = self._query.replace(" ", "+")
        if self._page == "results" or "search_results" in words:
            return "results"
        return "item" if self._page == "item" or "item_page" in words else self._page

    # What is seen

    def _observe(self) -> str:
        if self._is_rich:
            return self._observe_rich()
        text = f"WebShop [SEP] {self._header} [SEP] Search" if self._page == "index" else self._observe_text()
        if self.rules == "upstream":
            return text
        if self._page == "item" and self._options:
            text = join([text, "Chosen", *(f"{name}: {value}" for name, value in self._options.items())])
        return f"{text} [SEP] Invalid action: {self._message}" if self._message else text

    def _observe_text(self) -> str:
        if self._page == "results":
            parts = [self._header, "Back to Search", *self._results_head()]
            return " [SEP] ".join(parts + [page.listing for page in self._shown])
        if self._page == "item" and self._item:
            return f"{self._header} [SEP] {self._item.item}"
        if self._page == "sub" and self._item:
            head = [self._header, "Back to Search", "< Prev"]
            return join([*head, *sub_nodes(self._item.product, self._sub)])
        return join(self._done_nodes())

    def _results_head(self) -> list[str]:
        head = [f"Page {self._number} (Total results: {len(self._found)})"]
        return [*head, "< Prev", "Next >"] if self._number > 1 else [*head, "Next >"]

    def _done_nodes(self) -> list[str]:
        asin = self._item.product.asin if self._item else ""
        return done_nodes(asin, self._options, self._purchase.reward if self._purchase else 0.0)

    def _observe_rich(self) -> str:
        notices: list[str] = []
        if self._page == "index":
            lines = ["WebShop", "Instruction: ", *self._header_nodes, "[button] Search [button_]"]
        elif self._page == "done":
            lines = self._done_nodes()
        else:
            lines = ["Instruction:", *self._header_nodes]
        if self._page == "results":
            head, *buttons = self._results_head()
            lines += ["[button] Back to Search [button_]", head, *(f"[button] {b} [button_]" for b in buttons)]
            for page in self._shown:
                lines += rich_listing(page.product, is_visited=page.product.asin in self._visited)
        elif self._page == "item" and self._item:
            item, notices = rich_item(self._item.product, self._subs, self.address)
            lines += item
        elif self._page == "sub" and self._item:
            lines += ["[button] Back to Search [button_]", "[button] < Prev [button_]"]
            lines += sub_nodes(self._item.product, self._sub)
        if self._message and self.rules == "fixed":
            lines.append(f"Invalid action: {self._message}")
        return join_rich([*notices, *lines])

    @property
    def address(self) -> str:
        """The page's address as upstream would have it, the goal's index for a session."""
        session = "" if self._goal is None else str(self._goal.index)
        words = self._query.replace(" ", "+")
        if self._page == "index":
            return f"{ADDRESS}/{session}"
        if self._page == "results":
            return f"{ADDRESS}/search_results/{session}/{words}/{self._number}"
        asin = self._item.product.asin if self._item else ""
        if self._page == "item":
            return f"{ADDRESS}/item_page/{session}/{asin}/{words}/{self._number}/{json.dumps(self._options)}"
        if self._page == "sub":
            sub = self._sub.capitalize()
            return f"{ADDRESS}/item_sub_page/{session}/{asin}/{words}/{self._number}/{sub}/{self._options}"
        return f"{ADDRESS}/done/{session}/{asin}/{self._options}"

    def _buttons(self) -> list[str]:
        if self._page == "index":
            return [SEARCH]
        if self._page == "item" and self._item:
            return list(self._item.buttons)
        if self._page == "sub":
            return [BACK, PREVIOUS]
        if self._page == "done":
            return []
        turns = [PREVIOUS, NEXT] if self._number > 1 else [NEXT]
        return [BACK, *turns, *(page.product.asin.lower() for page in self._shown)]

    def _button_words(self) -> str:
        buttons = [button for button in self._buttons() if button != SEARCH]
        return ", ".join(buttons[:12]) + (", …" if len(buttons) > 12 else "") if buttons else "none; search first"

    def _actions(self) -> tuple[str, ...]:
        if self._page == "item" and self._item:
            return (*self._item.actions, QUERY_TEMPLATE)
        if self._page == "results":
            turns = ("click[< prev]", "click[next >]") if self._number > 1 else ("click[next >]",)
            return ("click[back to search]", *turns, *(page.listed_as.action for page in self._shown), QUERY_TEMPLATE)
        if self._page == "sub":
            return ("click[back to search]", "click[< prev]", QUERY_TEMPLATE)
        return (QUERY_TEMPLATE,) if self._page == "index" else ()

    def _info(self, stop_reason: str | None) -> dict[str, Any]:
        info: dict[str, Any] = {
            "task": self._key,
            "clickables": self._buttons(),
            "has_search_bar": self._page == "index",
            "admissible_actions": self._actions(),
            "invalid_action": bool(self._message),
            "message": self._message,
            "success": self._is_success,
            "stop_reason": stop_reason,
        }
        if self._purchase is not None and self._item is not None:
            info["reward_components"] = dict(self._purchase.components)
            info["bought"] = self._item.product.asin
        return info

    def view(self) -> View:
        """Give the state in brief: page key, news, and every admissible click with a short text."""
        news = "invalid" if self._message else self._news
        free = ("search[",)
        if self._page == "index":
            return View("index", news, (), free)
        if self._page == "results":
            return View(f"results:{self._query}:{self._number}", news, self._result_choices(), free)
        if self._item is None or self._page == "done":
            return View("done", f"score {self._purchase.reward:.3g}" if self._purchase else "")
        asin = self._item.product.asin
        if self._page == "item":
            return View(f"item:{asin}", news, self._item.choices, free)
        if not self._message:
            news = " ".join(node.strip() for node in sub_nodes(self._item.product, self._sub))[:NEWS_LENGTH]
        return View(f"sub:{asin}:{self._sub}", news, SUB_CHOICES, free)

    def _result_choices(self) -> tuple[Choice, ...]:
        turns = (NEXT_CHOICE, PREVIOUS_CHOICE, BACK_CHOICE) if self._number > 1 else (NEXT_CHOICE, BACK_CHOICE)
        return (*(page.listed_as for page in self._shown), *turns)

    _page: str = "index"
    _purchase: Purchase | None = None


NEXT_CHOICE = Choice("click[next >]", "next page")
PREVIOUS_CHOICE = Choice("click[< prev]", "previous page")
BACK_CHOICE = Choice("click[back to search]", "back to search")
SUB_CHOICES = (Choice("click[< prev]", "prev"), BACK_CHOICE)


def _check_arguments(mode: str, rules: str, max_turns: int | None, render_mode: str | None) -> None:
    problems = []
    if mode not in MODES:
        problems.append(f"observation_mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if rules not in RULES:
        problems.append(f"rules: expected one of {', '.join(RULES)}, got {rules!r}")
    if max_turns is not None and max_turns < 1:
        problems.append(f"max_turns: expected a positive number or None, got {max_turns}")
    if render_mode not in (None, "ansi", "human"):
        problems.append(f"render_mode: expected ansi, human or None, got {render_mode!r}")
    if problems:
        raise ConfigError(problems)
