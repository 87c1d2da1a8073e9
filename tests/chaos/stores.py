"""The object stores of a run, and how they are put in trouble."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.local_store import LocalStore
from infra.s3_store import S3Address, S3Store
from infra.store import ObjectStore
from tests.chaos.proxy import MODES, S3Proxy
from tests.fixtures.s3_servers import S3Server, server_program

BUCKET = "weft-chaos"
_VOLUME_BYTES = 256 * 2**20
_BALLAST = 2**20


@dataclass(frozen=True, slots=True)
class Trouble:
    """How a store is put in trouble. `harmed` counts the requests that felt it, where that can be known."""

    modes: tuple[str, ...]
    begin: Callable[[str], None]
    end: Callable[[], None]
    harmed: Callable[[], int | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Place:
    """A store: how the stack reaches it (`environment`, `url`), and how we do, past all trouble (`store`)."""

    store: ObjectStore
    url: str
    environment: dict[str, str] = field(repr=False)
    trouble: Trouble
    name: str


@asynccontextmanager
async def s3_place(folder: Path) -> AsyncIterator[Place]:
    """A MinIO of our own behind a proxy. Raises `RuntimeError` when there is no MinIO, or it does not start."""
    server = await asyncio.to_thread(_minio, folder)
    proxy = S3Proxy(server.endpoint)
    try:
        endpoint = await proxy.start()
        store = S3Store(
            S3Address(server.endpoint, BUCKET, secure=False),
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
        environment = {
            "WEFT_S3_ENDPOINT": endpoint,
            "WEFT_S3_SECURE": "false",
            "WEFT_S3_ACCESS_KEY": server.access_key,
            "WEFT_S3_SECRET_KEY": server.secret_key,
        }
        trouble = Trouble(MODES, proxy.set, lambda: proxy.set(""), lambda: proxy.harmed)
        yield Place(store, f"s3://{BUCKET}", environment, trouble, "s3")
    finally:
        await proxy.stop()
        server.stop()


@contextmanager
def folder_place(folder: Path, *, volume: bool = True) -> Iterator[Place]:
    """A local folder; with `volume` on a small one of its own where we may mount it: only a real one can be full."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = volume and _mount(folder)
    root, away, ballast = folder / "store", folder / "store-away", folder / "ballast"
    try:
        store = LocalStore(root)

        def begin(mode: str) -> None:
            if mode == "full":
                _fill(ballast)
            else:
                root.rename(away)
                root.write_bytes(b"not a folder")  # or a role that starts now would make an empty store of its own

        def end() -> None:
            ballast.unlink(missing_ok=True)
            if away.exists():
                root.unlink()
                away.rename(root)

        modes = ("refuse", "full") if mounted else ("refuse",)
        yield Place(store, root.as_uri(), {}, Trouble(modes, begin, end), "folder on a volume" if mounted else "folder")
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def _minio(folder: Path) -> S3Server:
    program = server_program()
    if isinstance(program, str):
        raise RuntimeError(program)  # noqa: TRY004 - it is the reason
    folder.mkdir(parents=True, exist_ok=True)
    server = S3Server(program, folder, f"127.0.0.1:{_free_port()}")
    server.start()
    return server


def _mount(folder: Path) -> bool:
    """Needs the right to mount; without it there is no trouble "full"."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_VOLUME_BYTES}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _fill(ballast: Path) -> None:
    """Until not one more byte fits."""
    with ballast.open("wb", buffering=0) as file:
        size = _BALLAST
        while size:
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                size //= 16


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
