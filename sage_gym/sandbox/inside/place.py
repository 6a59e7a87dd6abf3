"""What requests are about: the commands' user, the folders, the limits."""

from __future__ import annotations

from . import files, memory

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from typing import Any

    from .files import Roots


class Place:
    """A sandbox's folders. `options`: see `Runner`."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.user: int | None = options["user"]
        self.output_bytes: int = options["output_bytes"]
        self.file_bytes: int = options["file_bytes"]
        self.scratch = {files.identify(path): mode for path, mode in options["scratch"].items()}
        self.readable: Roots = [files.identify(path) for path in options["readable"]]
        self.writable: Roots = [files.identify(path) for path in options["writable"]]

    def work(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Do what is asked with files (`write`, `read` or `reset`), and return the answer's header and body.

        Raises:
            OSError: it cannot be done.
        """
        if request["op"] == "write":
            files.write(request["path"], body, request["mode"], self.writable)
            return {}, b""
        if request["op"] == "read":
            return {}, files.read(request["path"], self.file_bytes, self.readable)
        if self.user is not None:
            memory.remove_shared()
        emptied = [files.empty(root, mode) for root, mode in self.scratch.items()]
        return {"is_clean": all(emptied)}, b""
