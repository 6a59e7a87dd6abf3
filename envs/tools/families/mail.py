"""The user's mail."""

from __future__ import annotations

from pydantic import Field

from envs.tools.company import Company, Sent
from envs.tools.families.contacts import person_of
from envs.tools.schema import Answer, Arguments, Tool, ToolError

__all__ = ["TOOLS"]

MOST_SHOWN = 3


class SearchMail(Arguments):
    """Arguments of `search_mail`."""

    query: str = Field(description="words of the sender or the subject", min_length=1, max_length=100)


class ReadMail(Arguments):
    """Arguments of `read_mail`."""

    mail_id: str = Field(description="as search_mail gives it", max_length=20)


class SendMail(Arguments):
    """Arguments of `send_mail`."""

    to: str = Field(description="e-mail address of a colleague", max_length=100)
    subject: str = Field(min_length=1, max_length=200)
    body: str = Field(min_length=1, max_length=2000)


def _search_mail(company: Company, asked: SearchMail) -> Answer:
    words = set(asked.query.casefold().split())
    scored = [(len(words & set(f"{m.sender} {m.subject}".casefold().split())), m) for m in company.world.inbox]
    found = sorted((pair for pair in scored if pair[0]), key=lambda pair: (-pair[0], pair[1].id))[:MOST_SHOWN]
    best = [mail for score, mail in found if score == found[0][0]]
    return {"mails": [{"id": m.id, "from": m.sender, "subject": m.subject} for m in best]}


def _read_mail(company: Company, asked: ReadMail) -> Answer:
    for mail in company.world.inbox:
        if mail.id == asked.mail_id.casefold():
            return {"from": mail.sender, "text": mail.text, "amount": mail.amount}
    raise ToolError(f"there is no mail {asked.mail_id!r}; search_mail gives the ids")


def _send_mail(company: Company, asked: SendMail) -> Answer:
    company.sent.append(Sent(person_of(company, asked.to).email, asked.subject, asked.body))
    return {"sent": True}


TOOLS = (
    Tool("search_mail", "Search the inbox by sender and subject.", SearchMail, _search_mail),
    Tool("read_mail", "Read a mail of the inbox.", ReadMail, _read_mail),
    Tool("send_mail", "Send a mail to a colleague.", SendMail, _send_mail),
)
