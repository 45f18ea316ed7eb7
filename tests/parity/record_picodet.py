"""Record what the original runtime makes of a picture, for `test_picodet.py`.

Needs `paddlepaddle` (made with 3.3.1), which the project does not install:

    python -m tests.parity.record_picodet MODEL.pdmodel PARAMS.pdiparams

The tensors are taken where the program hands them to its NMS, and at the four box heads.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent.parent / "data"
PICTURE = DATA / "detector-two-people.png"
RECORD = DATA / "detector-picodet-s.npz"
EVERY = 17  # cells: prime to all four grids' widths, so that the kept ones are spread over rows and columns

# Variables of the program: inputs of multiclass_nms3, and the last convolution of each level's box head.
SCORES, BOXES = "concat_4.tmp_0", "tmp_17"
LOGITS = ("conv2d_138.tmp_1", "conv2d_146.tmp_1", "conv2d_154.tmp_1", "conv2d_162.tmp_1")


def net_input(image_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The net's input (1, 3, 416, 416) of a uint8 (416, 416, 3) BGR picture, as in its `infer_cfg.yml`."""
    rgb = image_bgr[:, :, ::-1].astype(np.float32) / 255
    normalised = (rgb - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


def run_paddle(model: Path, params: Path, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Scores (80, P), boxes (P, 4) in px and box logits (P, 4, 8) of one picture, by Paddle itself."""
    import paddle

    with paddle.pir_utils.OldIrGuard():  # the file is older than Paddle 3's own program format
        paddle.enable_static()
        executor = paddle.static.Executor(paddle.CPUPlace())
        program, _, _ = paddle.static.load_inference_model(
            None, executor, model_filename=model.read_bytes(), params_filename=params.read_bytes()
        )
        feed = {"image": batch, "scale_factor": np.ones((1, 2), np.float32)}
        scores, boxes, *logits = executor.run(program, feed=feed, fetch_list=[SCORES, BOXES, *LOGITS])
        paddle.disable_static()
    flat = [level[0].reshape(32, -1).T.reshape(-1, 4, 8) for level in logits]
    return {"scores": scores[0], "boxes": boxes[0], "logits": np.concatenate(flat)}


def sample(outputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """What is kept: all boxes, the person's score of all cells, everything else of every 17th cell."""
    return {
        "boxes": outputs["boxes"],
        "person": outputs["scores"][0],
        "scores": outputs["scores"][:, ::EVERY],
        "logits": outputs["logits"][::EVERY],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("params", type=Path)
    args = parser.parse_args()
    image: Any = cv2.imread(str(PICTURE))
    np.savez_compressed(RECORD, **sample(run_paddle(args.model, args.params, net_input(image))))


if __name__ == "__main__":
    main()
