"""A simulated company as a task finds it: drawn from the task's seed, frozen, shared by nobody's writing.

There is no clock: `today` is part of the world. Amounts are in EUR unless a currency stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from envs.tools.pools import names, table

__all__ = ["Approval", "Article", "Event", "File", "Mail", "Note", "Person", "World", "make_world"]

FIRST_DAY = date(2026, 1, 5)
DAY_COUNT = 4
OPENS, CLOSES, SLOT = 9 * 60, 17 * 60, 30
"""Working hours and their grid, in minutes."""


@dataclass(frozen=True, slots=True)
class Person:
    """An employee; `manager` is a name, `since` a year that nobody shares within a department."""

    name: str
    role: str
    department: str
    email: str
    city: str
    manager: str
    since: int


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of a person's calendar; `start` is `HH:MM`."""

    id: str
    person: str
    date: str
    start: str
    minutes: int
    title: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in the user's inbox."""

    id: str
    sender: str
    subject: str
    text: str
    amount: float


@dataclass(frozen=True, slots=True)
class File:
    """A file of the share; the figure is also in the text."""

    text: str
    amount: float


@dataclass(frozen=True, slots=True)
class Note:
    """A note of the user's; `figure` None where it holds no number of its own."""

    title: str
    text: str
    figure: int | None = None


