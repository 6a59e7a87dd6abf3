"""`python -m sage_gym.sandbox`: make images, remove what killed runs left behind, check backends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import track

from sage_gym.errors import SageGymError
from sage_gym.sandbox.conformance import CHECKS, KNOWN_GAPS, Subject
from sage_gym.sandbox.opening import BACKENDS, BASE_IMAGE, open_sandbox

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    """Run one of the commands and return the process's exit status."""
    asked = _parser().parse_args(words)
    command: Callable[[argparse.Namespace, Console], int] = asked.run
    try:
        return command(asked, Console(highlight=False))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sage_gym.sandbox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    image = commands.add_parser("image", help="make an image from Debian's packages, where no registry answers (root)")
    image.add_argument("name", nargs="?", default=BASE_IMAGE, help="by default %(default)s")
    image.add_argument("--mirror", default=None, metavar="URL", help="of Debian's packages")
    image.set_defaults(run=_image)
    cleanup = commands.add_parser("cleanup", help="remove the containers that killed runs left behind")
    cleanup.add_argument("--all", action="store_true", help="those in use too, and those that other machines started")
    cleanup.set_defaults(run=_cleanup)
    check = commands.add_parser("check", help="run the conformance suite on a backend")
    check.add_argument("backend", choices=BACKENDS)
    check.set_defaults(run=_check)
    return parser


def _image(asked: argparse.Namespace, console: Console) -> int:
    from sage_gym.sandbox.engine import connect
    from sage_gym.sandbox.images import MIRROR, make_image

    make_image(connect(), asked.name, console.print, asked.mirror or MIRROR)
    console.print(f"made {asked.name}")
    return 0


def _cleanup(asked: argparse.Namespace, console: Console) -> int:
    from sage_gym.sandbox.engine import connect
    from sage_gym.sandbox.reaper import remove_all, remove_orphans

    removed = (remove_all if asked.all else remove_orphans)(connect())
    for each in removed:
        console.print(f"removed {each.id[:12]} ({each.state})")
    console.print(f"{len(removed)} removed")
    return 0


def _check(asked: argparse.Namespace, console: Console) -> int:
    subject = Subject(asked.backend, lambda limits: open_sandbox(asked.backend, limits=limits))
    failed = []
    for check in track(CHECKS, description=f"checking {asked.backend}", console=console, transient=True):
        name = check.__name__
        gap = KNOWN_GAPS[asked.backend].get(name)
        if gap is not None:
            console.print(f"[yellow]gap[/]  {name}: {gap}")
            continue
        try:
            check(subject)
        except (AssertionError, SageGymError) as error:
            failed.append(name)
            console.print(f"[red]no[/]   {name}: {error}")
        else:
            console.print(f"[green]yes[/]  {name}: {check.__doc__}")
    gaps = len(KNOWN_GAPS[asked.backend])
    console.print(f"{len(CHECKS) - gaps - len(failed)} hold, {len(failed)} do not, {gaps} are known gaps")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
