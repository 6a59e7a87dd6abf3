"""Pages in HTML. Whatever comes out of a file is made harmless here, once, for all templates.

Every text that a template puts out passes `neutralise` (control characters, reversed writing, half surrogate pairs
become visible) and is then escaped; only what this package has made as `Markup` is taken as it is.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from sage_gym.evaluation.report import wording
from sage_gym.evaluation.viewer.library import Progress
from sage_gym.evaluation.viewer.pages import Page

__all__ = ["Asset", "assets", "render"]

SHORT = 160
SEPARATOR = " [SEP] "
"""What WebShop's text observations are joined by."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages refer to; its address carries its hash, so that it may be kept for ever."""

    body: bytes
    type: str
    link: str


@cache
def assets() -> Mapping[str, Asset]:
    """Return the style, the script and the icon by name."""
    found = {}
    for path in files("sage_gym.evaluation.viewer").joinpath("static").iterdir():
        body = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        link = f"/static/{path.name}?{blake2b(body, digest_size=6).hexdigest()}"
        found[path.name] = Asset(body, f"{kind}; charset=utf-8" if kind.startswith("text/") else kind, link)
    return found


def render(page: Page, progress: Progress, skipped: int) -> str:
    """Return a page as HTML.

    Args:
        page: what it says.
        progress: of reading, shown on every page while there is any.
        skipped: damaged lines, of all runs.
    """
    template = _environment().get_template(page.template)
    return template.render(page.content, page=page, progress=progress, skipped=skipped)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sage_gym.evaluation.viewer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_finalise,
    )
    environment.filters |= wording.FILTERS
    environment.filters |= {
        "breakable": _breakable,
        "pieces": _pieces,
        "probability": _probability,
        "short": _short,
        "signed": _signed,
        "visible": _visible,
    }
    environment.globals["static"] = lambda name: assets()[name].link
    return environment


def _finalise(value: Any) -> Any:
    return wording.neutralise(value) if type(value) is str else value


def _pieces(text: str) -> Markup:
    """Put the parts of an observation that is joined by separators on lines of their own."""
    if "\n" in text or SEPARATOR not in text:
        return escape(wording.neutralise(text))
    joint = Markup('<span class="sep"> [SEP] </span>\n')
    return joint.join(wording.neutralise(piece) for piece in text.split(SEPARATOR))


def _breakable(key: str) -> Markup:
    """Let a task's key go on in the next line after a slash."""
    return Markup("/<wbr>").join(wording.neutralise(part) for part in key.split("/"))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def _probability(value: float) -> str:
    """A probability whose smallness is not rounded away."""
    return f"{value:.3f}" if value >= 0.0005 or value == 0 else f"{value:.0e}"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _visible(text: str) -> str:
    """Show the white space of a token."""
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
