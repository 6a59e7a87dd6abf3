"""A reference solution that reads the hidden goal, and the list of tasks that no solution can finish."""

from __future__ import annotations

from collections.abc import Iterator

from rapidfuzz.fuzz import token_set_ratio

from envs.webshop.environment import SUCCESS, WebShop
from envs.webshop.goals import Goal
from envs.webshop.pages import PAGE_SIZE
from envs.webshop.reward import normalise_color, score_purchase
from envs.webshop.session import Session
from envs.webshop.store import Store
from sage_gym.errors import SageGymError

__all__ = ["Expert", "expert", "unattainable"]

WITHOUT_BRACKETS = str.maketrans("[]\n\r", "    ")


class Expert:
    """Gives the next action from any state: search, page on, open the wanted product, choose its options, buy.

    From a wrong product, a sub-page or a wrong option it finds its way back, so it can finish what another began.
    """

    def __init__(self, env: WebShop) -> None:
        self._env = env

    def action(self) -> str:
        """Return the next action for the environment's present state.

        Raises:
            SageGymError: no query of the expert's brings the product among the 50 results.
        """
        session = self._env.session
        position = session.goal.position
        if session.page == "sub":
            return "click[< prev]"
        if session.page == "item" and session.item:
            if session.item.position != position:
                return "click[< prev]"
            missing = next(missing_options(session), None)
            return "click[buy now]" if missing is None else f"click[{missing}]"
        if session.page == "results" and position in session.found:
            return self._toward(session, session.found.index(position))
        return f"search[{best_query(self._env.store, session.goal)}]"

    @staticmethod
    def _toward(session: Session, rank: int) -> str:
        page = rank // PAGE_SIZE + 1
        if session.number < page:
            return "click[next >]"
        if session.number > page:
            return "click[< prev]"
        return session.shown[rank % PAGE_SIZE].listed_as.action


def expert(env: WebShop) -> Expert:
    """Return the expert of an environment (`make(...).unwrapped`)."""
    return Expert(env)


def missing_options(session: Session) -> Iterator[str]:
    """Yield the values still to be clicked, in the goal's order."""
    product = session.store.products[session.goal.position]
    for name, value in session.goal.options:
        if name:
            is_chosen = session.options.get(name) == value
            is_shadowed = session.rules == "upstream" and value in session.options.values()
            if not is_chosen and not is_shadowed:
                yield value
            continue
        offered = [held for _, values in product.options for held in values]
        nearest = max(offered, key=lambda held: _likeness(held, value), default=None)
        if nearest is not None and nearest not in session.options.values():
            yield nearest


def _likeness(held: str, wanted: str) -> tuple[bool, float]:
    return held == wanted, token_set_ratio(normalise_color(held), normalise_color(wanted))


def best_query(store: Store, goal: Goal) -> str:
    """Return the instruction where it brings the product among the 50 results, else words of the product.

    Raises:
        SageGymError: none does.
    """
    product = store.products[goal.position]
    for text in (goal.instruction, product.title, f"{product.title} {product.description}", product.search_text):
        query = " ".join(text.translate(WITHOUT_BRACKETS).split())
        if goal.position in store.search(query.lower()):
            return query
    raise SageGymError(f"expected {product.asin} among the results for its own text, got it in none; {goal.key}")


def unattainable(env: WebShop, split: str) -> dict[str, str]:
    """List the tasks of a split whose own product, bought with its own options, scores below 1, with the reason."""
    out = {}
    for task in env.tasks(split):
        goal = env.store.goal_of(task.key)
        product, nouns = env.store.products[goal.position], env.store.nouns(env.store.products[goal.position])
        options = {name or f"option {i}": value for i, (name, value) in enumerate(goal.options)}
        price = float(env.store.prices[goal.position])
        purchase = score_purchase(
            product, product, goal, price=price, options=options, nouns=(nouns, nouns), rules=env.rules
        )
        if purchase.reward < SUCCESS:
            held = purchase.components
            low = [name for name in ("r_type", "r_att", "r_option", "r_price") if held.get(name, 1) < 1]
            out[task.key] = f"scores {purchase.reward:.3f} at best: {', '.join(low)} below 1 for the wanted options"
    return out
