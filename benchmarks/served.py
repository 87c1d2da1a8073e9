"""`python -m benchmarks.served --serve-python PYTHON`: captions a second through a server ÷ in process, the same weights.

The starter's writer, its adapter in it, in float32, on one thread a side: by `HfWriter` in this process, and by `transformers serve` in
another (PYTHON is an interpreter with `transformers[serving]`). Both write the same packs with the same prompt, turn by turn, several rounds;
processor time is of both processes. Then the client alone: requests to a server that answers at once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import psutil

from benchmarks.report import Row, table
from benchmarks.transformers_serve import Serving, can_serve, merged_writer, serving
from infra.settings import Settings
from models.ports import WriterRequest
from models.recipes.writer_data import cases
from models.served.options import options_of
from models.served.writer import ServedWriter
from models.weights.starter import resolve
from models.writer.hf_writer import HfWriter
from processors import captions
from processors.values import CaptionText

REQUESTS = 400
"""To the server that answers at once."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One side's turn: captions (and those that passed the verifier), tokens, seconds by the clock and of processor."""

    captions: int
    good: int
    tokens: int
    clock: float
    processor: float


def requests_of(count: int) -> list[WriterRequest]:
    """Packs that no training example has, in the tones in turn."""
    return [WriterRequest(case.evidence, case.tone, 100 + n) for n, case in enumerate(cases(count, seed=11))]


def good_of(texts: Sequence[str], requests: Sequence[WriterRequest]) -> int:
    """How many the verifier lets pass as first drafts."""
    verdicts = [captions.judge(text, one.evidence) for text, one in zip(texts, requests, strict=True)]
    return sum(isinstance(verdict, CaptionText) for verdict in verdicts)


def in_process(writer: HfWriter, requests: Sequence[WriterRequest], batch: int) -> Turn:
    """So many at once."""
    clock, processor = time.perf_counter(), time.process_time()
    ready = [writer.prepare(one) for one in requests]
    raws = [raw for at in range(0, len(ready), batch) for raw in writer.forward(ready[at : at + batch])]
    texts = [writer.finish(one, raw) for one, raw in zip(requests, raws, strict=True)]
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return Turn(len(requests), good_of(texts, requests), sum(map(len, raws)), clock, processor)


def through(writer: ServedWriter, process: psutil.Process | None, requests: Sequence[WriterRequest]) -> Turn:
    """As many requests at once as its options say. Raises `Unanswered`: one has no answer."""

    def spent() -> float:
        times = None if process is None else process.cpu_times()
        return time.process_time() + (0.0 if times is None else times.user + times.system)

    clock, processor = time.perf_counter(), spent()
    raws = writer.forward([writer.prepare(one) for one in requests])
    texts = [writer.finish(one, raw) for one, raw in zip(requests, raws, strict=True)]
    clock, processor = time.perf_counter() - clock, spent() - processor
    tokens = sum(raw.answer.completion_tokens for raw in raws if raw.answer is not None)
    return Turn(len(requests), good_of(texts, requests), tokens, clock, processor)


def writer_of(base_url: str, model: str, concurrency: int) -> ServedWriter:
    """Asks with the prompt and the sampling of the starter."""
    said = {"base_url": base_url, "model": model, "concurrency": concurrency, "prompt": "short", "max_tokens": 160}
    return ServedWriter(options_of({**said, "answer_seconds": 600.0, "deadline_seconds": 600.0, "retries": 0}))


