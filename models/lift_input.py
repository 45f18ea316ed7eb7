"""What lift-s is given: a person's joints as seen by a camera that looks at them, with their torso upright.

A person looks different in the middle of a picture and at its border, and from a tilted camera; the landmark net
sees them through a crop that is turned upright, as if by a camera of their own. So the picture is turned into
that camera's before, and the answer is turned back after.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bodystream.models.lift_layout import EXTENT, HIPS, INPUTS, POINTS, SHOULDERS, SIZE_M, SURE, UP, WORLD

Floats = NDArray[np.float32]

NEAR = 0.1  # of the distance to the torso: what lies nearer to the eye, or behind it, is taken to lie there
TYPICAL = 2.0  # minus the logarithm of the joints' mean distance from the hips, for a person 4 m away
LEAST = 1e-6  # extent of a person in the picture, of the focal length


class Seen(NamedTuple):
    """`inputs` float32 (N, 93), see `lift_layout`; `turns` float32 (N, 3, 3), camera axes to the view's, and
    `uprights` (N, 2, 2), the picture's to the view's.
    """

    inputs: Floats
    turns: Floats
    uprights: Floats


def seen(rays: Floats, sure: Floats, world: Floats) -> Seen:
    """What the network is given of N people, and the views it sees them in.

    `rays` (N, 15, 2): x / z and y / z of the joints in camera axes, without distortion; `sure` (N, 15),
    confidences; `world` (N, 15, 3): the landmark net's metric joints, m, in the picture's axes.
    """
    look = looking(rays)  # (N, 3, 3)
    flat = (rays @ look[:, :, :2].swapaxes(1, 2)) + look[:, None, :, 2]  # (N, 15, 3)
    flat = flat[..., :2] / np.maximum(flat[..., 2:], NEAR)  # (N, 15, 2)
    upright = uprighting(flat)  # (N, 2, 2)
    flat = flat @ upright.swapaxes(1, 2)
    points = flat - flat[:, HIPS].mean(1, keepdims=True)
    extent = np.maximum(np.sqrt((points**2).sum(-1)).mean(-1), LEAST)[:, None]  # (N, 1)
    body = turned(world - world[:, HIPS].mean(1, keepdims=True), upright) / SIZE_M
    inputs = np.empty((len(rays), INPUTS), np.float32)
    inputs[:, POINTS] = (points / extent[..., None]).reshape(len(rays), -1)
    inputs[:, EXTENT] = np.log(extent) + TYPICAL
    inputs[:, SURE] = sure
    inputs[:, WORLD] = body.reshape(len(rays), -1)
    inputs[:, UP] = upright[:, :, 0]  # cosine, sine
    turns = look.copy()
    turns[:, :2] = upright @ look[:, :2]
    return Seen(inputs, turns, upright)


def turned(points: Floats, uprights: Floats) -> Floats:
    """Points (N, K, 3), their x and y turned by (N, 2, 2)."""
    return np.concatenate([points[..., :2] @ uprights.swapaxes(1, 2), points[..., 2:]], axis=-1)


def looking(rays: Floats) -> Floats:
    """The least turns (N, 3, 3) of the camera's axes that make it look at torsos, of rays (N, 15, 2)."""
    torso = (rays[:, SHOULDERS].mean(1) + rays[:, HIPS].mean(1)) / 2  # (N, 2)
    x, y = torso.T
    z = 1 / np.sqrt(x * x + y * y + 1)
    x, y = x * z, y * z  # the direction, of length 1
    k = 1 / (1 + z)
    rows = [1 - k * x * x, -k * x * y, -x, -k * x * y, 1 - k * y * y, -y, x, y, z]
    return np.stack(rows, axis=-1).reshape(-1, 3, 3).astype(np.float32)


def uprighting(flat: Floats) -> Floats:
    """Turns (N, 2, 2) of a picture that bring the torsos of joints (N, 15, 2) upright."""
    x, y = (flat[:, SHOULDERS].mean(1) - flat[:, HIPS].mean(1)).T
    long = np.maximum(np.hypot(x, y), LEAST)
    cos, sin = -y / long, -x / long
    lost = np.hypot(x, y) < LEAST
    cos, sin = np.where(lost, 1, cos), np.where(lost, 0, sin)
    return np.stack([cos, -sin, sin, cos], axis=-1).reshape(-1, 2, 2).astype(np.float32)
