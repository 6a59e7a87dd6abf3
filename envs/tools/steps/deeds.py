"""Lookups through a colleague, and lookups that change something on the way: book, cancel, decide, delete."""

from __future__ import annotations

from envs.tools.pools import names
from envs.tools.steps.draft import Draft, Lookup, Value

__all__ = ["DEEDS"]


def email_of_role(draft: Draft) -> tuple[str, str]:
    """Find somebody by role; return the slot of the e-mail address and how to call the person."""
    role = draft.pick("role", draft.world.people).role
    return f"{{{draft.call('find_contact', query=role)}.email}}", f"the {role}"


def _weather_of(draft: Draft) -> Value:
    who, day = draft.pick("role", draft.world.people), draft.pick("day", draft.world.days)
    found = draft.call("find_contact", query=who.role)
    at = draft.call("get_weather", city=f"{{{found}.city}}", date=day)
    phrase = draft.say(
        f"the temperature on {day} where the {who.role} works", f"the temperature on {day} in the {who.role}'s city"
    )
    return Value("celsius", f"{{{at}.celsius}}", phrase, unit="celsius")


def _meetings(draft: Draft) -> Value:
    email, words = email_of_role(draft)
    day = draft.pick("day", draft.world.days)
    at = draft.call("list_events", person=email, date=day)
    return Value(
        "count",
        f"{{{at}.count}}",
        draft.say(f"the number of events of {words} on {day}", f"how many events {words} has on {day}"),
    )


def _slot(draft: Draft) -> Value:
    email, words = email_of_role(draft)
    day, minutes = draft.pick("day", draft.world.days), 30 * draft.rng.randint(1, 3)
    at = draft.call("find_free_slot", person=email, date=day, minutes=minutes)
    phrase = draft.say(
        f"the start of the first free {minutes} minutes of {words} on {day}",
        f"when {words} is first free for {minutes} minutes on {day}",
    )
    return Value("time", f"{{{at}.start}}", phrase, person=email)


def _booked(draft: Draft) -> Value:
    email, words = email_of_role(draft)
    day, minutes = draft.pick("day", draft.world.days), 30 * draft.rng.randint(1, 3)
    title = draft.pick("meeting", names("meetings"))
    at = draft.call("find_free_slot", person=email, date=day, minutes=minutes)
    draft.call("create_event", person=email, date=day, start=f"{{{at}.start}}", minutes=minutes, title=title)
    draft.leads.append(
        draft.say(
            f'Book the first free {minutes} minutes of {words} on {day} as "{title}"',
            f'Find the first {minutes} minutes that {words} has free on {day} and book them as "{title}"',
        )
    )
    return Value("time", f"{{{at}.start}}", "the start time of that event", person=email)


def _freed(draft: Draft) -> Value:
    world = draft.world
    who, day = draft.pick("role", world.people), draft.pick("day", world.days)
    events = sorted((e for e in world.events if e.person == who.email and e.date == day), key=lambda e: e.start)
    place = draft.rng.randrange(len(events))
    found = draft.call("find_contact", query=who.role)
    listed = draft.call("list_events", person=f"{{{found}.email}}", date=day)
    draft.call("cancel_event", event_id=f"{{{listed}.events.{place}.id}}")
    title = events[place].title
    draft.leads.append(
        draft.say(
            f'Cancel the "{title}" of the {who.role} on {day}',
            f'Take the "{title}" on {day} out of the calendar of the {who.role}',
        )
    )
    return Value("time", f"{{{listed}.events.{place}.start}}", "the start time it had", person=f"{{{found}.email}}")


def _decided(draft: Draft) -> Value:
    place = draft.pick("approval", range(len(draft.world.approvals)))
    subject, decision = draft.world.approvals[place].subject, draft.rng.choice(("approved", "rejected"))
    at = draft.call("list_approvals", status="pending")
    draft.call("decide_approval", approval_id=f"{{{at}.approvals.{place}.id}}", decision=decision)
    verb = "Approve" if decision == "approved" else "Reject"
    draft.leads.append(draft.say(f'{verb} the pending request "{subject}"', f'{verb} "{subject}", which is pending'))
    return Value("eur", f"{{{at}.approvals.{place}.amount}}", "the amount of that request", unit="EUR")


def _retired(draft: Draft) -> Value:
    key = draft.pick("fee", [key for key in draft.world.store if key.startswith("fee.")])
    at = draft.call("kv_get", key=key)
    draft.call("kv_delete", key=key)
    draft.leads.append(
        draft.say(f"Read the key {key} and then delete it", f"The key {key} is to go: read it first, then delete it")
    )
    return Value("eur", f"{{{at}.value}}", "the value it had", unit="EUR")


DEEDS = (
    Lookup("weather_of", ("find_contact", "get_weather"), "celsius", _weather_of),
    Lookup("meetings", ("find_contact", "list_events"), "count", _meetings),
    Lookup("slot", ("find_contact", "find_free_slot"), "time", _slot),
    Lookup("booked", ("find_contact", "find_free_slot", "create_event"), "time", _booked, is_changing=True),
    Lookup("freed", ("find_contact", "list_events", "cancel_event"), "time", _freed, is_changing=True),
    Lookup("decided", ("list_approvals", "decide_approval"), "eur", _decided, is_changing=True),
    Lookup("retired", ("kv_get", "kv_delete"), "eur", _retired, is_changing=True),
)
