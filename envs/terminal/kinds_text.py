"""Kinds of tasks about the text of files."""

from __future__ import annotations

from envs.terminal.drafts import CITIES, LEVELS, NAMES, Draft, Draw, Kind, lines, table
from envs.terminal.problems import Answer, File, Goal, Wanted

__all__ = ["KINDS"]


def _count_lines(draw: Draw) -> Draft:
    path, level = f"{draw.noun()}/{draw.noun()}.log", draw.rng.choice(LEVELS[:3])
    found = [level] * draw.rng.randint(3, 12) + draw.rng.choices(
        [other for other in LEVELS if other != level], k=draw.rng.randint(8, 25)
    )
    draw.rng.shuffle(found)
    told = [
        f"{8 + at // 60:02d}:{at % 60:02d} {each} {text} {level.lower()}"
        for at, (each, text) in enumerate(_told(draw, found))
    ]
    return Draft(
        {"path": path, "level": level},
        Goal(Answer(str(found.count(level)), "number")),
        [f"grep -c {level} {path}"],
        [File(path, lines(told))],
    )


def _told(draw: Draw, found: list[str]) -> list[tuple[str, str]]:
    return list(zip(found, draw.prose(len(found)), strict=True))


def _most_frequent(draw: Draw) -> Draft:
    path, names = f"{draw.noun()}.log", draw.rng.sample(NAMES, 5)
    most = draw.rng.randint(5, 9)
    found = [names[0]] * most + [name for name in names[1:] for _ in range(draw.rng.randint(1, most - 1))]
    draw.rng.shuffle(found)
    told = [f"{name} {draw.rng.choice(('opened', 'saved', 'closed'))} {text}" for name, text in _told(draw, found)]
    return Draft(
        {"path": path},
        Goal(Answer(names[0])),
        [f"cut -d ' ' -f 1 {path} | sort | uniq -c | sort -rn | head -n 1 | awk '{{print $2}}'"],
        [File(path, lines(told))],
    )


def _sum_column(draw: Draw) -> Draft:
    path, cities = f"{draw.noun()}.csv", draw.rng.sample(CITIES, 4)
    rows = [
        (draw.rng.choice(NAMES), city, draw.rng.randint(3, 400))
        for city in [*cities, *draw.rng.choices(cities, k=draw.rng.randint(8, 20))]
    ]
    draw.rng.shuffle(rows)
    total = sum(amount for _, city, amount in rows if city == cities[0])
    return Draft(
        {"path": path, "city": cities[0]},
        Goal(Answer(str(total), "number")),
        [f"awk -F , '$2 == \"{cities[0]}\" {{ s += $3 }} END {{ print s }}' {path}"],
        [File(path, table(("name", "city", "amount"), rows))],
    )


def _set_option(draw: Draw) -> Draft:
    path, keys = f"{draw.noun()}/{draw.noun()}.conf", draw.nouns(5)
    keys.insert(draw.rng.randint(0, 5), f"old_{keys[0]}")
    values = dict(zip(keys, draw.numbers(len(keys), 10, 9_000), strict=True))
    key = next(key for key in keys if f"old_{key}" in keys)
    new = draw.rng.randint(9_000, 9_999)
    wanted = lines([f"{name}={new if name == key else value}" for name, value in values.items()])
    return Draft(
        {"path": path, "key": key, "value": new},
        Goal(paths=(Wanted(path, content=wanted),)),
        [f"sed -i 's/^{key}=.*/{key}={new}/' {path}"],
        [File(path, lines([f"{name}={value}" for name, value in values.items()]))],
    )


def _merge_lists(draw: Draw) -> Draft:
    one, two, out = (f"{noun}.txt" for noun in draw.nouns(3))
    first, second = draw.rng.sample(NAMES, 9), draw.rng.sample(NAMES, 8)
    return Draft(
        {"one": one, "two": two, "out": out},
        Goal(paths=(Wanted(out, content=lines(sorted({*first, *second}))),)),
        [f"sort -u {one} {two} > {out}"],
        [File(one, lines(first)), File(two, lines(second))],
    )


def _take_column(draw: Draw) -> Draft:
    path, out = f"{draw.noun()}.csv", f"{draw.noun()}.txt"
    head = draw.rng.sample(("name", "city", "amount", "day"), 4)
    rows = [
        {"name": draw.rng.choice(NAMES), "city": draw.rng.choice(CITIES), "amount": draw.rng.randint(3, 400),
         "day": draw.rng.randint(1, 28)}
        for _ in range(draw.rng.randint(6, 14))
    ]  # fmt: skip
    at = draw.rng.randrange(4)
    return Draft(
        {"path": path, "out": out, "column": head[at]},
        Goal(paths=(Wanted(out, content=lines([row[head[at]] for row in rows])),)),
        [f"cut -d , -f {at + 1} {path} | tail -n +2 > {out}"],
        [File(path, table(head, [[row[name] for name in head] for row in rows]))],
    )


def _missing_lines(draw: Draw) -> Draft:
    one, two, out = (f"{noun}.txt" for noun in draw.nouns(3))
    first = draw.rng.sample(NAMES, 12)
    second = [*draw.rng.sample(first, 7), *draw.rng.sample([name for name in NAMES if name not in first], 3)]
    return Draft(
        {"one": one, "two": two, "out": out},
        Goal(paths=(Wanted(out, content=lines([name for name in first if name not in second])),)),
        [f"grep -v -x -F -f {two} {one} > {out}"],
        [File(one, lines(first)), File(two, lines(second))],
    )


def _join_tables(draw: Draw) -> Draft:
    one, two, out = (f"{noun}.csv" for noun in draw.nouns(3))
    numbers = sorted(draw.numbers(draw.rng.randint(6, 10), 100, 1_000))
    people = {number: draw.rng.choice(NAMES) for number in numbers}
    places = {number: draw.rng.choice(CITIES) for number in numbers}
    shuffled = draw.rng.sample(numbers, len(numbers))
    joined = lines([f"{number},{people[number]},{places[number]}" for number in numbers])
    return Draft(
        {"one": one, "two": two, "out": out},
        Goal(paths=(Wanted(out, content=joined),)),
        [f"sort -o {one} {one}; sort -o {two} {two}; join -t , {one} {two} > {out}"],
        [
            File(one, lines([f"{number},{people[number]}" for number in shuffled])),
            File(two, lines([f"{number},{places[number]}" for number in draw.rng.sample(numbers, len(numbers))])),
        ],
    )


KINDS = (
    Kind("count_lines", "seen", _count_lines),
    Kind("most_frequent", "seen", _most_frequent),
    Kind("sum_column", "seen", _sum_column),
    Kind("set_option", "seen", _set_option),
    Kind("merge_lists", "seen", _merge_lists),
    Kind("take_column", "seen", _take_column),
    Kind("missing_lines", "select_kinds", _missing_lines),
    Kind("join_tables", "test_kinds", _join_tables),
)
