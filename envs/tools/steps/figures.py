"""Lookups of figures: records, files, mails, notes, articles and tables, one or two calls each."""

from __future__ import annotations

from envs.tools.pools import table
from envs.tools.steps.draft import Draft, Lookup, Value

__all__ = ["FIGURES", "LIMITS"]


def _price(draft: Draft) -> Value:
    row = draft.pick("product", draft.world.tables["products"])
    at = draft.call("get_record", table="products", name=str(row[0]))
    phrase = draft.say(f"the price of the {row[0]}", f"what the {row[0]} costs", f"the {row[0]}'s price on record")
    return Value("foreign", f"{{{at}.price}}", phrase, unit=f"{{{at}.currency}}")


def _weight(draft: Draft) -> Value:
    row = draft.pick("product", draft.world.tables["products"])
    at = draft.call("get_record", table="products", name=str(row[0]))
    phrase = draft.say(f"the weight of the {row[0]}", f"what the {row[0]} weighs")
    return Value("kg", f"{{{at}.weight_kg}}", phrase, unit="kg")


def _list_price(draft: Draft) -> Value:
    row = draft.pick("product", draft.world.tables["products"])
    at = draft.call("get_record", table="products", name=str(row[0]))
    phrase = draft.say(f"the list price of the {row[0]}", f"our list price for the {row[0]}")
    return Value("eur", f"{{{at}.list_price}}", phrase, unit="EUR")


def _invoices(draft: Draft) -> Value:
    opened = sorted({str(row[1]) for row in draft.world.tables["invoices"] if row[3] == "open"})
    customer = draft.pick("customer", opened)
    query = f"SELECT SUM(amount) AS total FROM invoices WHERE customer = '{customer}' AND status = 'open'"
    at = draft.call("sql_query", query=query)
    phrase = draft.say(f"the sum of the open invoices of {customer}", f"what {customer} still owes on open invoices")
    return Value("eur", f"{{{at}.rows.0.total}}", phrase, unit="EUR")


def _stock(draft: Draft) -> Value:
    name = draft.pick("product", draft.world.tables["products"])[0]
    at = draft.call("sql_query", query=f"SELECT SUM(units) AS total FROM stock WHERE product = '{name}'")
    phrase = draft.say(f"the units of {name} in stock over all warehouses", f"our whole stock of {name}")
    return Value("count", f"{{{at}.rows.0.total}}", phrase)


def _fee(draft: Draft) -> Value:
    key = draft.pick("fee", [key for key in draft.world.store if key.startswith("fee.")])
    at = draft.call("kv_get", key=key)
    phrase = draft.say(f"the value under the key {key}", f"the {key.removeprefix('fee.')} fee (key {key})")
    return Value("eur", f"{{{at}.value}}", phrase, unit="EUR")


def _quote(draft: Draft) -> Value:
    mail = draft.pick("mail", draft.world.inbox)
    found = draft.call("search_mail", query=mail.sender)
    at = draft.call("read_mail", mail_id=f"{{{found}.mails.0.id}}")
    phrase = draft.say(f"the amount in the mail from {mail.sender}", f"what {mail.sender} quotes by mail")
    return Value("eur", f"{{{at}.amount}}", phrase, unit="EUR")


def _budget(draft: Draft) -> Value:
    path = draft.pick("budget", [path for path in draft.world.files if path.startswith("budgets/")])
    at = draft.call("read_file", path=path)
    phrase = draft.say(f"the budget in the file {path}", f"the amount in {path}")
    return Value("eur", f"{{{at}.amount}}", phrase, unit="EUR")


def _report(draft: Draft) -> Value:
    folders = sorted({path.rpartition("/")[0] for path in draft.world.files if path.startswith("reports/")})
    folder = draft.pick("folder", folders)
    listed = draft.call("list_files", folder=folder)
    place = sum(path.startswith(folder) for path in draft.world.files) - 1
    at = draft.call("read_file", path=f"{{{listed}.files.{place}}}")
    phrase = draft.say(
        f"the amount in the latest file of {folder}", f"what the newest report in {folder} says was spent"
    )
    return Value("eur", f"{{{at}.amount}}", phrase, unit="EUR")


def _allowance(draft: Draft) -> Value:
    return _article(draft, "allowances")


def _article(draft: Draft, pool: str) -> Value:
    title = draft.pick(pool, list(table(pool)))
    at = draft.call("search_knowledge", query=title)
    phrase = draft.say(f"the {title} of our rules", f"the {title} in the knowledge base")
    return Value("eur", f"{{{at}.amount}}", phrase, unit="EUR")


def _distance(draft: Draft) -> Value:
    city = draft.pick("city", draft.world.tables["offices"])[0]
    at = draft.call("get_record", table="offices", name=str(city))
    phrase = draft.say(f"the distance to the {city} office", f"how far away the {city} office is")
    return Value("km", f"{{{at}.distance_km}}", phrase, unit="km")


def _forecast(draft: Draft) -> Value:
    city, day = draft.pick("forecast", list(draft.world.weather))
    at = draft.call("get_weather", city=city, date=day)
    phrase = draft.say(f"the temperature in {city} on {day}", f"the forecast temperature for {city} on {day}")
    return Value("celsius", f"{{{at}.celsius}}", phrase, unit="celsius")


def _figure(draft: Draft) -> Value:
    note = draft.pick("note", draft.world.notes)
    at = draft.call("read_note", title=note.title)
    return Value(
        "count",
        f"{{{at}.figure}}",
        draft.say(f'the number in the note "{note.title}"', f'the figure noted under "{note.title}"'),
    )


def _pending(draft: Draft) -> Value:
    place = draft.pick("approval", range(len(draft.world.approvals)))
    subject = draft.world.approvals[place].subject
    at = draft.call("list_approvals", status="pending")
    phrase = draft.say(
        f'the amount of the pending request "{subject}"', f'what the pending request "{subject}" asks for'
    )
    return Value("eur", f"{{{at}.approvals.{place}.amount}}", phrase, unit="EUR")


def _stored_limit(draft: Draft) -> Value:
    key = draft.pick("limit", [key for key in draft.world.store if key.startswith("limit.")])
    at = draft.call("kv_get", key=key)
    return Value(
        "eur", f"{{{at}.value}}", draft.say(f"the limit under the key {key}", f"the value of the key {key}"), unit="EUR"
    )


def _rule_limit(draft: Draft) -> Value:
    return _article(draft, "limits")


FIGURES = (
    Lookup("price", ("get_record",), "foreign", _price),
    Lookup("weight", ("get_record",), "kg", _weight),
    Lookup("list_price", ("get_record",), "eur", _list_price),
    Lookup("invoices", ("sql_query",), "eur", _invoices),
    Lookup("stock", ("sql_query",), "count", _stock),
    Lookup("fee", ("kv_get",), "eur", _fee),
    Lookup("quote", ("search_mail", "read_mail"), "eur", _quote),
    Lookup("budget", ("read_file",), "eur", _budget),
    Lookup("report", ("list_files", "read_file"), "eur", _report),
    Lookup("allowance", ("search_knowledge",), "eur", _allowance),
    Lookup("distance", ("get_record",), "km", _distance),
    Lookup("forecast", ("get_weather",), "celsius", _forecast),
    Lookup("figure", ("read_note",), "count", _figure),
    Lookup("pending", ("list_approvals",), "eur", _pending),
)
LIMITS = (
    Lookup("stored_limit", ("kv_get",), "eur", _stored_limit),
    Lookup("rule_limit", ("search_knowledge",), "eur", _rule_limit),
)
