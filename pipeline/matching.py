"""Who is who: pairs of the most alike, and what lies inside what."""

import numpy as np

from bodystream.pipeline.types import Floats

# Somebody lost is known again within this time, s; later they have another id, and nothing is kept of them.
MEMORY_S = 2.0


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


def share_inside(boxes_xyxy: Floats, others_xyxy: Floats) -> Floats:
    """Share of each box's area, (N, 4), that lies inside each other box, (M, 4): (N, M), 0..1."""
    corner0 = np.maximum(boxes_xyxy[:, None, :2], others_xyxy[None, :, :2])
    corner1 = np.minimum(boxes_xyxy[:, None, 2:], others_xyxy[None, :, 2:])
    shared = np.clip(corner1 - corner0, 0, None).prod(-1)
    areas = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None).prod(-1)
    return np.asarray(shared / np.maximum(areas, 1e-9)[:, None], np.float32)
