"""Calculator and unit conversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from envs.tools.arithmetic import ExpressionError, evaluate
from envs.tools.company import Company
from envs.tools.schema import Answer, Arguments, Tool, ToolError

__all__ = ["TOOLS", "UNITS", "convert"]

DECIMALS = 2
UNITS: dict[str, tuple[str, float]] = {
    "m": ("length", 1.0),
    "km": ("length", 1000.0),
    "mile": ("length", 1609.344),
    "foot": ("length", 0.3048),
    "g": ("weight", 0.001),
    "kg": ("weight", 1.0),
    "pound": ("weight", 0.45359237),
    "ounce": ("weight", 0.028349523125),
    "minute": ("time", 1.0),
    "hour": ("time", 60.0),
    "liter": ("volume", 1.0),
    "gallon": ("volume", 3.785411784),
}
"""Unit → its dimension and how many of the dimension's base unit it holds; temperatures are apart."""
TO_CELSIUS: dict[str, Callable[[float], float]] = {
    "celsius": lambda degrees: degrees,
    "fahrenheit": lambda degrees: (degrees - 32) * 5 / 9,
    "kelvin": lambda degrees: degrees - 273.15,
}
FROM_CELSIUS: dict[str, Callable[[float], float]] = {
    "celsius": lambda degrees: degrees,
    "fahrenheit": lambda degrees: degrees * 9 / 5 + 32,
    "kelvin": lambda degrees: degrees + 273.15,
}
Unit = Literal[
    "m", "km", "mile", "foot", "g", "kg", "pound", "ounce", "minute", "hour", "liter", "gallon", "celsius",
    "fahrenheit", "kelvin",
]  # fmt: skip


class Calculate(Arguments):
    """Arguments of `calculate`."""

    expression: str = Field(description="such as (12 + 3.5) * 4; max, min, round, sqrt are known", max_length=500)


class ConvertUnits(Arguments):
    """Arguments of `convert_units`."""

    value: float = Field(description="how many of from_unit", allow_inf_nan=False)
    from_unit: Unit
    to_unit: Unit


def convert(value: float, from_unit: str, to_unit: str) -> float:
    """Convert between units.

    Raises:
        ToolError: they measure different things.
    """
    if from_unit in TO_CELSIUS and to_unit in TO_CELSIUS:
        return FROM_CELSIUS[to_unit](TO_CELSIUS[from_unit](value))
    source, target = (UNITS.get(unit, ("temperature", 1.0)) for unit in (from_unit, to_unit))
    if source[0] != target[0]:
        raise ToolError(f"{from_unit} is a unit of {source[0]}, {to_unit} one of {target[0]}")
    return value * source[1] / target[1]


def _calculate(company: Company, asked: Calculate) -> Answer:
    try:
        return {"result": round(evaluate(asked.expression), DECIMALS)}
    except ExpressionError as error:
        raise ToolError(str(error)) from error


def _convert_units(company: Company, asked: ConvertUnits) -> Answer:
    value = convert(asked.value, asked.from_unit, asked.to_unit)
    return {"result": round(value, DECIMALS), "unit": asked.to_unit}


TOOLS = (
    Tool("calculate", "Work out an expression of numbers, to two decimals.", Calculate, _calculate),
    Tool("convert_units", "Convert a number from one unit to another.", ConvertUnits, _convert_units),
)
