"""Everybody's calendar, in half hours from 09:00 to 17:00."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from pydantic import Field

from envs.tools.company import Company
from envs.tools.families.contacts import person_of
from envs.tools.schema import Answer, Arguments, Tool, ToolError
from envs.tools.world import CLOSES, OPENS, SLOT, Event

__all__ = ["TOOLS"]

Who = Annotated[str, Field(description="e-mail address", max_length=100)]
Day = Annotated[str, Field(description="YYYY-MM-DD", pattern=r"^\d{4}-\d{2}-\d{2}$")]
Clock = Annotated[str, Field(description="HH:MM", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Length = Annotated[int, Field(description="30, 60, 90 …", ge=SLOT, le=CLOSES - OPENS, multiple_of=SLOT)]


class ListEvents(Arguments):
    """Arguments of `list_events`."""

    person: Who
    date: Day


class FindFreeSlot(Arguments):
    """Arguments of `find_free_slot`."""

    person: Who
    date: Day
    minutes: Length


class CreateEvent(Arguments):
    """Arguments of `create_event`."""

    person: Who
    date: Day
    start: Clock
    minutes: Length
    title: str = Field(min_length=1, max_length=200)


class CancelEvent(Arguments):
    """Arguments of `cancel_event`."""

    event_id: str = Field(description="as list_events gives it", max_length=20)


def _of_day(company: Company, email: str, date: str) -> list[Event]:
    found = [event for event in company.events.values() if event.person == email and event.date == date]
    return sorted(found, key=lambda event: (event.start, event.id))


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _is_free(company: Company, email: str, date: str, start: int, minutes: int) -> bool:
    taken = ((_minute(event.start), event.minutes) for event in _of_day(company, email, date))
    return all(start + minutes <= begin or begin + length <= start for begin, length in taken)


def _list_events(company: Company, asked: ListEvents) -> Answer:
    events = _of_day(company, person_of(company, asked.person).email, asked.date)
    shown = [{"id": event.id, "start": event.start, "title": event.title} for event in events]
    return {"count": len(shown), "events": shown}


def _find_free_slot(company: Company, asked: FindFreeSlot) -> Answer:
    email = person_of(company, asked.person).email
    for start in range(OPENS, CLOSES - asked.minutes + 1, SLOT):
        if _is_free(company, email, asked.date, start, asked.minutes):
            return {"start": f"{start // 60:02d}:{start % 60:02d}", "date": asked.date}
    raise ToolError(f"no {asked.minutes} minutes are free on {asked.date}")


def _create_event(company: Company, asked: CreateEvent) -> Answer:
    email = person_of(company, asked.person).email
    if not _is_free(company, email, asked.date, _minute(asked.start), asked.minutes):
        raise ToolError(f"{email} is busy on {asked.date} at {asked.start}")
    key = f"e{1 + max((int(event[1:]) for event in company.events), default=0)}"
    event = Event(key, email, asked.date, asked.start, asked.minutes, asked.title)
    company.events[key] = event
    return {"id": key, "start": event.start}


def _cancel_event(company: Company, asked: CancelEvent) -> Answer:
    event = company.events.pop(asked.event_id.casefold(), None)
    if event is None:
        raise ToolError(f"there is no event {asked.event_id!r}; list_events gives the ids")
    return {"cancelled": asdict(event)["title"], "start": event.start}


TOOLS = (
    Tool("list_events", "List a person's events of a day.", ListEvents, _list_events),
    Tool("find_free_slot", "Find the first free time of a day that is long enough.", FindFreeSlot, _find_free_slot),
    Tool("create_event", "Put an event into a person's calendar.", CreateEvent, _create_event),
    Tool("cancel_event", "Remove an event from the calendar.", CancelEvent, _cancel_event),
)
