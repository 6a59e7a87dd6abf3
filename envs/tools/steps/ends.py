"""Steps that use a value up: answer it, send it, keep it, have it approved."""

from __future__ import annotations

from envs.tools.pools import names
from envs.tools.steps.draft import KINDS, Draft, End, Recipient, Value
from envs.tools.steps.people import RECIPIENTS

__all__ = ["ANSWER", "ENDS", "mail_to"]


def _answer(draft: Draft, value: Value) -> str:
    return draft.say(f"tell me {value.phrase}", f"answer with {value.phrase}", f"report {value.phrase}")


def _note(draft: Draft, value: Value) -> str:
    title = draft.pick("title", names("titles"))
    draft.call("write_note", title=title, text=value.slot)
    return draft.say(f'write a note "{title}" with {value.phrase}', f'put {value.phrase} into a note called "{title}"')


def _store(draft: Draft, value: Value) -> str:
    key = draft.pick("key", names("keys"))
    draft.call("kv_set", key=key, value=value.slot)
    return draft.say(f"store {value.phrase} under the key {key}", f"set the key {key} to {value.phrase}")


def _approval(draft: Draft, value: Value) -> str:
    subject = draft.pick("request", names("requests"))
    draft.call("request_approval", subject=subject, amount=value.slot)
    return draft.say(
        f'request approval of {value.phrase} for "{subject}"',
        f'request an approval "{subject}" with {value.phrase} as the amount',
    )


def _list_price(draft: Draft, value: Value) -> str:
    name = draft.pick("product", draft.world.tables["products"])[0]
    draft.call("sql_execute", statement=f"UPDATE products SET list_price = {value.slot} WHERE name = '{name}'")
    return draft.say(
        f"set the list_price of the {name} in the products table to {value.phrase}",
        f"make {value.phrase} the list_price of the {name} in table products",
    )


def _mail(draft: Draft, value: Value, slot: str, words: str) -> str:
    subject = draft.pick("subject", names("subjects"))
    draft.call("send_mail", to=slot, subject=subject, body=value.slot)
    return draft.say(
        f'mail {value.phrase} to {words} under the subject "{subject}"',
        f'send {words} a mail with the subject "{subject}" that gives {value.phrase}',
    )


def _mail_them(draft: Draft, value: Value) -> str:
    return _mail(draft, value, value.person, "them")


def mail_to(recipient: Recipient) -> End:
    """Return the step that mails a value to somebody who has to be found first."""

    def add(draft: Draft, value: Value) -> str:
        who = recipient.add(draft)
        return _mail(draft, value, who.slot, who.phrase)

    return End(f"mail_{recipient.name}", (*recipient.tools, "send_mail"), KINDS, add)


ANSWER = End("answer", (), KINDS, _answer, is_answer=True)
ENDS = (
    ANSWER,
    End("note", ("write_note",), KINDS, _note),
    End("store", ("kv_set",), KINDS, _store),
    End("approval", ("request_approval",), ("eur",), _approval),
    End("list_price", ("sql_execute",), ("eur",), _list_price),
    End("mail_them", ("send_mail",), ("time",), _mail_them),
    *(mail_to(recipient) for recipient in RECIPIENTS),
)
