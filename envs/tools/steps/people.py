"""Steps that find whom something is sent to."""

from __future__ import annotations

from envs.tools.steps.draft import Draft, Recipient, Who

__all__ = ["RECIPIENTS"]


def _by_role(draft: Draft) -> Who:
    person = draft.pick("role", draft.world.people)
    at = draft.call("find_contact", query=person.role)
    return Who(f"{{{at}.email}}", f"the {person.role}")


def _manager_of(draft: Draft) -> Who:
    person = draft.pick("role", draft.world.people[1:])
    first = draft.call("find_contact", query=person.role)
    at = draft.call("find_contact", query=f"{{{first}.manager}}")
    return Who(f"{{{at}.email}}", draft.say(f"the manager of the {person.role}", f"the {person.role}'s manager"))


def _on_call(draft: Draft) -> Who:
    key = draft.pick("shift", [key for key in draft.world.store if key.startswith("oncall.")])
    first = draft.call("kv_get", key=key)
    at = draft.call("find_contact", query=f"{{{first}.value}}")
    return Who(f"{{{at}.email}}", draft.say(f"whoever is named under {key}", f"the colleague under the key {key}"))


def _project_owner(draft: Draft) -> Who:
    name = str(draft.pick("project", draft.world.tables["projects"])[0])
    first = draft.call("get_record", table="projects", name=name)
    at = draft.call("find_contact", query=f"{{{first}.owner}}")
    return Who(f"{{{at}.email}}", draft.say(f"the owner of project {name}", f"the project owner of {name}"))


def _newest(draft: Draft) -> Who:
    department = draft.pick("department", sorted({p.department for p in draft.world.people[1:]}))
    team = [person for person in draft.world.people if person.department == department]
    place = max(range(len(team)), key=lambda at: team[at].since)
    at = draft.call("list_team", department=department)
    phrase = draft.say(f"the newest member of {department}", f"who joined {department} last")
    return Who(f"{{{at}.members.{place}.email}}", phrase)


RECIPIENTS = (
    Recipient("by_role", ("find_contact",), _by_role),
    Recipient("manager_of", ("find_contact", "find_contact"), _manager_of),
    Recipient("on_call", ("kv_get", "find_contact"), _on_call),
    Recipient("project_owner", ("get_record", "find_contact"), _project_owner),
    Recipient("newest", ("list_team",), _newest),
)
