"""Record what the original runtime (ai-edge-litert) says of two crops, for test_blazepose.py.

    pip install ai-edge-litert && python -m tests.parity.record_blazepose

The recorded numbers of tests/data/blazepose.npz were made with ai-edge-litert 2.3.0 (XNNPACK, 2 threads).
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.store import fetch

DATA = Path(__file__).parent.parent / "data"
CROPS = (DATA / "pose-walker.png", DATA / "pose-arms-up.png")
SIZES = ("lite", "full", "heavy")
COARSE = np.s_[..., ::8, ::8]  # what is recorded of masks and heatmaps
_OUTPUTS = {
    "landmarks": "Identity",
    "presence": "Identity_1",
    "mask": "Identity_2",
    "heatmaps": "Identity_3",
} | {"world": "Identity_4"}


def crops() -> NDArray[np.float32]:
    """The two committed crops as the network's input: (2, 3, 256, 256), RGB, 0..1."""
    images = np.stack([cv2.imread(str(path)) for path in CROPS])  # (2, 256, 256, 3) BGR
    return np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def original(path: Path, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Run a tflite file in its own runtime and give its outputs the shapes of `BlazePoseOutput`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=2)
    interpreter.allocate_tensors()
    index = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in _OUTPUTS}
    for crop in batch:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], crop.transpose(1, 2, 0)[None])
        interpreter.invoke()
        for name, output in _OUTPUTS.items():
            found[name].append(interpreter.get_tensor(index[output])[0])
    stacked = {name: np.stack(values) for name, values in found.items()}
    return {
        "landmarks": stacked["landmarks"].reshape(-1, 39, 5),
        "presence": stacked["presence"],
        "mask": stacked["mask"][..., 0],
        "heatmaps": stacked["heatmaps"].transpose(0, 3, 1, 2),
        "world": stacked["world"].reshape(-1, 39, 3),
    }


def main() -> None:
    """Write tests/data/blazepose.npz."""
    record = {}
    for size in SIZES:
        outputs = original(fetch(f"blazepose-{size}"), crops())
        for name, value in outputs.items():
            record[f"{size}-{name}"] = value[COARSE] if name in ("mask", "heatmaps") else value
            record[f"{size}-{name}-largest"] = np.abs(value).max()
    np.savez_compressed(DATA / "blazepose.npz", **record)


if __name__ == "__main__":
    main()
