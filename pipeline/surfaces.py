"""Dense maps into the image: part borders smooth, U and V never mixed across parts, nothing beyond the silhouette."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.pipeline.types import Dense, Floats, Iuv, Person, Silhouette

# A part's coverage is smoothed by this kernel, the binomial of 5, before it is enlarged: where a border crosses the
# map's pixels at a slant, bilinear enlargement alone leaves their steps visible, and 3 taps leave a ripple.
SMOOTH = np.array([1, 4, 6, 4, 1], np.float32) / np.float32(16)
# U, V and confidence are continued as far as smoothed and enlarged coverage reaches, each pixel from its
# nearest neighbours in the part: what is a pixel further counts a hundredth.
FILL = np.array([1e-6, 1e-4, 1e-2, 1, 1e-2, 1e-4, 1e-6], np.float32)
REACH = 3  # px of the map on each side, half of FILL
# Coverage up to which a pixel has no part: a map's single pixel keeps its whole square, whose corners it covers by
# .096, and a straight border of a part and nothing moves out by 1.4 px of the map. There the silhouette, cut from a
# finer map, decides where the person ends.
LEAST = 0.09
BAND_PX = 1 << 18  # pixels pasted at a time: beyond, getting fresh memory costs as much as the work in it


def surfaces(people: Sequence[Person], silhouettes: Sequence[Silhouette | None]) -> tuple[Iuv | None, ...]:
    """Paste each person's dense map into the rectangle of their silhouette, in the order of `people`.

    A pixel of the silhouette gets the part that covers it most, and U and V from that part's pixels alone; it
    stays 0 where no part is near. None for a person without a dense map or silhouette, and for one whose map
    has no part in the silhouette.
    """
    return tuple(
        None if person.dense is None or silhouette is None else paste(person.dense, silhouette)
        for person, silhouette in zip(people, silhouettes, strict=True)
    )


def paste(dense: Dense, silhouette: Silhouette) -> Iuv | None:
    """Paste one dense map into the rectangle of a silhouette; None where they do not meet."""
    if not np.isfinite(dense.to_image).all():
        return None
    height, width = silhouette.inside.shape
    pasted = Iuv(
        silhouette.x,
        silhouette.y,
        np.empty((height, width), np.uint8),
        np.empty((2, height, width), np.float32),
        np.empty((height, width), np.uint8),
    )
    patches = list(_patches(dense))
    rows = max(1, BAND_PX // width)
    for top in range(0, height, rows):
        to_band = dense.to_image - [[0, 0, silhouette.x], [0, 0, silhouette.y + top]]
        _paste_band(patches, to_band, silhouette.inside[top : top + rows], pasted, np.s_[top : top + rows])
    return pasted if pasted.part.any() else None


def _paste_band(
    patches: Sequence["_Patch"],
    to_band: NDArray[np.float64],
    inside: NDArray[np.bool_],
    pasted: Iuv,
    rows: slice,
) -> None:
    """Fill `rows` of a pasted map in place; `to_band` takes pixels of the map to those of the band."""
    best = np.full(inside.shape, LEAST, np.float32)
    part = np.zeros(inside.shape, np.uint8)
    values = np.zeros((*inside.shape, 4), np.float32)  # U, V, confidence, coverage
    for patch in patches:
        _add(patch, to_band, best, part, values)
    part *= inside.view(np.uint8)
    there = (part > 0).view(np.uint8)
    pasted.part[rows] = part
    for channel, plane in enumerate(pasted.uv):
        np.multiply(cv2.extractChannel(values, channel), there, out=plane[rows])
    np.multiply(cv2.convertScaleAbs(cv2.extractChannel(values, 2)), there, out=pasted.confidence[rows])


@dataclass(frozen=True, slots=True)
class _Patch:
    """One part of a map, cut out with a margin of REACH; its corner is pixel (x, y) of the map."""

    part: int
    x: int
    y: int
    values: Floats  # (h, w, 4): U, V, confidence, coverage


def _patches(dense: Dense) -> Iterator[_Patch]:
    h, w = dense.part.shape
    # Over a margin without a part: what a part is continued into at the map's edge.
    values = np.zeros((h + 2 * REACH, w + 2 * REACH, 4), np.float32)
    parts = np.zeros(values.shape[:2], np.uint8)
    middle = np.s_[REACH : REACH + h, REACH : REACH + w]
    values[middle] = np.stack([*dense.uv, dense.confidence, np.ones_like(dense.uv[0])], axis=-1)
    parts[middle] = dense.part
    for number in np.flatnonzero(np.bincount(dense.part.ravel())).tolist():
        if number:
            own = (parts == number).view(np.uint8)
            x, y, w, h = cv2.boundingRect(own)
            window = np.s_[y - REACH : y + h + REACH, x - REACH : x + w + REACH]
            yield _Patch(number, x - 2 * REACH, y - 2 * REACH, _continued(values[window], own[window]))


def _continued(values: Floats, own: NDArray[np.uint8]) -> Floats:
    """Continue a part's values (h, w, 4) round its `own` pixels (1, else 0), and smooth its coverage."""
    inside = np.asarray(cv2.copyTo(values, own), np.float32)  # the last plane is 1 within
    spread = np.asarray(cv2.sepFilter2D(inside, -1, FILL, FILL, borderType=cv2.BORDER_CONSTANT), np.float32)
    spread /= np.maximum(spread[..., 3:], FILL[0] ** 2 / 2)
    cv2.copyTo(inside, own, spread)
    coverage = cv2.sepFilter2D(inside[..., 3], -1, SMOOTH, SMOOTH, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.insertChannel(coverage, spread, 3), np.float32)


def _add(
    patch: _Patch,
    to_window: NDArray[np.float64],
    best: Floats,
    part: NDArray[np.uint8],
    values: Floats,
) -> None:
    """Enlarge a part into the window, in place where it covers more than what was there."""
    height, width = part.shape
    h, w = patch.values.shape[:2]
    left, right, top, bottom = patch.x, patch.x + w, patch.y, patch.y + h
    corners = np.array([[left, left, right, right], [top, bottom, top, bottom], [1, 1, 1, 1]])
    xs, ys = to_window @ corners  # (4,) each
    x0, x1 = max(0, floor(xs.min())), min(width, ceil(xs.max()))
    y0, y1 = max(0, floor(ys.min())), min(height, ceil(ys.max()))
    if x0 >= x1 or y0 >= y1:
        return
    # cv2 counts pixel centres as whole numbers, our coordinates their corners: half a pixel on both sides.
    to_here = to_window.copy()
    to_here[:, 2] += to_here[:, :2] @ [patch.x + 0.5, patch.y + 0.5] - [x0 + 0.5, y0 + 0.5]
    enlarged = cv2.warpAffine(patch.values, to_here, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    here = np.s_[y0:y1, x0:x1]
    coverage = cv2.extractChannel(enlarged, 3)
    more = cv2.compare(coverage, best[here], cv2.CMP_GT)
    cv2.max(coverage, best[here], best[here])
    cv2.copyTo(enlarged, more, values[here])
    np.copyto(part[here], patch.part, where=more.view(np.bool_))
