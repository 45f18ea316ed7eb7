"""From a person's mask and posed body to the baseline of dense correspondence, and to what the net is given.

One small square grid a person (`dense_layout.GRID`), upright in the landmark net's crop and tight round the
person. The posed body rendered into it is the baseline; training makes its inputs by the same functions.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.pose import Body
from bodystream.models.body.raster import Render, render
from bodystream.models.body.skin import skinned
from bodystream.models.body.surface import rest_points
from bodystream.models.dense_layout import (
    BONE,
    BONE_DEPTH,
    BONE_REACH,
    BONES,
    CELLS,
    CHANNELS,
    DEPTH,
    DISTANCE,
    GRID,
    MASK,
    PART,
    RENDERED,
    XYZ,
    U,
    V,
)

Floats = NDArray[np.float32]

HALF = 127  # a mask's probability over this is inside
MARGIN = 1.12  # of the grid round mask and landmarks; training draws it from 1.06 to 1.28
SURE = 0.5  # landmarks of less confidence do not widen the grid


@dataclass(frozen=True, slots=True)
class View:
    """A person's mask in the grid: uint8 (128, 128), 0..255 for 0..1, and the map of continuous grid px to
    image px, float64 (2, 3).
    """

    mask: NDArray[np.uint8]
    to_image: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The posed body's render, filled: a pixel where nothing was rendered takes the nearest rendered one's values.

    `part` uint8 (128, 128), 1..24, 0 everywhere if nothing was rendered at all; `uv` float32 (2, 128, 128);
    `depth` float32 (128, 128), grid px from the hips, away from the camera; `distance` float32 (128, 128),
    grid px to the nearest rendered pixel, 0 where rendered.
    """

    part: NDArray[np.uint8]
    uv: Floats
    depth: Floats
    distance: Floats


