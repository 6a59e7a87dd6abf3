"""Who is answered, and how; the command from its words to its end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sage_gym.evaluation.viewer.rendering import assets
from sage_gym.evaluation.viewer.server import HEADERS, Server, is_from_here, is_own_host
from sage_gym.view import name_folders
from tests.imports import ROOT
from tests.viewer_runs import open_library, write_run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = write_run(tmp_path_factory.mktemp("runs") / "demo")
    with open_library(folder) as library, Server(library, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_it_listens_to_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.socket.family is socket.AF_INET
    assert server.link == f"http://127.0.0.1:{server.server_address[1]}/"


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:8750", True),
        ("localhost", True),
        ("LocalHost:9000", True),
        ("[::1]:8750", True),
        ("[::1]", True),
        ("evil.example", False),
        ("evil.example:8750", False),
        ("127.0.0.1.evil.example:8750", False),
        ("localhost.evil.example", False),
        ("localhost:80@evil.example", False),
        ("evil.example#localhost", False),
        ("0.0.0.0:8750", False),
        ("127.0.0.1:", True),
        ("127.0.0.1:٣", False),
        ("", False),
    ],
)
def test_a_name_that_others_can_point_here_is_refused(server: Server, host: str, is_own: bool) -> None:
    assert is_own_host([host]) is is_own
    if host.isascii():
        status, headers, body = ask(server, "/", Host=host)
        assert status == (200 if is_own else 421)
        assert ("Runs" in body) is is_own
        assert headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


def test_no_host_or_two_are_refused(server: Server) -> None:
    assert not is_own_host(None)
    assert not is_own_host(["localhost", "localhost"])
    with socket.create_connection(server.server_address[:2], timeout=30) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 421 " in raw.makefile("rb").readline()


@pytest.mark.parametrize(
    ("site", "mode", "is_answered"),
    [
        (None, None, True),
        ("same-origin", "cors", True),
        ("none", "navigate", True),
        ("cross-site", "navigate", True),
        ("cross-site", "no-cors", False),
        ("cross-site", "cors", False),
        ("same-site", "no-cors", False),
    ],
)
def test_other_sites_may_link_here_and_nothing_else(
    server: Server, site: str | None, mode: str | None, is_answered: bool
) -> None:
    assert is_from_here(site, mode) is is_answered
    headers = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode}
    status, _, _ = ask(server, "/status", **{name: value for name, value in headers.items() if value})
    assert status == (200 if is_answered else 403)


@pytest.mark.parametrize(
    "path", ["/", "/trajectories", "/nothing", "/status", "/static/viewer.css", "/static/../server.py"]
)
def test_every_answer_lets_a_page_run_and_load_only_what_is_ours(server: Server, path: str) -> None:
    _, headers, _ = ask(server, path)
    rules = dict(rule.strip().partition(" ")[::2] for rule in headers["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    for kind in ("script-src", "style-src", "img-src", "connect-src", "form-action"):
        assert rules[kind] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(server: Server, method: str) -> None:
    status, headers, _ = ask(server, "/", method)
    assert status == 501
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/", "/etc/passwd", "//x/run"]
)
def test_no_path_leads_to_a_file_of_the_disk(server: Server, path: str) -> None:
    status, _, body = ask(server, path)
    assert status == 404
    assert "import" not in body


def test_a_head_is_answered_without_a_body(server: Server) -> None:
    status, headers, body = ask(server, "/", "HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 100


def test_files_that_never_change_may_be_kept_and_pages_not(server: Server) -> None:
    for asset in assets().values():
        status, headers, _ = ask(server, asset.link)
        assert status == 200
        assert "immutable" in headers["Cache-Control"]
    assert ask(server, "/")[1]["Cache-Control"] == "no-store"


def test_a_mistake_of_ours_is_a_page_that_says_so(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sage_gym.evaluation.viewer.pages.lists.stand", lambda *_: 1 / 0)
    status, _, body = ask(server, "/trajectories")
    assert status == 500
    assert "the viewer made a mistake here" in body
    assert "division by zero" not in body
    assert "division by zero" in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "/trajectories?text=%ff%ed%a0%80%00",
        "/trajectories?page=" + "9" * 4000,
        "/trajectories?round_min=" + "9" * 30,
        "/trajectories?sort=%1b",
        "/trajectory?at=demo|rounds/001/select.jsonl|%ff",
        "/ledger?at=demo|rounds/001/select.jsonl|r1/shop/001%230&turn=" + "9" * 5000,
        "/paired?run=demo&run=demo&page=" + "9" * 5000,
        "/group?of=demo|rounds/001/select.jsonl&task=%ed%a0%80",
        "/run?run=%00",
        "/%ff?%ff=%ff",
        "/trajectories?" + "&".join(["x=1"] * 5000),
    ],
)
def test_no_address_brings_the_viewer_to_a_mistake(server: Server, path: str) -> None:
    status, _, body = ask(server, path)
    assert status in (200, 400, 404)
    assert "made a mistake" not in body
    assert "\x1b" not in body


def test_a_very_long_address_is_refused(server: Server) -> None:
    assert ask(server, f"/trajectories?text={'x' * 64_500}")[0] == 414


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ([], []),
        (["runs/demo"], ['runs=["runs/demo"]']),
        (["a b", "port=1", "c"], ["port=1", 'runs=["a b", "c"]']),
        (["--help"], ["--help"]),
        (["help", "x"], ["help", 'runs=["x"]']),
    ],
)
def test_words_without_an_equals_sign_are_runs(words: list[str], settings: list[str]) -> None:
    assert name_folders(words) == settings


@contextmanager
def command(*words: str, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the viewer as from a terminal (in the background, SIGINT would be ignored); it is gone afterwards."""
    environment = {**os.environ, "SAGE_GYM_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "sage_gym.view", *words],
        cwd=cache.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_the_command_prints_of_a_damaged_line_does_not_act_on_the_terminal(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one\x1b]0;title\x07")
    path = run / "rounds/001/select.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b"{}\n"
    path.write_bytes(b"".join(lines))
    with command(run.name, "port=0", cache=tmp_path / "cache") as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        while True:
            connection.request("GET", "/status")
            if json.loads(connection.getresponse().read())["pending_files"] == 0:
                break
        connection.close()
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert "select.jsonl, line 2: expected a trajectory" in errors
    assert "␛]0;title␇" in errors
    assert "\x1b" not in errors


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_a_folder_of_runs_until_it_is_interrupted(tmp_path: Path, ending: signal.Signals) -> None:
    write_run(tmp_path / "runs/one two")
    with command("runs/one two", "port=0", cache=tmp_path / "cache") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found is not None, process.communicate()
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("GET", "/run?run=one+two")
        assert b"40 trajectories" in connection.getresponse().read()
        connection.close()
        process.send_signal(ending)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")


def test_the_command_says_what_is_wrong_with_its_words(tmp_path: Path) -> None:
    cases = {
        ("nowhere", "nothing"): "nowhere: expected a run folder, or one that holds some, got nothing of that name",
        ("prt=80",): "prt: no such setting; did you mean 'port'?",
        ("port=99999",): "port: expected less than or equal to 65535, got 99999",
    }
    for words, says in cases.items():
        with command(*words, cache=tmp_path / "cache") as process:
            _, errors = process.communicate(timeout=120)
        assert process.returncode == 2
        assert says in errors
        assert "Traceback" not in errors


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "runs/one")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with command("runs/one", f"port={port}", cache=tmp_path / "cache") as process:
            _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"port {port} cannot be had" in errors


def test_opening_loads_neither_scipy_nor_a_model_library() -> None:
    code = (
        "import sys, sage_gym.view; from sage_gym.evaluation.viewer import library, server, cache; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) & {"scipy", "sklearn", "statsmodels", "pandas", "torch", "transformers"} == set()
