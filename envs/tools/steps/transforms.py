"""Steps that make one value of another."""

from __future__ import annotations

from collections.abc import Iterable

from envs.tools.pools import names
from envs.tools.steps.draft import Draft, Transform, Value

__all__ = ["TRANSFORMS", "apart", "total"]

MODIFIERS = (", ", " after ", " in EUR", "% of", "times ", "(")
IMPERIAL = {"km": ("mile", "miles"), "kg": ("pound", "pounds"), "celsius": ("fahrenheit", "fahrenheit")}


def _exchange(draft: Draft, value: Value, target: str) -> str:
    rate = draft.call("exchange_rate", from_currency=value.unit, to_currency=target)
    return f"{{{draft.call('calculate', expression=f'{value.slot} * {{{rate}.rate}}')}.result}}"


def _to_eur(draft: Draft, value: Value) -> Value:
    slot = _exchange(draft, value, "EUR")
    phrase = draft.say(f"{value.phrase} in EUR", f"{value.phrase}, turned into EUR")
    return Value("eur", slot, phrase, unit="EUR")


def _to_foreign(draft: Draft, value: Value) -> Value:
    code = draft.pick("currency", names("currencies"))
    slot = _exchange(draft, value, code)
    phrase = draft.say(f"{value.phrase} in {code}", f"{value.phrase}, converted from EUR to {code}")
    return Value("foreign", slot, phrase, unit=code)


def _percent(draft: Draft, value: Value) -> Value:
    share = draft.rng.choice((5, 8, 12, 15, 20, 25, 30, 40, 60, 75))
    at = draft.call("calculate", expression=f"{value.slot} * {share} / 100")
    return Value(value.kind, f"{{{at}.result}}", f"{share} % of {value.phrase}", unit=value.unit)


def _growth(draft: Draft, value: Value) -> Value:
    rate, years = draft.rng.randint(2, 9), draft.rng.randint(2, 6)
    at = draft.call("run_python", code=f"print(round({value.slot} * (1 + {rate} / 100) ** {years}, 2))")
    phrase = draft.say(
        f"{value.phrase} after {years} years of {rate} % growth (compounded with Python)",
        f"{value.phrase}, grown in Python by {rate} % a year for {years} years",
    )
    return Value(value.kind, f"{{{at}.stdout}}", phrase, unit=value.unit)


def _multiple(draft: Draft, value: Value) -> Value:
    count = draft.rng.randint(2, 24)
    at = draft.call("calculate", expression=f"{value.slot} * {count}")
    return Value(value.kind, f"{{{at}.result}}", f"{count} times {value.phrase}", unit=value.unit)


def _imperial(draft: Draft, value: Value) -> Value:
    unit, plural = IMPERIAL[value.kind]
    amount = value.slot
    at = draft.call("convert_units", value=amount, from_unit=value.unit, to_unit=unit)
    return Value(
        "imperial",
        f"{{{at}.result}}",
        draft.say(f"{value.phrase} in {plural}", f"{value.phrase}, as {plural}"),
        unit=unit,
    )


def _whole(draft: Draft, value: Value) -> Value:
    at = draft.call("run_python", code=f"print(int({value.slot} // 1))")
    phrase = draft.say(
        f"{value.phrase}, rounded down in Python to a whole number",
        f"{value.phrase} (whole part, rounded down by Python)",
    )
    return Value("count", f"{{{at}.stdout}}", phrase)


def _rest(draft: Draft, value: Value) -> Value:
    size = draft.rng.choice((4, 6, 7, 9, 12))
    at = draft.call("run_python", code=f"print({value.slot} % {size})")
    phrase = draft.say(
        f"what Python gives as the rest of {value.phrase} divided by {size}",
        f"the remainder (Python's %) of {value.phrase} over {size}",
    )
    return Value("count", f"{{{at}.stdout}}", phrase)


def total(draft: Draft, values: list[Value]) -> Value:
    """Join values of one kind into one: their sum, or of two the difference or the larger one."""
    slots = [value.slot for value in values]
    listed = apart(value.phrase for value in values)
    how = draft.rng.choice(("sum", "difference", "larger")) if len(values) == 2 else "sum"
    if how == "sum":
        expression, phrase = " + ".join(slots), f"the sum of {listed}"
    elif how == "difference":
        expression, phrase = f"abs({slots[0]} - {slots[1]})", f"the difference between {listed}"
    else:
        expression, phrase = f"max({slots[0]}, {slots[1]})", f"the larger of {listed}"
    at = draft.call("calculate", expression=expression)
    return Value(values[0].kind, f"{{{at}.result}}", phrase, unit=values[0].unit)


def apart(phrases: Iterable[str], joint: str = "and") -> str:
    """List phrases; with letters where a modifier behind one could be read as belonging to all."""
    parts = list(phrases)
    if any(mark in part for part in parts for mark in MODIFIERS):
        parts = [f"({letter}) {part}" for letter, part in zip("abc", parts, strict=False)]
    return f"{', '.join(parts[:-1])} {joint} {parts[-1]}"


EXCHANGE = ("exchange_rate", "calculate")
TRANSFORMS = (
    Transform("to_eur", EXCHANGE, "foreign", "eur", _to_eur),
    Transform("to_foreign", EXCHANGE, "eur", "foreign", _to_foreign),
    Transform("percent", ("calculate",), "eur", "eur", _percent),
    Transform("growth", ("run_python",), "eur", "eur", _growth),
    Transform("multiple_price", ("calculate",), "foreign", "foreign", _multiple),
    Transform("multiple_weight", ("calculate",), "kg", "kg", _multiple),
    Transform("multiple_distance", ("calculate",), "km", "km", _multiple),
    Transform("miles", ("convert_units",), "km", "imperial", _imperial),
    Transform("pounds", ("convert_units",), "kg", "imperial", _imperial),
    Transform("fahrenheit", ("convert_units",), "celsius", "imperial", _imperial),
    Transform("whole", ("run_python",), "imperial", "count", _whole),
    Transform("rest", ("run_python",), "count", "count", _rest),
)
