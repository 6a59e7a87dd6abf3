"""The generator: tasks over two small tables, each a function of the split, the seed and its index alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from envs.database.demonstration_domains import compose
from envs.database.domains import DOMAINS, Domain
from envs.database.embedded import Embedded
from envs.database.operators import text
from envs.database.problems import Problem, final_hash
from envs.database.tables import Column, Row, Table
from envs.database.templates import KINDS, WORDINGS, Kind
from sage_gym.errors import SageGymError
from sage_gym.tasks import KeyRange, Source

__all__ = ["CAPACITY", "SPLITS", "synthetic"]

SPLITS = ("train", "select", "test", "demonstrations")
"""`demonstrations` is for imitation before any training here: a policy's adapter has seen these tasks alone."""
CAPACITY = 20_000
"""Tasks of a split: `database/synthetic/` has five digits, and each split its own range of them."""
ATTEMPTS = 200


def synthetic(split: str, size: int, seed: int) -> Source[Problem]:
    """Return the generated problems of one split.

    Args:
        split: one of `SPLITS`; they share no table and no wording.
        size: how many, of `CAPACITY` at most.
        seed: of the whole set.
    """
    first = SPLITS.index(split) * CAPACITY
    return Source(KeyRange("database/synthetic", size, first), lambda at: make(split, seed, first + at))


@lru_cache(maxsize=4096)
def make(split: str, seed: int, index: int) -> Problem:
    """Make the problem of an index, drawing again until its answer is single-valued and its gold SQL does something."""
    rng = random.Random(f"database/{split}/{seed}/{index}")  # hashed by random itself, alike in every process
    known = [domain for domain in DOMAINS if domain.split == split]
    domain = rng.choice(known) if known else compose(rng)
    kind = KINDS[index % len(KINDS)]
    for _ in range(ATTEMPTS):
        tables = _tables(domain, rng)
        problem = _problem(domain, kind, tables, rng, index)
        if problem is not None:
            return problem
    raise SageGymError(f"expected a {kind.name!r} task over {domain.name!r} in {ATTEMPTS} draws, got none")


def _tables(domain: Domain, rng: random.Random) -> tuple[Table, Table]:
    labels = [f"{first} {second}" for first in domain.first for second in domain.second]
    count = rng.randint(8, 14)
    sizes = rng.sample(range(*domain.size), count)
    things: list[Row] = [
        (label, rng.choice(domain.groups), rng.choice(domain.tags), size, rng.randint(*domain.count))
        for label, size in zip(rng.sample(labels, count), sizes, strict=True)
    ]
    sides: list[Row] = [(group, rng.choice(domain.traits), rng.randint(*domain.figure)) for group in domain.groups]
    columns = tuple(Column(name, "INT" if at > 2 else "TEXT") for at, name in enumerate(domain.columns))
    side_columns = tuple(Column(name, "INT" if at > 1 else "TEXT") for at, name in enumerate(domain.side_columns))
    return Table(domain.table, columns, tuple(things)), Table(domain.side, side_columns, tuple(sides))


def _problem(domain: Domain, kind: Kind, tables: tuple[Table, Table], rng: random.Random, index: int) -> Problem | None:
    fields = {**_names(domain), **_values(domain, tables, rng)}
    gold = kind.sql.format(**fields)
    wording = rng.choice(WORDINGS[domain.split][kind.name])
    found = _solve(kind, tables, gold)
    if found is None:
        return None
    answers, state = found
    return Problem(
        key=f"database/synthetic/{index:05d}",
        split=domain.split,
        question=f"{wording.format(**fields)}\n{_schema(tables)}",
        tables=tables,
        gold_sql=gold,
        judged_by=kind.judged_by,
        answers=answers,
        state=state,
        family=f"{domain.name}:{kind.name}",
    )


def _names(domain: Domain) -> dict[str, str]:
    roles = ("label", "group", "tag", "size", "count", "key", "trait", "figure")
    columns = dict(zip(roles, (*domain.columns, *domain.side_columns), strict=True))
    words = {f"{role}_words": name.replace("_", " ") for role, name in columns.items()}
    return {
        "table": domain.table,
        "side": domain.side,
        "thing": domain.thing,
        "things": domain.things,
        **columns,
        **words,
    }


def _values(domain: Domain, tables: tuple[Table, Table], rng: random.Random) -> dict[str, object]:
    things, sides = tables[0].rows, tables[1].rows
    chosen, other = rng.sample(range(len(things)), 2)
    taken = {row[0] for row in things}
    free = [f"{a} {b}" for a in domain.first for b in domain.second if f"{a} {b}" not in taken]
    return {
        "v_label": things[chosen][0],
        "v_group": things[chosen][1],
        "v_tag": things[chosen][2],
        "v_size": things[other][3],
        "v_count": rng.randint(*domain.count),
        "v_other": rng.randint(*domain.size),
        "v_trait": rng.choice(sides)[1],
        "v_new": rng.choice(free),
    }


def _solve(kind: Kind, tables: tuple[Table, Table], gold: str) -> tuple[tuple[str, ...], str] | None:
    """Return the answers and the state that the gold SQL gives; None where it is no good question."""
    engine = Embedded(tables)
    try:
        before = final_hash(engine, tables)
        rows = engine.run(gold)
        state = final_hash(engine, tables)
        if kind.judged_by == "state":
            return ((), state) if state != before else None
        answers = tuple(text(row[0]) or "" for row in rows)
        is_clear = kind.name != "busiest" or not _is_tied(tables[0])
        return (answers, "") if is_clear and all(answers) and answers else None
    finally:
        engine.close()


def _is_tied(table: Table) -> bool:
    groups = [row[1] for row in table.rows]
    counts = sorted((groups.count(group) for group in set(groups)), reverse=True)
    return len(counts) > 1 and counts[0] == counts[1]


def _schema(tables: Sequence[Table]) -> str:
    shown = [f"{table.name}({', '.join(column.name for column in table.columns)})" for table in tables]
    return f"Tables: {'; '.join(shown)}."