def view_of(
    mask: NDArray[np.uint8], to_image: NDArray[np.float64], landmarks: Floats, margin: float = MARGIN
) -> View | None:
    """Lay the grid round a person: the smallest square round mask and sure landmarks, times `margin`.

    `mask` is uint8 (h, w), 0..255, `to_image` (2, 3) its continuous px to the image, `landmarks` (33, 3) image
    px and confidence. None where no pixel of the mask is inside.
    """
    inside = mask > HALF
    columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
    if not len(rows):
        return None
    sure = landmarks[(landmarks[:, 2] >= SURE) & np.isfinite(landmarks).all(1), :2]
    points = (sure - to_image[:, 2]) @ np.linalg.inv(to_image[:, :2]).T  # (L, 2), px of the mask
    points = np.clip(points, 0, mask.shape[::-1])
    low = np.minimum([columns[0], rows[0]], points.min(0, initial=np.inf))
    high = np.maximum([columns[-1] + 1, rows[-1] + 1], points.max(0, initial=-np.inf))
    side = max(float((high - low).max()) * margin, 2.0)
    step = side / GRID  # px of the mask to one of the grid
    corner = (low + high) / 2 - side / 2
    # cv2 counts pixel centres as whole numbers, our coordinates their corners: half a pixel on both sides.
    to_mask = np.array([[step, 0, corner[0]], [0, step, corner[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    to_mask_centres = to_mask.copy()
    to_mask_centres[:, 2] += step / 2 - 0.5
    small = np.asarray(cv2.warpAffine(mask, to_mask_centres, (GRID, GRID), flags=flags), np.uint8)
    return View(small, compose(to_image, to_mask))


def compose(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine map (2, 3) that is `inner`, then `outer`."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def inverse(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine map (2, 3) that undoes `affine`."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def warm() -> None:
    """Load the body and build its tables, half a second's work, before the first frame needs them."""
    model = load()
    drawn = render(model.vertices, np.array([[60.0, 0, GRID / 2], [0, 60, GRID / 2]]), GRID)
    net_input(np.zeros((GRID, GRID), np.uint8), filled(drawn), np.zeros((33, 3), np.float32))


def baseline_of(body: Body, view: View) -> Baseline:
    """Render a person's posed body into the grid, and fill it."""
    return filled(render(skinned(body.segments), inverse(view.to_image), GRID))


def filled(drawn: Render) -> Baseline:
    """Give every pixel without a body the values of the nearest pixel with one."""
    empty = (drawn.part == 0).astype(np.uint8)
    if empty.all():
        side = float(GRID)
        return Baseline(drawn.part, drawn.uv, drawn.depth, np.full(drawn.part.shape, side, np.float32))
    distance, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    occupied = np.flatnonzero(empty == 0)
    pixel_of_label = np.zeros(int(labels.max()) + 1, np.int64)
    pixel_of_label[labels.ravel()[occupied]] = occupied
    nearest = pixel_of_label[labels]  # (128, 128), flat indices
    return Baseline(
        drawn.part.ravel()[nearest],
        drawn.uv.reshape(2, -1)[:, nearest],
        drawn.depth.ravel()[nearest],
        np.asarray(distance, np.float32),
    )


def points_in_grid(body: Body, view: View) -> Floats:
    """A body's 33 landmarks in the grid: float32 (33, 3), grid px, and depth in grid px from the hips."""
    to_grid = inverse(view.to_image)
    flat = body.points[:, :2] @ to_grid[:, :2].T + to_grid[:, 2]
    scale = np.sqrt(abs(np.linalg.det(to_grid[:, :2])))
    return np.column_stack([flat, body.points[:, 2] * scale]).astype(np.float32)


def net_input(mask: NDArray[np.uint8], baseline: Baseline, points: Floats) -> Floats:
    """What the net is given of one person: float32 (48, 64, 64), as `dense_layout` says.

    `mask` is uint8 (128, 128), 0..255; `points` (33, 3) as `points_in_grid` gives them; a landmark that is not
    finite was not seen.
    """
    out = np.empty((CHANNELS, CELLS, CELLS), np.float32)
    out[MASK] = unshuffled(mask) * np.float32(1 / 255)
    out[PART] = unshuffled(baseline.part)
    out[U], out[V] = unshuffled(baseline.uv[0]), unshuffled(baseline.uv[1])
    part, uv = baseline.part[::2, ::2], baseline.uv[:, ::2, ::2]
    if part[0, 0]:
        out[XYZ] = rest_points(part.ravel(), uv.reshape(2, -1).T).T.reshape(3, CELLS, CELLS)
    else:
        out[XYZ] = 0
    out[DEPTH] = baseline.depth[::2, ::2] * np.float32(2 / GRID)
    out[RENDERED] = baseline.distance[::2, ::2] == 0
    out[DISTANCE] = np.minimum(baseline.distance[::2, ::2] * np.float32(2 / GRID), 1)
    out[BONE], out[BONE_DEPTH] = bone_maps(points)
    return out


def unshuffled(image: NDArray[np.generic]) -> Floats:
    """(128, 128) to float32 (4, 64, 64), as `torch.pixel_unshuffle` orders it."""
    return image.reshape(CELLS, 2, CELLS, 2).transpose(1, 3, 0, 2).reshape(4, CELLS, CELLS).astype(np.float32)


def bone_maps(points: Floats) -> tuple[Floats, Floats]:
    """Nearness to each bone, and nearness times its depth: float32 (13, 64, 64) each, see `dense_layout`."""
    finite = np.asarray(np.isfinite(points).all(axis=1))
    cells = np.where(finite[:, None], points, 0) * np.float32(CELLS / GRID)
    starts, ends = (table @ cells for table in _bone_ends())  # (13, 3) each
    first, last = (np.asarray(table[:, ~finite].any(axis=1)) for table in _bone_ends())
    seen = ~(first | last)  # (13,)
    starts, ends = starts[:, :, None, None], ends[:, :, None, None]
    (x0, y0, z0), (dx, dy, dz) = starts.swapaxes(0, 1), (ends - starts).swapaxes(0, 1)  # (13, 1, 1) each
    centres = np.arange(CELLS, dtype=np.float32) + np.float32(0.5)
    x, y = centres[None, None, :] - x0, centres[None, :, None] - y0  # (13, 1, 64), (13, 64, 1)
    share = (x * dx + y * dy) / np.maximum(dx * dx + dy * dy, 1e-6)  # (13, 64, 64)
    np.clip(share, 0, 1, out=share)
    away2 = (x - share * dx) ** 2 + (y - share * dy) ** 2
    near = np.maximum(1 - away2 * np.float32(1 / BONE_REACH**2), 0) ** 2
    near *= seen[:, None, None]
    return near, near * (z0 + share * dz) * np.float32(2 / CELLS)


@cache
def _bone_ends() -> tuple[Floats, Floats]:
    """Tables (13, 33) that take landmarks to the bones' starts and ends."""
    tables = np.zeros((2, len(BONES), 33), np.float32)
    for row, (_, *ends) in enumerate(BONES):
        for table, members in zip(tables, ends, strict=True):
            table[row, list(members)] = 1 / len(members)
    return tables[0], tables[1]
