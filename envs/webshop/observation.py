"""A session as text: upstream's `text` and `text_rich` modes, and what `rules="fixed"` adds to them."""

from __future__ import annotations

from envs.webshop.pages import done_nodes, join, join_rich, rich_item, rich_listing, sub_nodes, visible
from envs.webshop.session import Session

__all__ = ["header", "observe_rich", "observe_text"]


def header(instruction: str) -> str:
    """Give what stands at the top of every page; made once an episode."""
    return join(["Instruction:", *visible(instruction)])


def observe_text(session: Session, header_: str) -> str:
    """Show a session in the mode `text`."""
    text = _text(session, header_)
    if session.rules == "upstream":
        return text
    if session.page == "item" and session.options:
        text = join([text, "Chosen", *_chosen(session)])
    return f"{text} [SEP] Invalid action: {session.message}" if session.message else text


def _text(session: Session, header_: str) -> str:
    page, item = session.page, session.item
    if page == "index":
        return f"WebShop [SEP] {header_} [SEP] Search"
    if page == "results":
        head = [header_, "Back to Search", *_results_head(session)]
        return " [SEP] ".join(head + [shown.listing for shown in session.shown])
    if page == "item" and item:
        return f"{header_} [SEP] {item.item}"
    if page == "sub" and item:
        return join([header_, "Back to Search", "< Prev", *sub_nodes(item.product, session.sub)])
    return join(_done(session))


def observe_rich(session: Session) -> str:
    """Show a session in the mode `text_rich`."""
    lines, notices = _rich_lines(session)
    if session.rules == "fixed" and session.message:
        lines.append(f"Invalid action: {session.message}")
    return join_rich([*notices, *lines])


def _rich_lines(session: Session) -> tuple[list[str], list[str]]:
    page, item, wanted = session.page, session.item, visible(session.goal.instruction)
    if page == "index":
        return ["WebShop", "Instruction: ", *wanted, "[button] Search [button_]"], []
    if page == "done":
        return _done(session), []
    lines = ["Instruction:", *wanted]
    if page == "item" and item:
        shown, notices = rich_item(item.product, item.subs, session.address)
        return lines + shown, notices
    lines.append("[button] Back to Search [button_]")
    if page == "sub" and item:
        return [*lines, "[button] < Prev [button_]", *sub_nodes(item.product, session.sub)], []
    head, *buttons = _results_head(session)
    lines += [head, *(f"[button] {button} [button_]" for button in buttons)]
    for listed in session.shown:
        lines += rich_listing(listed.product, is_visited=listed.product.asin in session.visited)
    return lines, []


def _results_head(session: Session) -> list[str]:
    head = f"Page {session.number} (Total results: {len(session.found)})"
    return [head, "< Prev", "Next >"] if session.number > 1 else [head, "Next >"]


def _chosen(session: Session) -> list[str]:
    return [f"{name}: {value}" for name, value in session.options.items()]


def _done(session: Session) -> list[str]:
    asin = session.item.product.asin if session.item else ""
    return done_nodes(asin, session.options, session.purchase.reward if session.purchase else 0.0)
