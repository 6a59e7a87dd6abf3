"""The little worlds of the split `demonstrations`: each task composes one of its own from these words.

A few fixed worlds would be learned by heart by whoever imitates; that which word is the table and which a column can
then only be read from the task. No other split has a table, a column or a group's word of these.
"""

from __future__ import annotations

import random

from envs.database.domains import Domain, Span

__all__ = ["COLUMNS", "GROUPS", "THINGS", "compose", "vocabulary"]

THINGS = (
    "camera", "chair", "coin", "course", "dog", "motor", "game", "guitar", "hotel", "lecture", "painting", "parcel",
    "phone", "player", "recipe", "robot", "ticket", "tower", "trail", "vase", "bicycle", "castle", "statue", "cheese",
    "tractor_model", "museum_tour", "tram", "wine", "bridge_plan", "race_horse", "comet", "telescope",
)  # fmt: skip
LABELS = (
    "name", "model", "caption", "call_sign", "designation", "nickname", "entry", "mark", "full_name", "heading",
    "short_name", "inscription",
)  # fmt: skip
GROUPS = (
    "maker", "owner", "team", "museum", "publisher", "shop", "hall", "school", "agent", "brand", "workshop", "club",
    "dealer", "station", "depot", "sponsor", "gallerist", "plant_site", "trainer", "guild", "carrier", "keeper",
)  # fmt: skip
"""A thing's column; the side table is its plural, and its key has `_name`, `_title` or `_id` behind it."""
KEYS = ("name", "title", "id")
TAGS = (
    "kind", "colour", "material", "category", "quality", "style", "season", "finish", "origin", "rarity", "theme",
    "size_class", "pattern", "age_group",
)  # fmt: skip
FIGURES = (
    "weight_g", "height_cm", "width_mm", "price", "speed_kmh", "power_w", "depth_m", "rating", "volume_ml", "calories",
    "battery_hours", "duration_s", "votes", "repairs", "sales", "spare_parts", "visitors", "reviews", "downloads",
    "medals", "chapters", "rooms", "doors", "wins", "length_m", "age_days", "points", "tax_cents", "load_kg", "steps",
)  # fmt: skip
TRAITS = (
    "nation", "province", "currency", "climate", "time_zone", "legal_form", "district", "faculty", "sector",
    "head_office", "motto", "dialect",
)  # fmt: skip
SIDE_FIGURES = (
    "staff", "opened_in", "turnover", "members", "phone_code", "branches", "daily_guests", "rent", "rooms_let", "debts",
    "awards_won", "trucks",
)  # fmt: skip
COLUMNS = (*LABELS, *GROUPS, *TAGS, *FIGURES, *TRAITS, *SIDE_FIGURES)
FIRST = (
    "Quiet", "Scarlet", "Early", "Tiny", "Brave", "Frozen", "Double", "Northern", "Plain", "Sunny", "Secret", "Round",
    "Humble", "Gentle", "Rapid", "Ancient", "Misty", "Polished", "KX", "LT", "MV", "No", "Mr", "Iron",
)  # fmt: skip
SECOND = (
    "Falcon", "Pilgrim", "Cascade", "Dancer", "Pepper", "Saturn", "Willow", "Jubilee", "Needle", "Trumpet", "Canyon",
    "Biscuit", "Emperor", "Magnet", "Violet", "Whisper", "17", "208", "350", "4410", "Harper", "Jensen", "of Tours",
    "Nr 6",
)  # fmt: skip
NAMES = (
    "Abbott", "Brandt", "Castelo", "Dorval", "Eriksen", "Fontaine", "Gallo", "Hadley", "Ilmari", "Jarvis", "Kimura",
    "Lazar", "Moreau", "Novak", "Ortega", "Pascal", "Quiroga", "Rinaldi", "Sorel", "Tanaka", "Uriel", "Valdez",
)  # fmt: skip
ENDINGS = ("", "", "", " Brothers", " AG", " House", " Works", " United")
TAG_WORDS = (
    "plain", "striped", "wooden", "glazed", "rare", "common", "antique", "modern", "light", "heavy", "autumn", "spring",
    "matt", "glossy", "first choice", "second hand", "deep blue", "dark red", "silver", "olive", "large", "medium",
    "handmade", "imported",
)  # fmt: skip
TRAIT_WORDS = (
    "Peru", "Ghana", "Malta", "Nepal", "Iceland", "Tonga", "euro", "peso", "rupee", "humid", "dry", "alpine", "trust",
    "old town", "new quarter", "law", "physics", "mining", "Vienna", "Dakar", "Hanoi", "Quito",
)  # fmt: skip
SPANS: tuple[Span, ...] = ((20, 95), (60, 900), (300, 4_000), (1_500, 60_000))


def compose(rng: random.Random) -> Domain:
    """Draw a world."""
    thing, group = rng.choice(THINGS), rng.choice(GROUPS)
    size, count = rng.sample(FIGURES, 2)
    return Domain(
        split="demonstrations",
        name=thing,
        table=f"{thing}s",
        thing=thing.replace("_", " "),
        things=f"{thing}s".replace("_", " "),
        columns=(rng.choice(LABELS), group, rng.choice(TAGS), size, count),
        first=tuple(rng.sample(FIRST, 6)),
        second=tuple(rng.sample(SECOND, 6)),
        groups=tuple(name + rng.choice(ENDINGS) for name in rng.sample(NAMES, 5)),
        tags=tuple(rng.sample(TAG_WORDS, 4)),
        size=rng.choice(SPANS),
        count=rng.choice(SPANS),
        side=f"{group}s",
        side_columns=(f"{group}_{rng.choice(KEYS)}", rng.choice(TRAITS), rng.choice(SIDE_FIGURES)),
        traits=tuple(rng.sample(TRAIT_WORDS, 3)),
        figure=rng.choice(SPANS),
    )


def vocabulary() -> frozenset[str]:
    """Return every name of a table or column, and every group's name without its ending."""
    tables = [f"{name}s" for name in (*THINGS, *GROUPS)]
    return frozenset((*tables, *COLUMNS, *(f"{group}_{key}" for group in GROUPS for key in KEYS), *NAMES))
