"""Who works here."""

from __future__ import annotations

from pydantic import Field

from envs.tools.company import Company
from envs.tools.schema import Answer, Arguments, Tool, ToolError
from envs.tools.world import Person

__all__ = ["TOOLS", "person_of"]

MOST_SHOWN = 5


class FindContact(Arguments):
    """Arguments of `find_contact`."""

    query: str = Field(description="a name, a role or an e-mail address", min_length=1, max_length=100)


class ListTeam(Arguments):
    """Arguments of `list_team`."""

    department: str = Field(max_length=50)


def person_of(company: Company, email: str) -> Person:
    """Return whose e-mail address this is.

    Raises:
        ToolError: nobody's.
    """
    wanted = email.strip().casefold()
    for person in company.world.people:
        if person.email == wanted:
            return person
    raise ToolError(f"{email!r} is nobody's e-mail address; find_contact gives it")


def _find_contact(company: Company, asked: FindContact) -> Answer:
    wanted = asked.query.strip().casefold()
    people = company.world.people
    found = [p for p in people if wanted in (p.name.casefold(), p.role, p.email)]
    found = found or [p for p in people if wanted in f"{p.name} {p.role} {p.email}".casefold()]
    if not found:
        raise ToolError(f"no contact matches {asked.query!r}; roles are {', '.join(p.role for p in people)}")
    if len(found) > 1:
        names = ", ".join(f"{p.name} ({p.role})" for p in found[:MOST_SHOWN])
        raise ToolError(f"{len(found)} contacts match {asked.query!r}: {names}")
    person = found[0]
    return {
        "name": person.name,
        "role": person.role,
        "email": person.email,
        "city": person.city,
        "manager": person.manager,
    }


def _list_team(company: Company, asked: ListTeam) -> Answer:
    department = asked.department.strip().casefold()
    members = [p for p in company.world.people if p.department == department]
    if not members:
        known = ", ".join(dict.fromkeys(p.department for p in company.world.people))
        raise ToolError(f"no department {asked.department!r}; departments are {known}")
    return {"members": [{"name": p.name, "since": p.since, "email": p.email} for p in members]}


TOOLS = (
    Tool("find_contact", "Look a colleague up by name, role or e-mail address.", FindContact, _find_contact),
    Tool("list_team", "List the members of a department.", ListTeam, _list_team),
)
