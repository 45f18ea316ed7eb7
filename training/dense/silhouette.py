"""The mask of the landmark net, simulated from a true silhouette: its errors, holes, leaks and soft edges."""

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

OCCLUDER, MISSING_END, LEAK, BAG, VEIL = 0.16, 0.05, 0.12, 0.08, 0.3  # shares of masks
# Softness of the outline in the grid: of 68 masks of real people, the middle one has 1.1 px between 5 and 95 %.
EDGE_PX = (0.6, 2.6)
WOBBLE = 0.17  # of the outline, where half is its place: about a pixel and a half either way


def seen_mask(body: Mask, ends: Floats, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Mask]:
    """What the landmark net makes of a body: uint8 (h, w), 0..255; and which pixels something else covers.

    `body` is the true silhouette (h, w); `ends` (4, 2), px, are wrists and ankles, which get lost most.
    """
    seen, covered = body.copy(), np.zeros_like(body)
    if rng.random() < OCCLUDER:
        covered = _occluder(body, rng)
        seen &= ~covered
    if rng.random() < MISSING_END:
        seen &= ~_disc(body.shape, ends[rng.integers(4)], rng.uniform(3, 9))
    if rng.random() < LEAK:
        seen |= _blob(body, rng, rng.uniform(4, 14))
    if rng.random() < BAG:
        seen |= _blob(body, rng, rng.uniform(7, 18))
    mask = _softened(seen, rng)
    if rng.random() < VEIL:  # half believed: most often a shadow or a neighbour
        veil = _blob(body, rng, rng.uniform(4, 14)) * np.uint8(rng.integers(40, 180))
        mask = np.maximum(mask, veil)
    return mask, covered


def _softened(seen: Mask, rng: np.random.Generator) -> NDArray[np.uint8]:
    blurred = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), rng.uniform(1.0, 2.4))
    coarse = rng.normal(size=(16, 16)).astype(np.float32)
    wobble = cv2.resize(coarse, seen.shape[::-1], interpolation=cv2.INTER_CUBIC)
    edge = blurred - 0.5 + WOBBLE * rng.uniform(0.3, 1.0) * wobble * (4 * blurred * (1 - blurred))
    steep = 5.0 / rng.uniform(*EDGE_PX)
    return np.clip(255 * (0.5 + steep * edge), 0, 255).astype(np.uint8)


def _occluder(body: Mask, rng: np.random.Generator) -> Mask:
    """A straight edge of something large, or a bar, or a blob, over some of the body."""
    rows, columns = np.nonzero(body)
    if not len(rows):
        return np.zeros_like(body)
    y, x = np.mgrid[: body.shape[0], : body.shape[1]]
    kind = rng.random()
    at = rng.integers(len(rows))
    if kind < 0.4:  # a table, a wall, a car: all beyond a line near the body's rim
        angle = rng.uniform(0, 2 * np.pi)
        along = x * np.cos(angle) + y * np.sin(angle)
        inside = along[body]
        return along > np.quantile(inside, rng.uniform(0.6, 0.97))
    if kind < 0.7:  # a post, a rail
        angle, width = rng.uniform(0, np.pi), rng.uniform(2, 10)
        away = (x - columns[at]) * np.cos(angle) + (y - rows[at]) * np.sin(angle)
        return np.abs(away) < width
    return _ellipse(body.shape, (columns[at], rows[at]), rng.uniform(5, 22, 2), rng.uniform(0, np.pi))


def _blob(body: Mask, rng: np.random.Generator, radius: float) -> Mask:
    """Something beside the body that is taken for a part of it."""
    rim = np.argwhere(
        cv2.morphologyEx(body.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    )
    if not len(rim):
        return np.zeros_like(body)
    row, column = rim[rng.integers(len(rim))]
    return _ellipse(body.shape, (column, row), radius * rng.uniform(0.4, 1.0, 2), rng.uniform(0, np.pi))


def _disc(shape: tuple[int, ...], centre: Floats, radius: float) -> Mask:
    return _ellipse(shape, (float(centre[0]), float(centre[1])), np.array([radius, radius]), 0.0)


def _ellipse(
    shape: tuple[int, ...], centre: tuple[float, float], radii: NDArray[np.floating], angle: float
) -> Mask:
    y, x = np.mgrid[: shape[0], : shape[1]]
    dx, dy = x - centre[0], y - centre[1]
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return np.asarray((u / radii[0]) ** 2 + (v / radii[1]) ** 2 < 1)
