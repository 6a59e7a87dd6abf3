"""Currency and weather tables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from envs.tools.company import Company
from envs.tools.schema import Answer, Refreshable, Tool, ToolError

__all__ = ["TOOLS"]

DECIMALS = 4
Currency = Literal["EUR", "USD", "GBP", "CHF", "SEK", "PLN", "NOK", "CZK", "DKK"]


class ExchangeRate(Refreshable):
    """Arguments of `exchange_rate`."""

    from_currency: Currency
    to_currency: Currency


class GetWeather(Refreshable):
    """Arguments of `get_weather`."""

    city: str = Field(max_length=50)
    date: str = Field(description="YYYY-MM-DD", pattern=r"^\d{4}-\d{2}-\d{2}$")


def _exchange_rate(company: Company, asked: ExchangeRate) -> Answer:
    rates = company.world.rates
    return {"rate": round(rates[asked.from_currency] / rates[asked.to_currency], DECIMALS)}


def _get_weather(company: Company, asked: GetWeather) -> Answer:
    weather = company.world.weather
    for (city, day), (celsius, sky) in weather.items():
        if city.casefold() == asked.city.strip().casefold() and day == asked.date:
            return {"celsius": celsius, "sky": sky}
    cities, days = (", ".join(dict.fromkeys(key[place] for key in weather)) for place in (0, 1))
    raise ToolError(f"no forecast for {asked.city!r} on {asked.date}; there are {cities} on {days}")


TOOLS = (
    Tool("exchange_rate", "Say what one unit of a currency is in another.", ExchangeRate, _exchange_rate),
    Tool("get_weather", "Give the forecast for a city and a day.", GetWeather, _get_weather),
)
