"""All tools by name, and their families."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from envs.tools.families import (
    approvals,
    calculator,
    calendar,
    contacts,
    files,
    knowledge,
    mail,
    python,
    rates,
    records,
)
from envs.tools.schema import Tool

__all__ = ["CHANGING", "FAMILIES", "TOOLS"]

FAMILIES: Mapping[str, tuple[Tool[Any], ...]] = MappingProxyType(
    {
        "calculator": calculator.TOOLS,
        "calendar": calendar.TOOLS,
        "contacts": contacts.TOOLS,
        "mail": mail.TOOLS,
        "files": files.TOOLS,
        "records": records.TOOLS,
        "knowledge": knowledge.TOOLS,
        "rates": rates.TOOLS,
        "python": python.TOOLS,
        "approvals": approvals.TOOLS,
    }
)
CHANGING = frozenset(
    {
        "cancel_event",
        "create_event",
        "decide_approval",
        "kv_delete",
        "kv_set",
        "request_approval",
        "send_mail",
        "sql_execute",
        "write_note",
    }
)
"""The tools that change the company; the others only read."""
TOOLS: Mapping[str, Tool[Any]] = MappingProxyType({tool.name: tool for tools in FAMILIES.values() for tool in tools})
