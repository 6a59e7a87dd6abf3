"""The WebShop environment: one shopper's session over a shared store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import gymnasium
from gymnasium.error import ResetNeeded

from envs.webshop.goals import Goal
from envs.webshop.observation import header, observe_rich, observe_text
from envs.webshop.reward import SHORTFALLS, Rules
from envs.webshop.session import Session
from envs.webshop.store import open_store
from sage_gym.arguments import check_arguments, expect_one_of, expect_positive, expect_render_mode
from sage_gym.errors import UnknownNameError
from sage_gym.spaces import UnicodeText
from sage_gym.tasks import TaskList
from sage_gym.types import StopReason, Task, View

__all__ = ["WebShop"]

SUCCESS = 1.0 - 1e-9
Mode = Literal["text", "text_rich"]


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
    shortfalls: ClassVar[dict[str, str]] = SHORTFALLS

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
        check_arguments(
            expect_one_of("observation_mode", observation_mode, get_args(Mode)),
            expect_one_of("rules", rules, get_args(Rules)),
            expect_positive("max_turns", max_turns, is_optional=True),
            expect_render_mode(render_mode),
        )
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
        self._session: Session | None = None
        self._header, self._turns, self._is_over = "", 0, True

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
        kind, indices = self.store.splits[split].kind, self.store.splits[split].indices
        return TaskList(len(indices), lambda at: _task(self.store.goal(kind, int(indices[at])), split))

    # Episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode on `options["task"]` (a key or a `Task`), else on one drawn from the split.

        Raises:
            TaskKeyError: no such task; the valid range is given.
        """
        super().reset(seed=seed)
        goal = self._choose_goal((options or {}).get("task"))
        self._session = Session(self.store, goal, self.rules)
        self._header = header(goal.instruction)
        self._turns, self._is_over = 0, False
        return self._show(), self._info(None)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            ResetNeeded: the episode is over, or none has begun.
        """
        if self._is_over:
            raise ResetNeeded("expected reset() before step(): the episode is over or none has begun")
        session = self._open_session()
        session.act(action)
        self._turns += 1
        purchase = session.purchase
        is_cut = purchase is None and self.max_turns is not None and self._turns >= self.max_turns
        self._is_over = purchase is not None or is_cut
        stop = StopReason.TERMINATED if purchase else StopReason.MAX_TURNS if is_cut else None
        reward = purchase.reward if purchase else 0.0
        return self._show(), reward, purchase is not None, is_cut, self._info(stop)

    def render(self) -> str | None:
        """Show the page with its actions: returned in mode `ansi`, printed in mode `human`."""
        session = self._open_session()
        page = self._observe().replace(" [SEP] ", "\n")
        text = f"{'-' * 80}\n{page}\n\nActions: {', '.join(session.actions())}"
        if self.render_mode != "human":
            return text
        print(text)
        return None

    def view(self) -> View:
        """Give the state in brief, with every admissible click.

        `page` names the state whose choices are listed: `index`, `results:<query>:<page>`, `item:<asin>` (the same
        after an option is clicked), `sub:<asin>:<name>`, `done`.
        """
        return self._open_session().view()

    @property
    def goal(self) -> Goal:
        """The present episode's hidden goal, for experts and demonstrations.

        Raises:
            ResetNeeded: no episode has begun.
        """
        return self._open_session().goal

    @property
    def session(self) -> Session:
        """The episode's state; for experts and tests, to be read only."""
        return self._open_session()

    def _choose_goal(self, wanted: Any) -> Goal:
        if wanted is not None:
            return self.store.goal_of(wanted.key if isinstance(wanted, Task) else str(wanted))
        split = self.store.splits[self.split]
        index = int(split.indices[int(self.np_random.integers(len(split.indices)))])
        return self.store.goal(split.kind, index)

    def _open_session(self) -> Session:
        if self._session is None:
            raise ResetNeeded("expected reset() first: no episode has begun")
        return self._session

    def _observe(self) -> str:
        session = self._open_session()
        return observe_rich(session) if self._is_rich else observe_text(session, self._header)

    def _show(self) -> str:
        if self.render_mode == "human":
            self.render()
        return self._observe()

    def _info(self, stop: StopReason | None) -> dict[str, Any]:
        session = self._open_session()
        info: dict[str, Any] = {
            "task": session.goal.key,
            "clickables": list(session.buttons()),
            "has_search_bar": session.page == "index",
            "admissible_actions": session.actions(),
            "invalid_action": bool(session.message),
            "message": session.message,
            "success": session.purchase is not None and session.purchase.reward >= SUCCESS,
            "stop_reason": None if stop is None else stop.value,
        }
        if session.purchase is not None and session.item is not None:
            info["reward_components"] = dict(session.purchase.components)
            info["bought"] = session.item.product.asin
        return info


def _task(goal: Goal, split: str) -> Task:
    seed = int(goal.hash[:8], 16)
    return Task(goal.key, goal.instruction, split, seed, goal.hash, "webshop", family=goal.asin)
