"""Images made from Debian's packages, where no registry answers; with one, the `Dockerfile` beside says the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

from sage_gym.errors import ImageError
from sage_gym.sandbox.engine import Engine

__all__ = ["DOCKERFILES", "MIRROR", "make_image", "packages_of"]

MIRROR = "http://deb.debian.org/debian"
SUITE = "bookworm"
DOCKERFILES = {"sage-gym/base:1": "base"}
"""Image → folder of its Dockerfile here."""
LIMIT_S = 900
CHUNK_BYTES = 1 << 20
NEEDLESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
Say = Callable[[str], None]


def make_image(engine: Engine, image: str, say: Say, mirror: str = MIRROR) -> None:
    """Make one of our images with `debootstrap` and hand it to the engine. Needs root.

    Args:
        engine: where it goes.
        image: one of `DOCKERFILES`.
        say: told each step.
        mirror: of Debian's packages.

    Raises:
        ImageError: it is not one of ours, or it cannot be made here; says what would help.
    """
    if image not in DOCKERFILES:
        raise ImageError(f"expected one of {', '.join(DOCKERFILES)}, got {image!r}; pull it with `docker pull {image}`")
    if shutil.which("debootstrap") is None:
        folder = f"sage_gym/sandbox/images/{DOCKERFILES[image]}"
        raise ImageError(
            f"expected the command `debootstrap`, found none; install it (`apt-get install debootstrap`), or, with a "
            f"registry: `docker build -t {image} {folder}`"
        )
    with tempfile.TemporaryDirectory(prefix="sage-gym-image-") as folder:
        root = Path(folder, "root")
        say(f"fetching and unpacking Debian {SUITE} from {mirror}")
        _bootstrap(root, packages_of(image), mirror)
        for needless in NEEDLESS:
            shutil.rmtree(root / needless, ignore_errors=True)
        (root / "workspace").mkdir()
        say(f"handing {image} to the engine")
        engine.import_image(_archive(root), image, ["WORKDIR /workspace"])


def packages_of(image: str) -> list[str]:
    """Return the packages that the image's Dockerfile installs."""
    text = files(__package__).joinpath(DOCKERFILES[image], "Dockerfile").read_text("utf-8")
    found = re.search(r"--no-install-recommends ([^\\]+)", text)
    assert found is not None
    return found.group(1).split()


def _bootstrap(root: Path, packages: list[str], mirror: str) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", SUITE, str(root), mirror]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise ImageError(f"debootstrap ended with {done.returncode} (it needs root, and {mirror}):\n{last}")


def _archive(root: Path) -> Iterator[bytes]:
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(CHUNK_BYTES):
            yield chunk
    if process.returncode:
        raise ImageError(f"tar ended with {process.returncode} while packing {root}")
