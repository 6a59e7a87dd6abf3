"""Plan shapes: how chains and ends are put together, and every way in which each shape can be filled.

Enumerating the ways is what lets splits hold out combinations of tools by a rule instead of by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import combinations
from types import MappingProxyType

from envs.tools.plan import Threshold
from envs.tools.skeleton import Chain, Filled, Skeleton, chains, ends_for, finish
from envs.tools.steps.draft import Draft, End, Lookup
from envs.tools.steps.ends import ENDS
from envs.tools.steps.lookups import LIMITS
from envs.tools.steps.transforms import apart, total

__all__ = ["SHAPES", "skeletons"]

SUMMABLE = ("eur", "count", "km", "kg")
IF_ABOVE = tuple(end for end in ENDS if end.name == "approval" or end.name.startswith("mail_"))
IF_NOT = tuple(end for end in ENDS if end.name in ("note", "store", "list_price"))


# One value


def _chain(chain: Chain, end: End, draft: Draft) -> Filled:
    return finish(draft, chain.build(draft), end)


def _chains() -> Iterator[Skeleton]:
    for chain in chains(2, is_changing=True):
        for end in ends_for(chain.makes, chain.lookup):
            steps, tools = (*chain.steps, end.name), (*chain.tools, *end.tools)
            yield Skeleton("chain", steps, tools, partial(_chain, chain, end))


def _fan_out(chain: Chain, ends: tuple[End, End], draft: Draft) -> Filled:
    return finish(draft, chain.build(draft), *ends)


def _two_ends(kind: str, lookup: Lookup | None = None) -> Iterator[tuple[End, End]]:
    """Yield pairs of ends, an answer last."""
    yield from ((first, second) for second, first in combinations(ends_for(kind, lookup), 2))


def _fan_outs() -> Iterator[Skeleton]:
    for chain in chains(1, is_changing=True):
        for ends in _two_ends(chain.makes, chain.lookup):
            tools = (*chain.tools, *ends[0].tools, *ends[1].tools)
            steps = (*chain.steps, ends[0].name, ends[1].name)
            yield Skeleton("fan_out", steps, tools, partial(_fan_out, chain, ends))


def _broadcast(chain: Chain, draft: Draft) -> Filled:
    value = chain.build(draft)
    people = draft.world.people
    department = draft.pick("department", sorted({person.department for person in people[1:]}))
    team = draft.call("list_team", department=department)
    subject = draft.pick("subject", ("team news", "to all of you", "to everyone", "team figure", "round mail"))
    for place in range(sum(person.department == department for person in people)):
        draft.call("send_mail", to=f"{{{team}.members.{place}.email}}", subject=subject, body=value.slot)
    words = draft.say(
        f'mail {value.phrase} to every member of {department} under the subject "{subject}"',
        f'send each colleague in {department} a mail with the subject "{subject}" that gives {value.phrase}',
    )
    return Filled((words,))


def _broadcasts() -> Iterator[Skeleton]:
    for chain in chains(2, is_changing=True):
        tools = (*chain.tools, "list_team", *("send_mail",) * 3)
        yield Skeleton("broadcast", (*chain.steps, "team"), tools, partial(_broadcast, chain))


# A branch


def _branch(draft: Draft, left: Chain | Lookup, right: Chain | Lookup, ends: tuple[End, End]) -> Filled:
    first = left.build(draft) if isinstance(left, Chain) else left.add(draft)
    second = right.build(draft) if isinstance(right, Chain) else right.add(draft)
    is_short = isinstance(right, Lookup) and draft.rng.random() < 0.5
    draft.when = Threshold(first.slot, second.slot, is_above=True)
    above = ends[0].add(draft, replace(first, phrase="it" if is_short else "the former"))
    draft.when = Threshold(first.slot, second.slot, is_above=False)
    other = first if isinstance(right, Lookup) else second
    name = "it" if is_short else "the former" if other is first else "the latter"
    below = ends[1].add(draft, replace(other, phrase=name))
    draft.when = None
    if is_short:
        return Filled((f"if {first.phrase} is above {second.phrase}, {above}; otherwise {below}",))
    pair = apart((first.phrase, second.phrase), "with")
    return Filled((f"compare {pair}; if the former is higher, {above}, else {below}",))


def _conditional(chain: Chain, limit: Lookup, ends: tuple[End, End], draft: Draft) -> Filled:
    return _branch(draft, chain, limit, ends)


def _conditionals() -> Iterator[Skeleton]:
    for chain in chains(2, is_changing=False):
        for limit in LIMITS if chain.makes == "eur" else ():
            for ends in ((above, below) for above in IF_ABOVE for below in IF_NOT if above.name != "mail_them"):
                steps = (*chain.steps, limit.name, ends[0].name, ends[1].name)
                tools = (*chain.tools, *limit.tools, *ends[0].tools, *ends[1].tools)
                yield Skeleton("conditional", steps, tools, partial(_conditional, chain, limit, ends))


def _compare(pair: tuple[Chain, Chain], ends: tuple[End, End], draft: Draft) -> Filled:
    return _branch(draft, pair[0], pair[1], ends)


def _compares() -> Iterator[Skeleton]:
    for pair in _pairs(("eur",)):
        for ends in ((above, below) for above in IF_ABOVE for below in IF_NOT if above.name != "mail_them"):
            steps = (*pair[0].steps, *pair[1].steps, ends[0].name, ends[1].name)
            tools = (*pair[0].tools, *pair[1].tools, *ends[0].tools, *ends[1].tools)
            yield Skeleton("compare", steps, tools, partial(_compare, pair, ends))


# Several values


def _pairs(kinds: tuple[str, ...] = SUMMABLE) -> Iterator[tuple[Chain, Chain]]:
    """Yield pairs of chains from different lookups to the same kind."""
    found = [chain for chain in chains(1, is_changing=False) if chain.makes in kinds]
    for left, right in combinations(found, 2):
        if left.makes == right.makes and left.lookup != right.lookup:
            yield left, right


def _fan_in(pair: tuple[Chain, Chain], ends: tuple[End, ...], draft: Draft) -> Filled:
    return finish(draft, total(draft, [chain.build(draft) for chain in pair]), *ends)


def _fan_ins() -> Iterator[Skeleton]:
    for pair in _pairs():
        for end in ends_for(pair[0].makes):
            steps = (*pair[0].steps, *pair[1].steps, "total", end.name)
            tools = (*pair[0].tools, *pair[1].tools, "calculate", *end.tools)
            yield Skeleton("fan_in", steps, tools, partial(_fan_in, pair, (end,)))


def _diamonds() -> Iterator[Skeleton]:
    for pair in _pairs():
        for ends in _two_ends(pair[0].makes):
            steps = (*pair[0].steps, *pair[1].steps, "total", ends[0].name, ends[1].name)
            tools = (*pair[0].tools, *pair[1].tools, "calculate", *ends[0].tools, *ends[1].tools)
            yield Skeleton("diamond", steps, tools, partial(_fan_in, pair, ends))


def _loop(chain: Chain, count: int, end: End, draft: Draft) -> Filled:
    words = [end.add(draft, chain.build(draft)) for _ in range(count)]
    return Filled(("do these one by one: " + "; ".join(words),))


def _loops() -> Iterator[Skeleton]:
    for chain in chains(1, is_changing=False):
        for end in ends_for(chain.makes, chain.lookup):
            for count in (2, 3) if end.tools else ():
                steps, tools = (*chain.steps, end.name, f"each of {count}"), (*chain.tools, *end.tools) * count
                yield Skeleton("loop", steps, tools, partial(_loop, chain, count, end))


def _loop_total(chain: Chain, count: int, end: End, draft: Draft) -> Filled:
    return finish(draft, total(draft, [chain.build(draft) for _ in range(count)]), end)


def _loop_totals() -> Iterator[Skeleton]:
    for chain in chains(1, is_changing=False):
        for end in ends_for(chain.makes) if chain.makes in SUMMABLE else ():
            steps = (*chain.steps, "total of 3", end.name)
            yield Skeleton(
                "loop_total", steps, (*chain.tools * 3, "calculate", *end.tools), partial(_loop_total, chain, 3, end)
            )


SHAPES: Mapping[str, Callable[[], Iterator[Skeleton]]] = MappingProxyType(
    {
        "chain": _chains,
        "fan_out": _fan_outs,
        "broadcast": _broadcasts,
        "conditional": _conditionals,
        "compare": _compares,
        "fan_in": _fan_ins,
        "diamond": _diamonds,
        "loop": _loops,
        "loop_total": _loop_totals,
    }
)


@lru_cache(maxsize=1)
def skeletons() -> tuple[Skeleton, ...]:
    """Return every skeleton of two to six tools, in a fixed order."""
    return tuple(skeleton for shape in SHAPES.values() for skeleton in shape() if skeleton.is_fit)