@contextmanager
def at_once() -> Iterator[str]:
    """A server that answers at once, always the same; its base URL."""
    body = (
        b'{"choices": [{"message": {"content": "A navy dress.\\n#navy"}, "finish_reason": "stop"}],'
        b' "usage": {"prompt_tokens": 50, "completion_tokens": 9}}'
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # type: ignore[override]
            """A line for each request would be measured, too."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def client_alone(rounds: int) -> Row:
    """What a request costs beside the model; client and server in this process."""
    requests = (requests_of(20) * (REQUESTS // 20))[:REQUESTS]
    with at_once() as address:
        writer = writer_of(address, "none", 8)
        through(writer, None, requests[:20])
        turns = [through(writer, None, requests) for _ in range(rounds)]
        writer.close()
    best = min(turns, key=lambda turn: turn.processor)
    value = f"{best.processor / REQUESTS * 1e3:.2f} ms of processor, {best.clock / REQUESTS * 1e3:.2f} ms by the clock"
    how = f"{REQUESTS} requests, 8 at once, to a server in the same process that answers at once, its cost included; best of {rounds} rounds"
    return Row("a request through the client", value, "", how)


def compared(settings: Settings, python: str, count: int, rounds: int, concurrency: int) -> list[Row]:
    """Both sides, turn by turn."""
    import torch

    torch.set_num_threads(1)
    requests = requests_of(count)
    paths = resolve(settings.model_cache, ("writer",))
    with tempfile.TemporaryDirectory(prefix="weft-served-") as folder:
        merged_writer(Path(folder) / "writer", settings)
        local = HfWriter.load(paths.writer_base, paths.writer_adapter, quantised=False, batch=count)
        with serving(python, Path(folder) / "writer", Path(folder) / "log") as server:
            remote = writer_of(server.base_url, server.model, concurrency)
            sides: dict[str, Callable[[], Turn]] = {
                "in": lambda: in_process(local, requests, count),
                "alone": lambda: in_process(local, requests, 1),
                "through": _side(remote, server, requests),
            }
            for run in sides.values():
                run()  # warm
            turns: dict[str, list[Turn]] = {name: [] for name in sides}
            for _ in range(rounds):
                for name, run in sides.items():
                    turns[name].append(run())
            remote.close()
    return _rows(turns, concurrency)


def _side(writer: ServedWriter, server: Serving, requests: Sequence[WriterRequest]) -> Callable[[], Turn]:
    process = psutil.Process(server.pid)
    return lambda: through(writer, process, requests)


def _rows(turns: dict[str, list[Turn]], concurrency: int) -> list[Row]:
    def rate(name: str, of: Callable[[Turn], float]) -> float:
        return median(of(turn) for turn in turns[name])

    ways: dict[str, Callable[[Turn], float]] = {
        "captions/s through the server ÷ in process, by processor time": lambda turn: turn.captions / turn.processor,
        "the same by the clock": lambda turn: turn.captions / turn.clock,
        "tokens/s, by processor time": lambda turn: turn.tokens / turn.processor,
    }
    count = turns["in"][0].captions
    good = {name: sum(t.good for t in found) / sum(t.captions for t in found) for name, found in turns.items()}
    how = (
        f"transformers serve (one request after the other, {concurrency} sent at once) against a batch of {count} by HfWriter, float32, one thread a"
        f" side; median of {len(turns['in'])} rounds in turn; first drafts that pass: {good['through']:.2f} and {good['in']:.2f}"
    )
    rows = []
    for name, of in ways.items():
        served, batch, alone = (rate(side, of) for side in ("through", "in", "alone"))
        value = f"{served / batch:.2f} ({served:.2f} ÷ {batch:.2f}); ÷ one after the other in process {served / alone:.2f} (÷ {alone:.2f})"
        rows.append(Row(name, value, "", how))
    return rows


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.served", description=__doc__)
    parser.add_argument("--serve-python", default=sys.executable, help="An interpreter with transformers[serving].")
    parser.add_argument("--captions", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=4)
    asked = parser.parse_args(arguments)
    rows = [client_alone(asked.rounds)]
    if can_serve(asked.serve_python):
        rows += compared(Settings(), asked.serve_python, asked.captions, asked.rounds, asked.concurrency)
    else:
        print(f"{asked.serve_python} has no transformers[serving]: the client alone is measured")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
