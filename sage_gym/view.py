r"""`python -m sage_gym.view runs/demo`: a local page to read runs, rounds, groups and trajectories.

Words without `=` are run folders, or folders that hold some. The page is on 127.0.0.1 alone; from another machine, have
ssh carry the port (`ssh -L 8750:127.0.0.1:8750 HOST`).
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from sage_gym.config import VIEW, ViewConfig, read_or_exit

if TYPE_CHECKING:
    from sage_gym.evaluation.viewer.library import Library
    from sage_gym.evaluation.viewer.server import Server

__all__ = ["main", "name_folders"]

PORT = 8750


def main(words: list[str] | None = None) -> int:
    """Serve the page until interrupted, and return the process's exit status."""
    config = read_or_exit(VIEW, name_folders(sys.argv[1:] if words is None else words))
    # loaded once the settings are known to be right
    from sage_gym.evaluation.report.wording import neutralise
    from sage_gym.evaluation.viewer.cache import Cache, cache_folder
    from sage_gym.evaluation.viewer.files import find_runs
    from sage_gym.evaluation.viewer.library import Library

    runs, problems = find_runs(config.runs)
    if problems:
        print("\n".join(problems), file=sys.stderr)
        print("\nname a run: python -m sage_gym.view runs/NAME; --help lists every setting", file=sys.stderr)
        return 2
    _log_harmlessly(neutralise)
    with Library(runs, Cache(cache_folder()) if config.cache else None) as library:
        return _serve(library, config)


def name_folders(words: Sequence[str]) -> list[str]:
    """Turn words without `=` into the setting `runs`; options of old habit (`-h`, `--port`) stay what they are."""
    folders = [word for word in words if "=" not in word and not word.startswith("-") and word != "help"]
    others = [word for word in words if word not in folders]
    return [*others, f"runs={json.dumps(folders)}"] if folders else others


def _log_harmlessly(neutralise: Callable[[str], str]) -> None:
    """Print warnings; what a trajectory put into one must not act on the terminal."""

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return neutralise(super().format(record))

    printer = logging.StreamHandler()
    printer.setFormatter(Formatter("%(message)s"))
    logging.basicConfig(handlers=[printer], level=logging.WARNING)


def _serve(library: Library, config: ViewConfig) -> int:
    from sage_gym.evaluation.viewer.server import Server

    try:
        server = _bind(Server, library, config.port)
    except OSError as error:
        print(
            f"port {config.port} cannot be had ({error.strerror}); give another: port=0 takes a free one",
            file=sys.stderr,
        )
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    with server:
        print(_greeting(library, server.link), flush=True)
        if config.browser:
            webbrowser.open(server.link)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def _bind(kind: type[Server], library: Library, port: int | None) -> Server:
    """Take the port that is wanted; where none is, the usual one, or a free one when that is taken."""
    if port is not None:
        return kind(library, port)
    try:
        return kind(library, PORT)
    except OSError:
        return kind(library, 0)


def _greeting(library: Library, link: str) -> str:
    count, progress = len(library.runs), library.progress
    lines = [f"{count} run{'s' if count != 1 else ''}, {len(library.index):,} trajectories: {link}"]
    if progress.pending_files:
        lines.append(
            f"reading {progress.pending / 1e6:,.0f} MB in {progress.pending_files} files; the page shows how far"
        )
    return "\n".join([*lines, "Ctrl-C ends it"])


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
