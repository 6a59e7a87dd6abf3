"""Templates filled in, and pages written all or nothing."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sage_gym.evaluation.report import wording

__all__ = ["render", "write_whole"]


def render(template: str, page: object, **more: object) -> str:
    """Return a page as HTML, with what else its template asks for; every text from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("sage_gym.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= wording.FILTERS
    return environment.get_template(template).render(page=page, **more)


def write_whole(path: Path, text: str) -> Path:
    """Write a file, all or nothing, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    return path
