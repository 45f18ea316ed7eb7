"""Who is who: overlap of boxes, and pairs of the best."""

import numpy as np

from bodystream.pipeline.types import Floats


def iou(a_xyxy: Floats, b_xyxy: Floats) -> Floats:
    """Intersection over union of every box of `a` (N, 4) with every box of `b` (M, 4): (N, M), 0..1."""
    corner0 = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    corner1 = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    shared = np.clip(corner1 - corner0, 0, None).prod(-1)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (a_xyxy, b_xyxy)]
    whole = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(whole, 1e-9), np.float32)


def match(likeness: Floats, least: float) -> list[tuple[int, int]]:
    """Pair rows with columns of `likeness` (N, M), the best pair first, each row and column once.

    Pairs under `least` are not made. Best-first differs from the optimal assignment only where two people are
    nearly equally like two boxes, and there the better single fit is the safer choice.
    """
    pairs = []
    rows, columns = np.unravel_index(np.argsort(-likeness, axis=None), likeness.shape)
    free_rows, free_columns = set(range(likeness.shape[0])), set(range(likeness.shape[1]))
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if likeness[row, column] < least:
            break
        if row in free_rows and column in free_columns:
            pairs.append((row, column))
            free_rows.remove(row)
            free_columns.remove(column)
    return pairs
