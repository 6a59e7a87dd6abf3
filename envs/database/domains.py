"""The little worlds of the generator: a table of things, and a table of what they belong to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DOMAINS", "Domain"]

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Domain:
    """Names and vocabulary. Column names read as English once `_` is a space.

    `columns` are the things' label, group, tag, size and second number; `side_columns` the group's key, its trait and
    its figure. A label is one word of `first` and one of `second`.
    """

    split: str
    name: str
    table: str
    thing: str
    things: str
    columns: tuple[str, str, str, str, str]
    first: tuple[str, ...]
    second: tuple[str, ...]
    groups: tuple[str, ...]
    tags: tuple[str, ...]
    size: Span
    count: Span
    side: str
    side_columns: tuple[str, str, str]
    traits: tuple[str, ...]
    figure: Span


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


DOMAINS = (
    Domain(
        "train", "library", "books", "book", "books", ("title", "author", "genre", "pages", "copies"),
        _words("Silent,Golden,Broken,Distant,Hidden,Last"), _words("River,Garden,Mirror,Harvest,Lantern,Promise"),
        _words("Mora Lind,Ivo Kern,Tess Adair,Paul Okoro,Nina Vask"), _words("mystery,history,poetry,travel"),
        (90, 900), (1, 40), "authors", ("author_name", "country", "birth_year"),
        _words("Norway,Kenya,Chile"), (1930, 1995),
    ),
    Domain(
        "train", "airport", "flights", "flight", "flights", ("code", "airline", "destination", "distance_km", "seats"),
        _words("AX,BQ,CT,DL,EK,FN"), _words("101,204,317,422,538,660"),
        _words("Northwind,Skyline,Bluejet,Meridian,Condor"), _words("Oslo,Cairo,Lima,Perth"),
        (250, 9800), (60, 380), "airlines", ("airline_name", "alliance", "fleet"),
        _words("Unity,Compass,Horizon"), (12, 310),
    ),
    Domain(
        "train", "office", "employees", "employee", "employees",
        ("employee", "department", "level", "salary", "leave_days"),
        _words("Ada,Ben,Cora,Dev,Elif,Finn"), _words("Moss,Hale,Ruiz,Sato,Weber,Zane"),
        _words("Sales,Finance,Research,Support,Design"), _words("junior,senior,lead,trainee"),
        (24000, 98000), (10, 35), "departments", ("department_name", "floor_name", "budget"),
        _words("ground floor,first floor,attic"), (50000, 900000),
    ),
    Domain(
        "train", "cinema", "films", "film", "films", ("film_title", "studio", "language", "minutes", "awards"),
        _words("Crimson,Paper,Winter,Electric,Velvet,Stone"), _words("Horizon,Circus,Letter,Engine,Orchard,Tide"),
        _words("Larkspur,Monolith,Redwood,Peregrine,Anchor"), _words("English,Hindi,French,Korean"),
        (70, 210), (0, 24), "studios", ("studio_name", "city", "founded"),
        _words("Mumbai,Paris,Seoul"), (1910, 2015),
    ),
    Domain(
        "train", "market", "products", "product", "products", ("product", "supplier", "shelf", "price_cents", "stock"),
        _words("Oak,Steel,Linen,Cork,Amber,Slate"), _words("Stool,Lamp,Basket,Kettle,Frame,Clock"),
        _words("Harrow Ltd,Bexley,Toro Goods,Vantage,Quill"), _words("front,back,window,corner"),
        (150, 12000), (0, 200), "suppliers", ("supplier_name", "region", "delivery_days"),
        _words("north,south,coast"), (1, 21),
    ),
    Domain(
        "train", "farm", "fields", "field", "fields", ("field_name", "farm", "crop", "area_m2", "yield_kg"),
        _words("Upper,Lower,East,West,Mill,Church"), _words("Meadow,Acre,Slope,Corner,Bank,Terrace"),
        _words("Ashdown,Brook,Crane,Dell,Elmstead"), _words("barley,oats,clover,beet"),
        (800, 60000), (100, 9000), "farms", ("farm_title", "county", "tractors"),
        _words("Devon,Kent,Essex"), (1, 14),
    ),
    Domain(
        "select", "harbour", "boats", "boat", "boats", ("boat", "harbour", "rig", "length_cm", "crew"),
        _words("Merry,Swift,Grey,Proud,Lucky,Salty"), _words("Gull,Otter,Wave,Heron,Marlin,Petrel"),
        _words("Port Alba,Greyhaven,Saltmouth,Northquay,Rivergate"), _words("sloop,ketch,cutter,yawl"),
        (420, 3900), (1, 18), "harbours", ("harbour_name", "coast", "berths"),
        _words("rocky,sandy,marsh"), (20, 600),
    ),
    Domain(
        "select", "radio", "songs", "song", "songs", ("song", "label", "mood", "seconds", "plays"),
        _words("Midnight,Sugar,Rusty,Neon,Lonely,Summer"), _words("Avenue,Fever,Parade,Radio,Shadow,Bridge"),
        _words("Halo Records,Tin Roof,Bassline,Copper,Moonrise"), _words("calm,happy,sad,wild"),
        (95, 480), (10, 5000), "labels", ("label_name", "home_town", "artists"),
        _words("Austin,Bristol,Leipzig"), (3, 90),
    ),
    Domain(
        "test", "clinic", "visits", "visit", "visits", ("patient", "doctor", "reason", "wait_minutes", "cost"),
        _words("Omar,Lena,Hugo,Priya,Sven,Wanda"), _words("Abel,Costa,Dunn,Egan,Farah,Gray"),
        _words("Dr Pine,Dr Rowe,Dr Sand,Dr Tull,Dr Voss"), _words("fever,checkup,sprain,allergy"),
        (3, 180), (20, 640), "doctors", ("doctor_name", "ward", "experience_years"),
        _words("red ward,blue ward,green ward"), (1, 38),
    ),
    Domain(
        "test", "league", "matches", "match", "matches", ("match_name", "stadium", "weather", "attendance", "goals"),
        _words("Lions,Hawks,Bears,Wolves,Rovers,Kings"), _words("v Saints,v Tigers,v Comets,v Giants,v Rams,v Foxes"),
        _words("Eastfield,Park Lane,The Bowl,Riverside,Old Mill"), _words("rain,sun,fog,snow"),
        (900, 54000), (0, 9), "stadiums", ("stadium_name", "surface", "capacity"),
        _words("turf,clay,hybrid"), (4000, 60000),
    ),
    Domain(
        "test", "greenhouse", "plants", "plant", "plants", ("plant", "greenhouse", "light", "height_mm", "leaves"),
        _words("Dwarf,Creeping,Royal,Spotted,Alpine,Coral"), _words("Fern,Aloe,Ivy,Lily,Sage,Orchid"),
        _words("Glass One,Palm Hall,Cool Room,Orchid Bay,Cactus Pit"), _words("full sun,half shade,shade,lamp"),
        (40, 2600), (3, 300), "greenhouses", ("greenhouse_name", "heating", "area"),
        _words("gas,solar,none"), (30, 900),
    ),
)  # fmt: skip
"""No two splits share a table, a column or a word of the vocabulary's groups."""
