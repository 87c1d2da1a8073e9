"""`transformers serve` with the starter's writer, as a server of its own on loopback: for the benchmark and for a test.

It needs `pip install transformers[serving]` in some environment; neither Weft nor its tests install that.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.settings import Settings
from models.weights import four_bits
from models.weights.starter import resolve

READY_S = 300.0
_PROGRAM = "import sys; sys.argv[0] = 'transformers'; from transformers.cli.transformers import main; main()"
_NEEDED = "from transformers.utils.import_utils import is_serve_available; raise SystemExit(not is_serve_available())"
_KEPT = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that writes. `model`: as it calls it."""

    base_url: str
    model: str
    pid: int


def can_serve(python: str) -> bool:
    """Whether the environment of this interpreter has all that `transformers serve` needs."""
    try:
        return subprocess.run([python, "-c", _NEEDED], check=False, capture_output=True, timeout=120).returncode == 0
    except OSError:
        return False


def merged_writer(folder: Path, settings: Settings) -> None:
    """The starter's writer as one checkpoint that `transformers` loads: its base with our adapter in it, float32. Raises `Fatal`."""
    from safetensors.torch import save_file

    paths = resolve(settings.model_cache, ("writer",))
    folder.mkdir(parents=True, exist_ok=True)
    for name in _KEPT:
        if (paths.writer_base / name).is_file():
            shutil.copy(paths.writer_base / name, folder / name)
    tensors = {
        name: tensor.float().contiguous().clone()
        for name, tensor in four_bits.merged(paths.writer_base / four_bits.SOURCE, paths.writer_adapter)
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@contextmanager
def serving(python: str, folder: Path, log: Path) -> Iterator[Serving]:
    """Serve the checkpoint in this folder while the context is open. Raises `TimeoutError`: it never wrote a word."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-c", _PROGRAM, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as told:
        process = subprocess.Popen(
            [*command, "--device", "cpu", "--dtype", "float32"], stdout=told, stderr=told, env=environment
        )
    try:
        found = Serving(f"http://127.0.0.1:{port}/v1", str(folder), process.pid)
        _wait(found, process, log)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Serving, process: subprocess.Popen[bytes], log: Path) -> None:
    asked = {"model": server.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=60):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise TimeoutError(f"transformers serve does not write: {log.read_text(errors='replace')[-2000:]}")
