"""A person's own surface: the body of the body file with this person's bones, at rest or posed."""

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.kinematics import Skeleton, posed
from bodystream.models.body.pose import girth, pose_bodies
from bodystream.models.body.skin import skinned

Floats = NDArray[np.float32]


def own_surface(skeleton: Skeleton) -> Floats:
    """The surface round one person's skeleton at rest: float32 (V, 3), m, the rest body's axes.

    Each segment of the mean body is stretched along its bone, and across grows with the person's size.
    """
    scale = girth(skeleton.lengths[None], np.ones(1, np.float32))
    return skinned(pose_bodies(skeleton.landmarks[None], scale)[0])


def own_segments(skeleton: Skeleton, turns: Floats, root: Floats) -> Floats:
    """What takes a person's own surface from rest to a pose: float32 (17, 3, 4), for `skin.blend`.

    `turns` (17, 3, 3) and `root` (3,) as in `kinematics.posed`.
    """
    starts, _ = posed(skeleton, turns, root)
    offset = starts - (turns @ skeleton.starts[..., None])[..., 0]
    return np.concatenate([turns, offset[..., None]], axis=-1).astype(np.float32)


def normals(vertices: Floats) -> Floats:
    """Unit normals of the surface's vertices, pointing out: float32 (V, 3); triangles count by their areas."""
    model = load()
    triangles = model.chart_vertex[model.triangles]  # (T, 3)
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)],
        axis=1,
    )
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12), np.float32)
