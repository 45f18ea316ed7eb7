"""From segments to vertices: linear blend skinning, one matrix product for the whole body."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load

Floats = NDArray[np.float32]


def skinned(segments: Floats) -> Floats:
    """Vertices of the mean body, posed: float32 (V, 3), in what `segments` maps to.

    `segments` is float32 (17, 3, 4), as in `pose.Body`: rest position, m, to the image.
    """
    return blend(_mean_body(), segments)


def weighted(vertices: Floats) -> Floats:
    """What `blend` multiplies: float32 (V, 68), for each segment its weight times (x, y, z, 1).

    `vertices` is (V, 3), m: a body at rest. To be kept where one body is posed often.
    """
    homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1), np.float32)], axis=1)
    return (shares()[:, :, None] * homogeneous[:, None, :]).reshape(len(vertices), -1)


@cache
def shares() -> Floats:
    """Skin weight of every segment at every vertex: float32 (V, 17), sum 1."""
    model = load()
    table = np.zeros((len(model.vertices), 17), np.float32)
    np.put_along_axis(table, model.segments.astype(np.int64), model.weights, axis=1)
    return table


def blend(body: Floats, segments: Floats) -> Floats:
    """Pose a body that `weighted` has prepared: float32 (V, 3)."""
    return body @ segments.transpose(0, 2, 1).reshape(-1, 3)  # (V, 68) @ (68, 3)


def landmarks_on(vertices: Floats) -> Floats:
    """BlazePose's 33 landmarks on a posed body: float32 (33, 3), in the unit of `vertices` (V, 3)."""
    model = load()
    near = vertices[model.landmark_vertices]  # (33, M, 3)
    return (near * model.landmark_weights[..., None]).sum(1).astype(np.float32)


def shaped(coefficients: Floats) -> Floats:
    """The body at rest with another shape: float32 (V, 3), m; `coefficients` (K,) are standard normal."""
    model = load()
    return (model.vertices + np.tensordot(coefficients, model.shapes.astype(np.float32), 1)).astype(
        np.float32
    )


@cache
def _mean_body() -> Floats:
    return weighted(load().vertices)
