"""Python in the sandbox."""

from __future__ import annotations

from pydantic import Field

from envs.tools.company import Company
from envs.tools.schema import Answer, Arguments, Tool

__all__ = ["TOOLS"]


class RunPython(Arguments):
    """Arguments of `run_python`."""

    code: str = Field(description="a Python 3 program; what it prints is answered", min_length=1, max_length=2000)


def _run_python(company: Company, asked: RunPython) -> Answer:
    return {"stdout": company.run_python(asked.code).removesuffix("\n")}


TOOLS = (Tool("run_python", "Run a Python program in a sandbox.", RunPython, _run_python),)
