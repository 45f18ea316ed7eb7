"""Find people: a picture in, boxes and scores out, by PicoDet through any session that runs it."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Session = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], ...]]

INPUT_SIZE = 416  # px, both ways: the exported net's input
NMS_IOU = 0.6  # the `nms_threshold` of the original program's multiclass_nms3
MIN_SCORE = 0.2  # on photographs of several people 0.3 costs 4 points of box AP, 0.2 costs 0.3
MAX_CANDIDATES = 1000  # its `nms_top_k`
MAX_PEOPLE = 100  # its `keep_top_k`


class Detector:
    """People in a picture, best first.

    `session` runs the file that `export` makes: uint8 (1, 416, 416, 3) BGR in; boxes float32 (1, P, 4), xyxy
    px of that input, and scores float32 (1, P) out. Boxes below `min_score` are dropped.
    """

    def __init__(self, session: Session, min_score: float = MIN_SCORE) -> None:
        self._session, self._min_score = session, min_score

    def __call__(self, image_bgr: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Find people in uint8 (H, W, 3) BGR.

        Returns boxes float32 (N, 4), x0 y0 x1 y1 in px, within the picture, and scores float32 (N,), 0..1,
        in falling order. N is 0 where nobody is seen.
        """
        boxes, scores = self._session(resize(image_bgr)[None])
        candidates = np.flatnonzero(scores[0] >= self._min_score)
        candidates = candidates[np.argsort(-scores[0][candidates], kind="stable")][:MAX_CANDIDATES]
        kept = candidates[nms(boxes[0][candidates], scores[0][candidates], NMS_IOU)][:MAX_PEOPLE]
        return _to_image(boxes[0][kept], image_bgr.shape[:2]), scores[0][kept]


def resize(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the whole picture as uint8 (416, 416, 3), its aspect not kept: so the net was trained.

    Cubic, as in the model's `infer_cfg.yml`. On COCO's 640 px photographs it has 0.4 to 2.6 points of box AP
    more than linear and area; on the same ones three times as large all three are within 0.6 points, so that
    what it skips when it shrinks does no harm. Area takes 15 times as long on a 720p frame.
    """
    return np.asarray(cv2.resize(image, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_CUBIC), np.uint8)


def nms(boxes_xyxy: Floats, scores: Floats, iou: float) -> NDArray[np.intp]:
    """Indices of the boxes that remain, best first: each removes worse ones that overlap it more than `iou`.

    `boxes_xyxy` is float32 (N, 4), `scores` float32 (N,). Greedy and exact; of equal scores the first wins.
    """
    order = np.argsort(-scores, kind="stable")
    boxes = boxes_xyxy[order]
    overlapping = np.triu(pairwise_iou(boxes, boxes) > iou, k=1)  # (N, N): row removes column
    kept = np.ones(len(boxes), bool)
    for row in np.flatnonzero(overlapping.any(axis=1)):
        if kept[row]:
            kept &= ~overlapping[row]
    return order[kept]


def pairwise_iou(a_xyxy: Floats, b_xyxy: Floats) -> Floats:
    """Intersection over union of every box (N, 4) with each of (M, 4): float32 (N, M), 0 for empty boxes."""
    left_top = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])  # (N, M, 2)
    right_bottom = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])  # (N, M, 2)
    shared = np.maximum(right_bottom - left_top, 0).prod(axis=2)  # (N, M)
    union = _areas(a_xyxy)[:, None] + _areas(b_xyxy)[None] - shared  # (N, M)
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def _areas(boxes_xyxy: Floats) -> Floats:
    areas: Floats = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0).prod(axis=1)  # (N,)
    return areas


def _to_image(boxes: Floats, size: tuple[int, ...]) -> Floats:
    """Boxes in px of the net's input to px of a picture of `size` (H, W), cut at its edges."""
    height, width = size
    image = np.array([width, height, width, height], np.float32)
    return np.clip(boxes * (image / INPUT_SIZE), 0, image)
