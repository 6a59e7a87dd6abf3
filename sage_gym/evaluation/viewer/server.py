"""The pages over HTTP, to this machine alone.

What is defended against: text in trajectories (`rendering`, and a policy that lets no page run or load anything but the
viewer's own two files); pages of other sites that talk to this server through the reader's browser, by another name for
127.0.0.1 (the Host header is checked) or from the outside (`Sec-Fetch-Site` is checked, and no page may be framed).
Nothing is written, and no path in an address is ever opened: files are looked up among those that were found.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sage_gym.evaluation.viewer.library import Library
from sage_gym.evaluation.viewer.pages import PAGES, Asked, Desk, Page, PageError
from sage_gym.evaluation.viewer.rendering import assets, render

__all__ = ["ADDRESS", "HEADERS", "Server", "is_from_here", "is_own_host"]

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""What a browser may call this server; any port, since one may be forwarded to it."""
CONNECTION_S = 60.0
LONGEST_QUERY = 64_000
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), clipboard-read=()",
}


class Server(ThreadingHTTPServer):
    """Answers on 127.0.0.1.

    Args:
        library: open.
        port: 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    address_family = socket.AF_INET
    request_queue_size = 64

    def __init__(self, library: Library, port: int) -> None:
        self.desk = Desk(library)
        super().__init__((ADDRESS, port), _Handler)

    @property
    def link(self) -> str:
        """Where the first page is."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a reader who went away; an answer's own faults are told by the handler."""


def is_own_host(values: list[str] | None) -> bool:
    """Whether a request's Host headers name this server by a name that no one else can point elsewhere."""
    if not values or len(values) != 1:
        return False
    name, _, port = values[0].strip().lower().rpartition(":") if not values[0].endswith("]") else (values[0], "", "")
    if not name:
        name, port = port, ""
    return name in HOSTS and (not port or (port.isascii() and port.isdigit()))


def is_from_here(site: str | None, mode: str | None) -> bool:
    """Whether a request comes from a page of this server, or from following a link; older browsers do not say."""
    return site in (None, "same-origin", "none") or mode == "navigate"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "sage-gym"
    sys_version = ""
    timeout = CONNECTION_S

    def do_GET(self) -> None:
        """Answer."""
        if not is_own_host(self.headers.get_all("Host")):
            hosts = ", ".join(sorted(HOSTS))
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, f"expected the Host to be one of {hosts}")
        elif not is_from_here(self.headers.get("Sec-Fetch-Site"), self.headers.get("Sec-Fetch-Mode")):
            self._refuse(HTTPStatus.FORBIDDEN, "another site asked for this; open it yourself")
        else:
            self._answer()

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what the base class cannot read, in plain text."""
        self.close_connection = True
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are no news."""

    def _answer(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/status":
            self._send(200, json.dumps(asdict(self._progress) | {"share": self._progress.share}), "application/json")
        elif address.path.startswith("/static/"):
            asset = assets().get(address.path.removeprefix("/static/"))
            if asset is None:
                self._refuse(HTTPStatus.NOT_FOUND, "no such file")
            else:
                self._send(200, asset.body, asset.type, "max-age=31536000, immutable")
        elif len(address.query) > LONGEST_QUERY:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"expected at most {LONGEST_QUERY} characters")
        else:
            self._show(Asked(address.path, parse_qsl(address.query, errors="surrogateescape")))

    def _show(self, asked: Asked) -> None:
        desk = self.server.desk
        desk.library.look_again()
        try:
            page = _page(desk, asked)
            body = self._render(page)
        except Exception:
            log.exception("%s cannot be shown", asked.path)
            page = _problem(500, "the viewer made a mistake here; its terminal says which")
            body = self._render(page)
        self._send(page.status, body, "text/html; charset=utf-8")

    def _render(self, page: Page) -> str:
        return render(page, self._progress, sum(found.skipped for _, found in self.server.desk.library.damage()))

    @property
    def _progress(self) -> Any:
        return self.server.desk.library.progress

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self._send(status, f"{message}\n", "text/plain; charset=utf-8")

    def _send(self, status: int, body: str | bytes, kind: str, keep: str = "no-store") -> None:
        data = body.encode("utf-8", "backslashreplace") if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Cache-Control": keep}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _page(desk: Desk, asked: Asked) -> Page:
    try:
        show = PAGES.get(asked.path)
        if show is None:
            raise PageError(404, f"there is no page {asked.path!r}")
        return show(desk, asked)
    except PageError as error:
        return _problem(error.status, error.message)


def _problem(status: int, message: str) -> Page:
    return Page("problem.html.j2", HTTPStatus(status).phrase.capitalize(), {"message": message}, status=status)