@dataclass(frozen=True, slots=True)
class Article:
    """A knowledge article with the figure that it tells."""

    title: str
    text: str
    amount: float


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval: `pending`, `approved` or `rejected`."""

    id: str
    subject: str
    amount: float
    status: str = "pending"


@dataclass(frozen=True, slots=True)
class World:
    """Everything that the tools answer from. `tables`: name → rows as they are put into SQLite."""

    company: str
    today: str
    days: tuple[str, ...]
    people: tuple[Person, ...]
    events: tuple[Event, ...]
    inbox: tuple[Mail, ...]
    files: Mapping[str, File]
    notes: tuple[Note, ...]
    store: Mapping[str, str | float]
    tables: Mapping[str, tuple[tuple[str | float, ...], ...]]
    articles: tuple[Article, ...]
    rates: Mapping[str, float]
    weather: Mapping[tuple[str, str], tuple[float, str]]
    approvals: tuple[Approval, ...]

    def find_person(self, name: str) -> Person:
        """Return the person of that name."""
        return next(person for person in self.people if person.name == name)


def make_world(seed: int) -> World:
    """Draw a company; the same for the same seed on every machine."""
    rng = Random(seed)
    company = rng.choice(names("companies"))
    days = _working_days(rng)
    cities = rng.sample(names("cities"), 8)
    people = _people(rng, company, cities)
    projects = rng.sample(names("projects"), 6)
    return World(
        company=company,
        today=days[0],
        days=days[1:],
        people=people,
        events=tuple(_events(rng, people, days[1:])),
        inbox=tuple(_inbox(rng)),
        files=_files(rng, projects),
        notes=tuple(_notes(rng)),
        store=_store(rng, people),
        tables=_tables(rng, people, cities, projects),
        articles=tuple(_articles(rng)),
        rates={code: round(rate * rng.uniform(0.94, 1.06), 4) for code, rate in table("rates").items()} | {"EUR": 1.0},
        weather={
            (city, day): (rng.randint(-60, 340) / 10, rng.choice(names("skies"))) for city in cities for day in days[1:]
        },
        approvals=tuple(
            Approval(f"a{number}", subject, _money(rng, 100, 4000))
            for number, subject in enumerate(rng.sample(names("requests"), 4), 1)
        ),
    )


def _working_days(rng: Random) -> tuple[str, ...]:
    day = FIRST_DAY + timedelta(days=rng.randrange(360))
    days: list[str] = []
    while len(days) <= DAY_COUNT:
        if day.weekday() < 5:
            days.append(day.isoformat())
        day += timedelta(days=1)
    return tuple(days)


def _money(rng: Random, low: int, high: int) -> float:
    return rng.randint(low * 2, high * 2) / 2


def _people(rng: Random, company: str, cities: Sequence[str]) -> tuple[Person, ...]:
    roles = table("roles")
    firsts, lasts = rng.sample(names("first"), len(roles)), rng.sample(names("last"), len(roles))
    years = rng.sample(range(2005, 2026), len(roles))
    domain = company.lower().replace(" & ", "-")
    found: list[Person] = []
    heads: dict[str, str] = {}
    for (role, department), first, last, year in zip(roles.items(), firsts, lasts, years, strict=True):
        name = f"{first} {last}"
        manager = heads.get(department) or (found[0].name if found else name)
        heads.setdefault(department, name)
        email = f"{first}@{domain}.example".lower()
        found.append(Person(name, role, department, email, rng.choice(cities), manager, year))
    return tuple(found)


def _events(rng: Random, people: Sequence[Person], days: Sequence[str]) -> list[Event]:
    found: list[Event] = []
    for person in people:
        for day in days:
            starts = sorted(rng.sample(range(OPENS, CLOSES, SLOT), rng.randint(2, 5)))
            for start, title in zip(starts, rng.sample(names("meetings"), len(starts)), strict=True):
                clock = f"{start // 60:02d}:{start % 60:02d}"
                found.append(Event(f"e{len(found) + 1}", person.email, day, clock, SLOT, title))
    return found


def _inbox(rng: Random) -> list[Mail]:
    found = []
    for number, (vendor, product) in enumerate(
        zip(rng.sample(names("vendors"), 6), rng.sample(names("products"), 6), strict=True), 1
    ):
        amount = _money(rng, 200, 5000)
        text = f"Dear all, we offer the {product} for {amount:g} EUR, delivery included. {vendor}"
        found.append(Mail(f"m{number}", vendor, f"quote from {vendor}", text, amount))
    return found


def _files(rng: Random, projects: Sequence[str]) -> dict[str, File]:
    found = {}
    for project in projects:
        amount = _money(rng, 300, 6000)
        found[f"budgets/{project.lower()}.txt"] = File(f"Budget of {project}: {amount:g} EUR", amount)
    for department in ("finance", "sales", "support", "logistics", "people"):
        for month in sorted(rng.sample(range(1, 13), 3)):
            amount = _money(rng, 200, 5000)
            found[f"reports/{department}/2025-{month:02d}.txt"] = File(f"Spent in the month: {amount:g} EUR", amount)
    return found


def _notes(rng: Random) -> list[Note]:
    counts = rng.sample(names("counts"), 4)
    figures = [rng.randint(12, 480) for _ in counts]
    return [Note(f"{what} count", f"{figure} {what}", figure) for what, figure in zip(counts, figures, strict=True)]


def _store(rng: Random, people: Sequence[Person]) -> dict[str, str | float]:
    found: dict[str, str | float] = {f"fee.{fee}": _money(rng, 20, 900) for fee in rng.sample(names("fees"), 5)}
    found |= {f"oncall.{shift}": rng.choice(people[1:]).name for shift in rng.sample(names("shifts"), 4)}
    found |= {f"limit.{team}": float(rng.randint(3, 40) * 100) for team in ("finance", "sales", "support", "logistics")}
    return found


def _articles(rng: Random) -> list[Article]:
    found = []
    for title, text in table("allowances").items():
        amount = rng.randint(8, 180) * 5
        found.append(Article(title, text.format(amount), amount))
    for title, text in table("limits").items():
        amount = rng.randint(3, 40) * 100
        found.append(Article(title, text.format(amount), amount))
    rng.shuffle(found)
    return found


def _tables(
    rng: Random, people: Sequence[Person], cities: Sequence[str], projects: Sequence[str]
) -> dict[str, tuple[tuple[str | float, ...], ...]]:
    products = rng.sample(names("products"), 10)
    customers = rng.sample(names("customers"), 6)
    return {
        "products": tuple(
            (name, _money(rng, 40, 2500), rng.choice(names("currencies")), rng.randint(8, 900) / 10,
             _money(rng, 40, 2500)) for name in products
        ),
        "stock": tuple((name, place, rng.randint(1, 90)) for name in products
                       for place in rng.sample(names("warehouses"), 2)),
        "invoices": tuple(
            (f"r{number}", rng.choice(customers) if number > 2 * len(customers) else customers[number // 2 % 6],
             _money(rng, 60, 2400), "open" if number % 2 or rng.random() < 0.5 else "paid") for number in range(1, 19)
        ),
        "offices": tuple((city, rng.randint(40, 1900)) for city in cities),
        "projects": tuple((name, rng.choice(people[1:]).name, _money(rng, 500, 9000)) for name in projects),
    }  # fmt: skip
