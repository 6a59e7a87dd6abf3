"""The container engine, reached through the `docker` SDK; no other module imports it."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from sage_gym.errors import EngineAbsentError, ImageError, SandboxLostError
from sage_gym.sandbox.channel import SEND_S
from sage_gym.sandbox.protocol import Limits

__all__ = ["Attached", "Engine", "Owned", "connect"]

TIMEOUT_S = 60
FRAME = struct.Struct(">BxxxI")
"""Docker's attach protocol: the stream (1 stdout, 2 stderr), three empty bytes, the length."""
STDERR = 2
CHUNK_BYTES = 1 << 16
OURS = "sage-gym/"
"""What images that are made here are called."""
OWN_PROCESSES = 8
"""Of the runner, beside the commands' own."""
OWN_MEMORY_MIB = 64
SHARED_MIB = 16
OWN_CAPABILITIES = ("SETUID", "SETGID", "SETPCAP", "KILL")
"""Of the first process alone, to become the commands' user without a way back, and to end what is that user's."""
SYSCTLS = {
    "kernel.shm_rmid_forced": "1",
    "kernel.shmall": str((SHARED_MIB << 20) // 4096),
    "kernel.msgmni": "16",
    "kernel.sem": "250 4096 32 16",
}
"""Memory that outlives processes: little of it."""
FAULTS = (DockerException, requests.RequestException, OSError)


@dataclass(frozen=True, slots=True)
class Owned:
    """A container of ours, as the engine lists it."""

    id: str
    labels: Mapping[str, str]
    state: str


class Attached:
    """A container's standard streams over the attach socket."""

    def __init__(self, connection: socket.socket, response: Any) -> None:
        self._socket = connection
        self._response = response  # its end would close the socket
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(SEND_S), 0))

    def send(self, message: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(message)

    def receive(self) -> Iterator[tuple[bool, bytes]]:
        """Give what the container writes."""
        buffer = bytearray()
        while received := self._socket.recv(CHUNK_BYTES):
            buffer += received
            while len(buffer) >= FRAME.size:
                stream, size = FRAME.unpack_from(buffer)
                if len(buffer) < FRAME.size + size:
                    break
                yield stream == STDERR, bytes(buffer[FRAME.size : FRAME.size + size])
                del buffer[: FRAME.size + size]

    def close(self) -> None:
        """End the connection; the engine then ends the container's standard input."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()


class Engine:
    """A connection to a container engine.

    Args:
        client: of the SDK.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def require_image(self, image: str) -> None:
        """Return if the engine has an image.

        Raises:
            ImageError: it has not; says which commands would make or pull it.
        """
        try:
            self._client.images.get(image)
        except ImageNotFound:
            ours = f"make it with `python -m sage_gym.sandbox image {image}`, or " if image.startswith(OURS) else ""
            raise ImageError(f"the engine has no image {image!r}; {ours}pull it with `docker pull {image}`") from None
        except FAULTS as error:
            raise _gone(error) from error

    def start(
        self,
        image: str,
        command: Sequence[str],
        *,
        limits: Limits,
        scratch: Mapping[str, int],
        user: int,
        workspace: str,
        has_network: bool,
        labels: Mapping[str, str],
    ) -> tuple[str, Attached]:
        """Start a container that removes itself when it ends; return its id and its standard streams.

        Args:
            image: name of an image that the engine has.
            command: what its first process is, in place of the image's own.
            limits: kept by the kernel.
            scratch: folder → mode of what can be written, in memory; the rest cannot.
            user: id of the user that these folders belong to; the first process is root, with next to no capability.
            workspace: folder to start in.
            has_network: whether it may reach any.
            labels: to find it by.

        Raises:
            ImageError: there is no such image.
            SandboxLostError: the engine refused or is gone.
        """
        api = self._client.api
        identifier = ""
        try:
            identifier = api.create_container(
                image,
                entrypoint=list(command),
                command=[],
                stdin_open=True,
                user="0:0",
                working_dir=workspace,
                labels=dict(labels),
                host_config=api.create_host_config(**_confinement(limits, scratch, user, has_network)),
            )["Id"]
            response = api.attach_socket(identifier, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            api.start(identifier)
        except ImageNotFound:
            self.require_image(image)
            raise
        except FAULTS as error:
            if identifier:
                self.remove(identifier)
            raise _gone(error) from error
        return identifier, Attached(response._sock, response)

    def exec(self, identifier: str, argv: Sequence[str]) -> bytes:
        """Run a command in a container the engine's own way, which the runner is there to do without."""
        try:
            created = self._client.api.exec_create(identifier, list(argv))
            output: bytes = self._client.api.exec_start(created["Id"])
        except FAULTS as error:
            raise _gone(error) from error
        return output

    def remove(self, identifier: str) -> None:
        """End and remove a container, if it is still there."""
        try:
            self._client.api.remove_container(identifier, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != 409 and self._has(identifier):  # 409: its removal is under way
                raise _gone(error) from error
        except FAULTS as error:
            raise _gone(error) from error

    def _has(self, identifier: str) -> bool:
        try:
            self._client.api.inspect_container(identifier)
        except NotFound:
            return False
        except FAULTS as error:
            raise _gone(error) from error
        return True

    def owned(self, label: str) -> list[Owned]:
        """List the containers, ended ones included, that carry a label."""
        try:
            found = self._client.api.containers(all=True, filters={"label": label})
        except FAULTS as error:
            raise _gone(error) from error
        return [Owned(each["Id"], each["Labels"], each["State"]) for each in found]

    def import_image(self, archive: Iterator[bytes], image: str, changes: Sequence[str]) -> None:
        """Make an image of a file system's tar archive."""
        repository, _, tag = image.partition(":")
        try:
            self._client.api.import_image_from_data(
                archive, repository=repository, tag=tag or "latest", changes=changes
            )
        except FAULTS as error:
            raise _gone(error) from error


def connect() -> Engine:
    """Connect to the engine that `$DOCKER_HOST`, or else the system's socket, names; once for each.

    Raises:
        EngineAbsentError: none answers there; says what was tried.
    """
    return _connect(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))


@cache
def _connect(tried: str) -> Engine:
    try:
        client = docker.from_env(timeout=TIMEOUT_S)
        client.ping()
    except FAULTS as error:
        raise EngineAbsentError(
            f"expected a container engine at {tried}, got: {error}. Start it (`systemctl start docker`, or "
            "`dockerd` as root), or name another with DOCKER_HOST; what does not ask for docker runs without it"
        ) from error
    return Engine(client)


def _confinement(limits: Limits, scratch: Mapping[str, int], user: int, has_network: bool) -> dict[str, Any]:
    """Return the host configuration: nothing that a command needs not."""
    file_mib = 2 * (limits.file_bytes >> 20)
    memory_mib = limits.memory_mib + len(scratch) * limits.scratch_mib + OWN_MEMORY_MIB + SHARED_MIB + file_mib
    owner = f"nr_inodes={limits.scratch_files},uid={user},gid={user}"
    sizes = {**dict.fromkeys(scratch, limits.scratch_mib), "/dev/shm": SHARED_MIB}
    modes = {**scratch, "/dev/shm": 0o1777}
    return {
        "auto_remove": True,
        "cap_drop": ["ALL"],
        "cap_add": list(OWN_CAPABILITIES),
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "network_mode": "bridge" if has_network else "none",
        "ipc_mode": "private",
        "sysctls": SYSCTLS,
        "mem_limit": memory_mib << 20,
        "memswap_limit": memory_mib << 20,
        "nano_cpus": int(limits.cpus * 1e9),
        "pids_limit": limits.processes + OWN_PROCESSES,
        "log_config": {"Type": "none"},
        "ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "msgqueue", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": 1024, "Hard": 4096},
        ],
        "tmpfs": {
            folder: f"rw,exec,nosuid,nodev,mode={mode:o},size={sizes[folder]}m,{owner}"
            for folder, mode in modes.items()
        },
    }


def _gone(error: Exception) -> SandboxLostError:
    return SandboxLostError(f"the container engine refused or is gone: {error}")
