"""The program that tries an ONNX export: onnxruntime over one grey frame, in a process of its own with limits and without network.

It is given the file on its standard input; it leaves `described.json`: what the graph takes and gives.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from models.checkpoints import confined

SECONDS, MEMORY = 240, 2 << 30
SIDE = 640
"""Of a frame, where the graph leaves it open."""


class RefusedError(Exception):
    """The file is not taken; the sentence says why."""


def main() -> None:
    """Fence the process in, try, leave the answer. Exit code 3: refused, and why on stdout."""
    out, size = Path(sys.argv[1]), int(sys.argv[2])
    fences = [confined.without_network()]
    import numpy as np
    import onnxruntime

    fences += [
        confined.limited(MEMORY + 6 * size, SECONDS, 1 << 20),
        confined.files_fenced(
            [Path(np.__file__).parents[1], Path("/usr/lib"), Path("/lib"), Path("/lib64"), Path("/sys/devices")], out
        ),
        confined.calls_fenced(),
        confined.audited(out),
    ]
    try:
        told = tried(onnxruntime, sys.stdin.buffer.read())
    except RefusedError as error:
        sys.stdout.write(str(error))
        sys.exit(3)
    except MemoryError:
        sys.stdout.write("it needs more memory than a file of its size may")
        sys.exit(3)
    told["fences"] = [[one.name, one.stands, one.why] for one in fences]
    (out / "described.json").write_text(json.dumps(told))


def tried(onnxruntime: Any, data: bytes) -> dict[str, Any]:
    """What the graph takes and gives. Raises `RefusedError`."""
    import numpy as np

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common base
        raise RefusedError(f"onnxruntime does not take it ({str(error).splitlines()[0][:300]})") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in {"tensor(float)", "tensor(float16)"}:
        said = ", ".join(f"{one.name} {one.shape} {one.type}" for one in inputs)
        raise RefusedError(f"it takes {said or 'nothing'}, not one batch of pictures (n, 3, height, width)")
    shape = [side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape]
    if (
        shape[1] not in {3, None}
        or any(side is not None and side > 4096 for side in shape[2:])
        or (shape[0] or 1) > 256
    ):
        raise RefusedError(f"it takes {inputs[0].shape}, not pictures of 3 channels and at most 4096 pixels")
    try:
        side = _side(session.get_modelmeta().custom_metadata_map)
        frame = [shape[0] or 1, 3, shape[2] or side, shape[3] or side]
        kind = np.float32 if inputs[0].type == "tensor(float)" else np.float16
        outputs = session.run(None, {inputs[0].name: np.full(frame, 0.447, kind)})
    except Exception as error:
        raise RefusedError(f"it does not run on a grey picture ({str(error).splitlines()[0][:300]})") from error
    return {
        "input": inputs[0].name,
        "half": kind is np.float16,
        "shape": shape,
        "tried": frame,
        "outputs": [list(np.shape(one)) for one in outputs],
    }


def _side(metadata: dict[str, str]) -> int:
    """The size that the exporter wrote down."""
    try:
        said = json.loads(metadata.get("imgsz", "") or "null")
    except ValueError:
        said = None
    sides = said if isinstance(said, list) else [said]
    return max((one for one in sides if isinstance(one, int) and 32 <= one <= 4096), default=SIDE)
