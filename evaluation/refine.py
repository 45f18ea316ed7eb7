"""Turn calibrated cameras until the landmarks that they see meet: where a calibration is older than the footage."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.pipeline.calibration import Camera, Doubles

STEPS = 20
NUDGE = 1e-5  # rad, for differences
# A camera turned by so much counts as much as rays that miss by the usual gap: holds what nothing else does.
LOOSE = np.radians(1.0)
PRIOR = 1e-3
LEAST_CONFIDENCE = 0.5


def refined(cameras: Sequence[Camera], seen: NDArray[np.float32]) -> tuple[Camera, ...]:
    """Turn every camera about its own centre so that the rays to one landmark meet.

    `seen` is (F, cameras, J, 3): continuous px and confidence of J landmarks in F frames; NaN where nobody was
    found. Least squares of the rays' gaps, robust (Geman and McClure, 1987, at twice the median gap).
    """
    rays = [camera.rays(np.nan_to_num(seen[:, i, :, :2].reshape(-1, 2))) for i, camera in enumerate(cameras)]
    sure = [(view > LEAST_CONFIDENCE).ravel() for view in np.moveaxis(np.nan_to_num(seen[..., 2]), 1, 0)]
    turns = np.zeros(3 * len(cameras))
    for _ in range(STEPS):
        residuals = _signed_gaps(cameras, rays, sure, turns)
        usual = max(float(np.median(np.abs(residuals))), 1e-6) if len(residuals) else 1.0
        weights = 1 / (1 + (residuals / (2 * usual)) ** 2) ** 2
        slopes = np.stack(
            [
                (_signed_gaps(cameras, rays, sure, turns + NUDGE * step) - residuals) / NUDGE
                for step in np.eye(len(turns))
            ],
            axis=1,
        )  # (R, 3 cameras)
        scale = 1 / (usual**2 * max(len(residuals), 1))
        normal = scale * (slopes * weights[:, None]).T @ slopes + PRIOR / LOOSE**2 * np.eye(len(turns))
        downhill = scale * slopes.T @ (weights * residuals) + PRIOR / LOOSE**2 * turns
        turns = turns - np.linalg.solve(normal, downhill)
    return tuple(_turned(camera, turn) for camera, turn in zip(cameras, turns.reshape(-1, 3), strict=True))


def _signed_gaps(
    cameras: Sequence[Camera], rays: Sequence[Doubles], sure: Sequence[NDArray[np.bool_]], turns: Doubles
) -> Doubles:
    turned = [
        ray @ camera.R.T @ cv2.Rodrigues(turn)[0] @ camera.R
        for ray, camera, turn in zip(rays, cameras, turns.reshape(-1, 3), strict=True)
    ]
    out = []
    for a, b in combinations(range(len(cameras)), 2):
        both = sure[a] & sure[b]
        across = np.cross(turned[a][both], turned[b][both])
        length = np.maximum(np.linalg.norm(across, axis=1), 1e-12)
        out.append(across @ (cameras[b].centre - cameras[a].centre) / length)
    return np.concatenate(out)


def _turned(camera: Camera, turn: Doubles) -> Camera:
    """The camera turned about its centre by a Rodrigues vector in its own axes."""
    rotation = np.asarray(cv2.Rodrigues(turn)[0], np.float64) @ camera.R
    return replace(camera, R=rotation, t=-rotation @ camera.centre)


def turned_by(before: Camera, after: Camera) -> float:
    """Degrees by which a camera was turned."""
    return float(np.degrees(np.linalg.norm(cv2.Rodrigues(after.R @ before.R.T)[0])))
