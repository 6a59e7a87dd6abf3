"""Requests for approval: the user's own, and those that wait for the user's decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from envs.tools.company import Company
from envs.tools.schema import Answer, Arguments, Tool, ToolError
from envs.tools.world import Approval

__all__ = ["TOOLS"]


class ListApprovals(Arguments):
    """Arguments of `list_approvals`."""

    status: Literal["pending", "approved", "rejected"]


class RequestApproval(Arguments):
    """Arguments of `request_approval`."""

    subject: str = Field(min_length=1, max_length=200)
    amount: float = Field(description="in EUR", ge=0, allow_inf_nan=False)


class DecideApproval(Arguments):
    """Arguments of `decide_approval`."""

    approval_id: str = Field(description="as list_approvals gives it", max_length=20)
    decision: Literal["approved", "rejected"]


def _list_approvals(company: Company, asked: ListApprovals) -> Answer:
    found = [a for a in company.approvals.values() if a.status == asked.status]
    return {"approvals": [{"id": a.id, "subject": a.subject, "amount": a.amount} for a in found]}


def _request_approval(company: Company, asked: RequestApproval) -> Answer:
    key = f"a{len(company.approvals) + 1}"
    company.approvals[key] = Approval(key, asked.subject, asked.amount)
    return {"id": key, "status": "pending"}


def _decide_approval(company: Company, asked: DecideApproval) -> Answer:
    key = asked.approval_id.casefold()
    approval = company.approvals.get(key)
    if approval is None:
        raise ToolError(f"there is no request {asked.approval_id!r}; list_approvals gives the ids")
    company.approvals[key] = replace(approval, status=asked.decision)
    return {"id": key, "status": asked.decision}


TOOLS = (
    Tool("list_approvals", "List requests for approval by their status.", ListApprovals, _list_approvals),
    Tool("request_approval", "Ask for an approval.", RequestApproval, _request_approval),
    Tool("decide_approval", "Approve or reject a request.", DecideApproval, _decide_approval),
)
