"""MySQL's functions of dates; a date is the text `YYYY-MM-DD`, with ` HH:MM:SS` where it has a time."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

__all__ = ["DATE_FUNCTIONS"]

WRITTEN = re.compile(r"\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?")
CODES = {"%i": "%M", "%s": "%S", "%M": "%B", "%W": "%A", "%h": "%I", "%e": "%d", "%c": "%m", "%k": "%H", "%D": "%d"}
UNPADDED = {"%e": "%d", "%c": "%m", "%k": "%H"}
UNITS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400, "WEEK": 604_800}
MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def parse(value: Any) -> datetime | None:
    """Read a date; None where it is none."""
    found = WRITTEN.match(str(value))
    try:
        return datetime(*(int(part or 0) for part in found.groups())) if found else None  # type: ignore[arg-type]
    except ValueError:
        return None


def show(moment: datetime, has_time: bool) -> str:
    """Write a date, with its time where one is wanted."""
    return moment.strftime("%Y-%m-%d %H:%M:%S" if has_time else "%Y-%m-%d")


def extract(unit: str, value: Any) -> int | None:
    """Give one part of a date."""
    moment = parse(value)
    if moment is None:
        return None
    parts = {
        "YEAR": moment.year,
        "QUARTER": (moment.month + 2) // 3,
        "MONTH": moment.month,
        "DAY": moment.day,
        "HOUR": moment.hour,
        "MINUTE": moment.minute,
        "SECOND": moment.second,
        "DAYOFWEEK": moment.isoweekday() % 7 + 1,
        "WEEKDAY": moment.weekday(),
        "DAYOFYEAR": moment.timetuple().tm_yday,
    }
    return parts.get(unit.upper())


def _part(unit: str) -> Callable[[Any], int | None]:
    return lambda value: extract(unit, value)


def shift(value: Any, amount: Any, unit: str) -> str | None:
    """Move a date by an interval; a day that the month lacks becomes its last."""
    moment = parse(value)
    if moment is None or amount is None:
        return None
    steps = int(float(amount))
    try:
        if unit in UNITS:
            moved = moment + timedelta(seconds=steps * UNITS[unit])
        else:
            months = moment.year * 12 + moment.month - 1 + steps * MONTHS[unit]
            year, month = divmod(months, 12)
            moved = moment.replace(
                year=year, month=month + 1, day=min(moment.day, calendar.monthrange(year, month + 1)[1])
            )
    except (KeyError, OverflowError, ValueError):
        return None
    return show(moved, ":" in str(value) or unit in ("SECOND", "MINUTE", "HOUR"))


def _python_codes(pattern: str) -> str:
    return re.sub(r"%.", lambda found: CODES.get(found[0], found[0]), pattern)


def read_as(value: Any, pattern: Any) -> str | None:
    """Give `STR_TO_DATE`."""
    if value is None or pattern is None:
        return None
    try:
        moment = datetime.strptime(str(value).strip(), _python_codes(str(pattern)))
    except (ValueError, re.error):
        return None
    written = show(moment, any(code in str(pattern) for code in ("%H", "%h", "%i", "%T", "%r", "%k")))
    return written if "%y" in str(pattern).lower() else "0000" + written[4:]


def write_as(value: Any, pattern: Any) -> str | None:
    """Give `DATE_FORMAT`."""
    moment = parse(value)
    if moment is None or pattern is None:
        return None

    def written(found: re.Match[str]) -> str:
        code = found[0]
        return str(int(moment.strftime(UNPADDED[code]))) if code in UNPADDED else moment.strftime(CODES.get(code, code))

    return re.sub(r"%[a-zA-Z%]", written, str(pattern))


def days_between(later: Any, earlier: Any) -> int | None:
    """Give `DATEDIFF`."""
    first, second = parse(later), parse(earlier)
    return None if first is None or second is None else (first.date() - second.date()).days


def only_date(value: Any) -> str | None:
    """Give `DATE`."""
    moment = parse(value)
    return None if moment is None else show(moment, False)


def _name(pattern: str) -> Callable[[Any], str | None]:
    return lambda value: write_as(value, pattern)


DATE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "extract": extract,
    "shift": shift,
    "date": only_date,
    "year": _part("YEAR"),
    "quarter": _part("QUARTER"),
    "month": _part("MONTH"),
    "day": _part("DAY"),
    "dayofmonth": _part("DAY"),
    "dayofweek": _part("DAYOFWEEK"),
    "dayofyear": _part("DAYOFYEAR"),
    "weekday": _part("WEEKDAY"),
    "hour": _part("HOUR"),
    "minute": _part("MINUTE"),
    "second": _part("SECOND"),
    "monthname": _name("%M"),
    "dayname": _name("%W"),
    "str_to_date": read_as,
    "date_format": write_as,
    "datediff": days_between,
}
