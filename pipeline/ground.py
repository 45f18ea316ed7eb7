"""From the camera's axes to the world of 3D files: y up, x to the right, z towards the camera, the floor at 0.

Both are right-handed and in metres. The camera stands at x = 0, z = 0; which way is up the header tells
(`--up`, or the calibration, or a camera taken as level), where the floor is the feet do.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodystream.models.body.data import load
from bodystream.models.body.kinematics import Skeleton, posed
from bodystream.models.body.skeleton import SEGMENTS, landmark
from bodystream.models.body.skin import landmarks_on
from bodystream.pipeline.types import Header

Floats = NDArray[np.float32]

# Of the height of each frame's lowest foot: most frames have a foot on the floor, a few percent are outliers.
FLOOR_PERCENTILE = 5
FEET = np.array([landmark(f"{side}_{name}") for name in ("heel", "foot_index") for side in ("left", "right")])
DOWN, AHEAD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])  # of the camera
ALONG = 1e-3  # sine of the angle below which a camera looks straight up or down


def up_of(header: Header) -> NDArray[np.float64]:
    """Up, a unit vector (3,) in the camera's axes, as the header of the results tells it."""
    up = np.asarray(header.extra["camera"]["up"], np.float64)
    return up / np.linalg.norm(up)


def world_axes(up: ArrayLike) -> NDArray[np.float64]:
    """The rotation (3, 3) from the camera's axes to the files', `up` (3,) being up in the camera's.

    Towards the camera is level, along the ground; for a camera that looks straight down or up, it is where the
    lower edge of the picture is, or the upper one.
    """
    y = np.asarray(up, np.float64)
    ahead = AHEAD if np.linalg.norm(np.cross(AHEAD, y)) > ALONG else -np.sign(AHEAD @ -y) * DOWN
    z = ahead @ y * y - ahead
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z])


def lowest_soles(skeleton: Skeleton, turns: Floats, root: Floats) -> Floats:
    """Height (N,), m, of the lowest sole of people posed in a world whose y is up.

    `turns` is (N, 17, 3, 3), `root` (N, 3). The sole is below heel and toe, by as much as on the rest body.
    """
    _, landmarks = posed(skeleton, turns, root)
    lengths = np.linalg.norm(
        skeleton.landmarks[..., FEET[:2], :] - skeleton.landmarks[..., FEET[2:], :], axis=-1
    )
    below = lengths.mean(-1)[..., None] * _thickness()  # (N, 4)
    return (landmarks[..., FEET, 1] - below).min(-1).astype(np.float32)


@cache
def _thickness() -> Floats:
    """How far the sole is below each of FEET when a foot stands flat, (4,), in lengths from heel to toe."""
    model = load()
    feet = np.isin(model.segments[:, 0], [SEGMENTS.index(f"{side}_foot") for side in ("left", "right")])
    marks = landmarks_on(model.vertices)[FEET]  # (4, 3), y down
    length = np.linalg.norm(marks[:2] - marks[2:], axis=-1).mean()
    return np.asarray((model.vertices[feet, 1].max() - marks[:, 1]) / length, np.float32)
