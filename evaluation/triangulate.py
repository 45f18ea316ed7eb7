"""Points in space out of what calibrated cameras see of them, and how far they are to be trusted."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bodystream.evaluation.refine import LEAST_CONFIDENCE
from bodystream.pipeline.calibration import Camera, Doubles, meeting_points
from bodystream.pipeline.types import Floats

# The angle by which a ray that counts a quarter misses the point: 10 px of a camera of 1700 px focal length, which is
# what landmark nets err by on a person 1000 px tall.
USUAL_RAD = 10 / 1700
STEPS = 8
LEAST_CAMERAS = 2


def triangulated(cameras: Sequence[Camera], seen: Floats) -> Doubles:
    """Points (F, J, 3), m, where the rays of `seen` (F, cameras, J, 3), px and confidence, meet; NaN where they
    do not: fewer than two cameras are sure.

    One camera may be given more than once, with what several nets saw. Of all pairs of rays the meeting point
    that most rays pass near (Geman and McClure's measure) begins, and weighted least squares goes on from it
    with the same measure, so a ray that misses by far has no say.
    """
    frames, _, joints, _ = seen.shape
    rays = _rays(cameras, seen)  # (C, N, 3), N points
    weights = np.moveaxis(_sureness(seen), 1, 0).reshape(len(cameras), -1)  # (C, N)
    centres = np.array([camera.centre for camera in cameras])
    points = _best_start(cameras, rays, weights)
    for _ in range(STEPS):
        points = _nearest_point(centres, rays, weights * _trust(centres, rays, points))
    points[(weights > 0).sum(0) < LEAST_CAMERAS] = np.nan
    return points.reshape(frames, joints, 3)


def _sureness(seen: Floats) -> Floats:
    """Confidence (F, C, J), 0 where it is under the least or nothing is known."""
    sure = np.nan_to_num(seen[..., 2])
    return np.asarray(np.where(np.isfinite(seen).all(-1) & (sure > LEAST_CONFIDENCE), sure, 0))


def _rays(cameras: Sequence[Camera], seen: Floats) -> Doubles:
    return np.stack(
        [camera.rays(np.nan_to_num(seen[:, i, :, :2].reshape(-1, 2))) for i, camera in enumerate(cameras)]
    )


def _best_start(cameras: Sequence[Camera], rays: Doubles, weights: Floats) -> Doubles:
    centres = np.array([camera.centre for camera in cameras])
    best, most = np.zeros(rays.shape[1:]), np.full(rays.shape[1], -1.0)
    for a, b in combinations(range(len(cameras)), 2):
        if np.linalg.norm(centres[a] - centres[b]) < 1e-6:
            continue  # one camera, two nets: their rays meet in the camera
        points = meeting_points(cameras[a], rays[a], cameras[b], rays[b])
        near = (weights * _trust(centres, rays, points) ** 0.5).sum(0)
        near[(weights[a] == 0) | (weights[b] == 0)] = -1
        better = near > most
        best[better], most[better] = points[better], near[better]
    return best


def _trust(centres: Doubles, rays: Doubles, points: Doubles) -> Doubles:
    """Weight (C, N), 0..1, of rays (C, N, 3) by the angle under which they pass the points (N, 3)."""
    there = points - centres[:, None]
    length = np.maximum(np.linalg.norm(there, axis=-1), 1e-9)
    along = (there * rays).sum(-1)
    miss = np.linalg.norm(there - along[..., None] * rays, axis=-1) / length
    miss = np.where(along > 0, miss, 1.0)  # behind the camera
    return np.asarray(1 / (1 + (miss / USUAL_RAD) ** 2) ** 2)


def _nearest_point(centres: Doubles, rays: Doubles, weights: Doubles) -> Doubles:
    """The points (N, 3) with the least weighted sum of squared distances from the rays."""
    across = np.eye(3) - rays[..., :, None] * rays[..., None, :]  # (C, N, 3, 3)
    weighted = weights[..., None, None] * across
    normal = weighted.sum(0) + 1e-9 * np.eye(3)
    right = (weighted @ centres[:, None, :, None]).sum(0)
    return np.asarray(np.linalg.solve(normal, right)[..., 0])


def reprojection(cameras: Sequence[Camera], seen: Floats, points: Doubles) -> Doubles:
    """Distance (F, cameras, J), px, between what is seen and where points (F, J, 3) project; NaN where not sure."""
    out = np.full(seen.shape[:3], np.nan)
    sure = _sureness(seen) > 0
    for i, camera in enumerate(cameras):
        known = sure[:, i] & np.isfinite(points).all(-1)
        out[:, i][known] = np.linalg.norm(camera.project(points[known]) - seen[:, i][known][:, :2], axis=1)
    return out


def smoothed(times: Doubles, values: Doubles, cutoff_hz: float) -> Doubles:
    """Values (F, ...) through a Butterworth filter forth and back: no lag, 3 dB down at `cutoff_hz`.

    Second order each way. Times have to be even; gaps (NaN) are bridged by straight lines for the filter, and
    stay gaps. Source: Winter, Biomechanics and Motor Control of Human Movement, 2009, section 2.2.4.4.
    """
    flat = values.reshape(len(values), -1)
    out = np.full_like(flat, np.nan)
    rate = 1 / float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    for column in range(flat.shape[1]):
        known = np.flatnonzero(np.isfinite(flat[:, column]))
        if len(known) < 2:
            out[known, column] = flat[known, column]
            continue
        line = np.interp(np.arange(len(flat)), known, flat[known, column])
        line = _through(_through(_longer(line), rate, cutoff_hz)[::-1], rate, cutoff_hz)[::-1]
        out[known, column] = line[len(flat) - 1 : 2 * len(flat) - 1][known]
    return out.reshape(values.shape)


def _longer(line: Doubles) -> Doubles:
    """The line with itself, turned about its ends, before and behind it: a filter wants a past."""
    return np.concatenate([2 * line[0] - line[:0:-1], line, 2 * line[-1] - line[-2::-1]])


def _through(line: Doubles, rate: float, cutoff_hz: float) -> Doubles:
    # Twice through lowers the cut-off by (√2 - 1)^¼, which is made up for beforehand.
    c = np.tan(np.pi * min(cutoff_hz / 0.802 / rate, 0.49))
    root = np.sqrt(2) * c
    b = c * c / (1 + root + c * c)
    a1, a2 = 2 * (c * c - 1) / (1 + root + c * c), (1 - root + c * c) / (1 + root + c * c)
    out = np.empty_like(line)
    x1 = x2 = y1 = y2 = line[0]
    for i, x in enumerate(line):
        y = b * (x + 2 * x1 + x2) - a1 * y1 - a2 * y2
        out[i], x2, x1, y2, y1 = y, x1, x, y1, y
    return out
