"""Masks into the image: pasted only where needed, and no pixel given to two people."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.keypoints import EDGES, Edge
from bodystream.pipeline.types import Floats, Mask, Person, Silhouette

HALF = 127  # a probability over this is inside, uint8
GRID_PX = 4  # distances to the skeleton change slowly: one in 4 × 4 pixels is computed


def silhouettes(
    people: Sequence[Person], size: tuple[int, int], edges: Sequence[Edge] = EDGES
) -> tuple[Silhouette | None, ...]:
    """Paste each person's mask into an image of `size` (width, height), in the order of `people`.

    A pixel is inside where the mask's probability is over one half. A pixel that two masks claim goes to
    the stronger claim: probability less the distance to the person's own skeleton, in body sizes. (The
    landmark net's masks leak onto whoever stands in front, at full probability; the skeletons tell
    the two apart.) `edges` join landmarks to a skeleton. None for a person without a mask, or whose mask lies
    wholly outside the image.
    """
    pasted = [None if person.mask is None else _paste(person.mask, size) for person in people]
    for (first, a), (second, b) in combinations(zip(people, pasted, strict=True), 2):
        if a is not None and b is not None:
            _share(first, a, second, b, edges)
    return tuple(None if p is None else Silhouette(p.x, p.y, p.inside) for p in pasted)


@dataclass(frozen=True, slots=True)
class _Pasted:
    """A mask on the image's own pixels, corner at (x, y); `inside` shrinks while pixels are shared out."""

    x: int
    y: int
    probability: NDArray[np.uint8]  # (h, w)
    inside: NDArray[np.bool_]  # (h, w)

    def window(self, x0: int, y0: int, x1: int, y1: int) -> tuple[slice, slice]:
        return slice(y0 - self.y, y1 - self.y), slice(x0 - self.x, x1 - self.x)


def _paste(mask: Mask, size: tuple[int, int]) -> _Pasted | None:
    rows, columns = np.nonzero(mask.probability > HALF)
    if not len(rows):
        return None
    # The occupied rectangle of the map alone, one px wider for the bilinear edge, turned into the image.
    left, right, top, bottom = columns.min() - 1, columns.max() + 2, rows.min() - 1, rows.max() + 2
    corners = np.array([[left, left, right, right], [top, bottom, top, bottom], [1, 1, 1, 1]])
    xs, ys = mask.to_image @ corners  # (4,) each
    x0, y0 = max(0, int(np.floor(xs.min()))), max(0, int(np.floor(ys.min())))
    x1, y1 = min(size[0], int(np.ceil(xs.max()))), min(size[1], int(np.ceil(ys.max())))
    if x0 >= x1 or y0 >= y1:
        return None
    # cv2 counts pixel centres as whole numbers, our coordinates their corners: half a pixel on both sides.
    to_window = mask.to_image.copy()
    to_window[:, 2] += to_window[:, :2] @ [0.5, 0.5] - [x0 + 0.5, y0 + 0.5]
    probability = cv2.warpAffine(mask.probability, to_window, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    return _Pasted(x0, y0, probability.astype(np.uint8, copy=False), probability > HALF)


def _share(first: Person, a: _Pasted, second: Person, b: _Pasted, edges: Sequence[Edge]) -> None:
    """Give every pixel that both claim to one of them, in place."""
    x0, y0 = max(a.x, b.x), max(a.y, b.y)
    x1 = min(a.x + a.inside.shape[1], b.x + b.inside.shape[1])
    y1 = min(a.y + a.inside.shape[0], b.y + b.inside.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    in_a, in_b = a.inside[a.window(x0, y0, x1, y1)], b.inside[b.window(x0, y0, x1, y1)]
    contested = in_a & in_b
    if not contested.any():
        return
    window = x0, y0, x1, y1
    claim_a = a.probability[a.window(*window)] / 255 - skeleton_distance(first, window, edges)
    claim_b = b.probability[b.window(*window)] / 255 - skeleton_distance(second, window, edges)
    a_wins = claim_a >= claim_b
    in_a &= ~contested | a_wins
    in_b &= ~contested | ~a_wins


def skeleton_distance(
    person: Person, window: tuple[int, int, int, int], edges: Sequence[Edge] = EDGES
) -> Floats:
    """Distance of every pixel of `window` (x0, y0, x1, y1) to the person's bones: float32 (y1-y0, x1-x0).

    In units of a quarter of the square root of the box's area, about a limb's reach. Infinite-free: a person
    without landmarks or edges is measured from the middle of the box.
    """
    x0, y0, x1, y1 = window
    xs = np.arange(x0, x1, GRID_PX) + GRID_PX / 2
    ys = np.arange(y0, y1, GRID_PX) + GRID_PX / 2
    points = np.stack(np.meshgrid(xs, ys), axis=-1).astype(np.float32)  # (gh, gw, 2)
    starts, ends = _bones(person, edges)  # (B, 2) each
    along = ends - starts
    length2 = np.maximum((along**2).sum(-1), 1e-6)
    away = points[..., None, :] - starts  # (gh, gw, B, 2)
    share = np.clip((away * along).sum(-1) / length2, 0, 1)
    squared = ((away - share[..., None] * along) ** 2).sum(-1).min(-1)  # (gh, gw)
    extent = np.maximum(person.box[2:] - person.box[:2], 1)
    coarse = np.sqrt(squared) / (0.25 * np.sqrt(extent[0] * extent[1]))
    fine = cv2.resize(coarse.astype(np.float32), (len(xs) * GRID_PX, len(ys) * GRID_PX))
    return fine[: y1 - y0, : x1 - x0]


def _bones(person: Person, edges: Sequence[Edge]) -> tuple[Floats, Floats]:
    if person.landmarks is None or not edges:
        middle: Floats = (person.box[None, :2] + person.box[None, 2:]) * np.float32(0.5)
        return middle, middle
    ends = np.array([edge[:2] for edge in edges])
    return person.landmarks[ends[:, 0], :2], person.landmarks[ends[:, 1], :2]
