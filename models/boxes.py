"""Overlap of boxes, and which of many overlapping ones remain."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Boxes that `nms` looks at together: 5000 boxes to 1000 take 4.8 ms, 7.2 with 32 and 17.9 with 256 (one CPU thread).
BLOCK = 128


def nms(boxes_xyxy: Floats, scores: Floats, iou: float, limit: int | None = None) -> NDArray[np.intp]:
    """Indices of the boxes that remain, best first: each removes worse ones that overlap it more than `iou`.

    `boxes_xyxy` is float32 (N, 4), `scores` float32 (N,). Greedy and exact; of equal scores the first wins.
    `limit` is how many are wanted: the search ends there.
    """
    order = np.argsort(-scores, kind="stable")
    boxes = boxes_xyxy[order]
    limit = len(boxes) if limit is None else limit
    kept = np.empty(0, np.intp)
    for start in range(0, len(boxes), BLOCK):
        if len(kept) >= limit:
            break
        block = np.arange(start, min(start + BLOCK, len(boxes)))
        block = block[~(pairwise_iou(boxes[kept], boxes[block]) > iou).any(axis=0)]
        kept = np.concatenate([kept, block[_remaining(boxes[block], iou)]])
    return order[kept[:limit]]


def _remaining(boxes: Floats, iou: float) -> NDArray[np.bool_]:
    """Which of a few boxes, best first, remain: bool (N,)."""
    overlapping = np.triu(pairwise_iou(boxes, boxes) > iou, k=1)  # (N, N): row removes column
    kept = np.ones(len(boxes), bool)
    for row in np.flatnonzero(overlapping.any(axis=1)):
        if kept[row]:
            kept &= ~overlapping[row]
    return kept


def pairwise_iou(a_xyxy: Floats, b_xyxy: Floats) -> Floats:
    """Intersection over union of every box (N, 4) with each of (M, 4): float32 (N, M), 0 for empty boxes."""
    left, top, right, bottom = a_xyxy.T[:, :, None]  # (N, 1) each
    # One coordinate at a time, in place: a twentieth of the time that arrays (N, M, 2) take.
    width = np.minimum(right, b_xyxy[:, 2])  # (N, M)
    width -= np.maximum(left, b_xyxy[:, 0])
    height = np.minimum(bottom, b_xyxy[:, 3])  # (N, M)
    height -= np.maximum(top, b_xyxy[:, 1])
    shared = np.maximum(width, 0, out=width)
    shared *= np.maximum(height, 0, out=height)
    union = areas(a_xyxy)[:, None] + areas(b_xyxy) - shared  # (N, M)
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def areas(boxes_xyxy: Floats) -> Floats:
    """Areas float32 (N,) of boxes (N, 4) in px²; 0 for those turned inside out."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)  # (N, 2)
    product: Floats = sides[:, 0] * sides[:, 1]  # (N,)
    return product
