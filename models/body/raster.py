"""The body drawn into a small grid: which part, U, V and depth each pixel shows.

OpenCV 5 brings a z-buffer (`triangleRasterize`), so that nothing has to be compiled here, at the first call of
a live run least of all.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load

Floats = NDArray[np.float32]

FAR = 1000.0  # grid sides from the eye to the body: so far that nothing is foreshortened, in float32
REACH = 4.0  # grid sides before and behind the hips that are drawn: a body is never longer than two or three
CLUSTER_M = 0.015  # a pixel of the grid of 128 is about 15 mm of a standing adult
LEVELS = 32.0  # OpenCV interpolates colours 0..1: part numbers go as multiples of 1/32


@dataclass(frozen=True, slots=True)
class Render:
    """A body seen through a grid: part uint8 (h, w), 0 where nothing is; uv float32 (2, h, w), 0..1; depth
    float32 (h, w) in grid px from the hips, away from the camera, 0 where nothing is.
    """

    part: NDArray[np.uint8]
    uv: Floats
    depth: Floats


def render(vertices: Floats, to_grid: NDArray[np.float64], pixels: int) -> Render:
    """Draw a posed body into `pixels` × `pixels`, what is nearer before what is further.

    `vertices` is float32 (V, 3): x px, y px of the image, and depth in px of the same scale. `to_grid` is
    (2, 3): image px to continuous grid px, a similarity.
    """
    colours, depth = rasterised(vertices, to_grid, pixels)
    part = np.rint(colours[..., 0] * LEVELS).astype(np.uint8)  # (h, w)
    uv = np.ascontiguousarray(colours[..., 1:].transpose(2, 0, 1))  # (2, h, w)
    return Render(part, uv, np.where(part > 0, (depth - FAR) * pixels, 0).astype(np.float32))


def rasterised(
    vertices: Floats, to_grid: NDArray[np.float64], pixels: int, colours: Floats | None = None
) -> tuple[Floats, Floats]:
    """The same with colours (V, 3), 0..1, at the vertices, part as multiples of 1/32, U, V where there are none.

    Gives these float32 (h, w, 3), 0 where nothing is, and depths (h, w) in grid sides from the eye, more than
    FAR + 0.99 * REACH where nothing is.
    """
    mesh = _mesh()
    scale = float(np.sqrt(abs(np.linalg.det(to_grid[:, :2])))) / pixels  # of depth, px to grid sides
    vertices = vertices[mesh.vertex]
    points = np.empty((len(vertices), 3), np.float32)
    points[:, :2] = vertices[:, :2] @ (to_grid[:, :2].T / pixels) + (to_grid[:, 2] / pixels - 0.5)
    points[:, 2] = np.clip(vertices[:, 2] * scale, -0.99 * REACH, 0.99 * REACH)
    # The eye looks along -z with y up, at a picture whose half height is one half.
    points *= np.array([1, -1, -1], np.float32)
    drawn, away = cv2.triangleRasterize(
        points,
        mesh.triangles,
        mesh.colours if colours is None else np.ascontiguousarray(colours[mesh.vertex], np.float32),
        np.zeros((pixels, pixels, 3), np.float32),
        np.full((pixels, pixels), FAR + REACH, np.float32),
        _eye(),
        2 * np.arctan(0.5 / FAR),
        FAR - REACH,
        FAR + REACH,
        mesh.settings,
    )
    return np.asarray(drawn, np.float32), np.asarray(away, np.float32)


@dataclass(frozen=True)
class _Mesh:
    vertex: NDArray[np.int64]  # (C,)
    triangles: NDArray[np.int32]  # (T, 3)
    colours: Floats  # (C, 3): part, U, V
    settings: cv2.TriangleRasterizeSettings


@cache
def _mesh() -> _Mesh:
    model = load()
    colours = np.column_stack([model.part / LEVELS, model.uv]).astype(np.float32)
    triangles = coarsened(CLUSTER_M)
    used, renumbered = np.unique(triangles, return_inverse=True)
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_CW)  # the inside of the body is never seen
    return _Mesh(
        vertex=model.chart_vertex[used].astype(np.int64),
        triangles=renumbered.reshape(-1, 3).astype(np.int32),
        colours=colours[used],
        settings=settings,
    )


def coarsened(cell_m: float) -> NDArray[np.int64]:
    """The body's triangles with all chart vertices of a cube of `cell_m` drawn into one of them: (T, 3).

    Two thirds of the full surface are fingers, toes and faces. Vertices on the charts' borders stay.
    """
    model = load()
    places = model.vertices[model.chart_vertex]
    cells = np.column_stack([model.part, np.floor(places / cell_m)])
    _, cluster = np.unique(cells, axis=0, return_inverse=True)
    cluster = cluster.ravel()
    middle = (
        np.stack([np.bincount(cluster, axis) for axis in places.T], axis=1) / np.bincount(cluster)[:, None]
    )
    order = np.lexsort([np.linalg.norm(places - middle[cluster], axis=1), cluster])
    first = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    target = order[first][cluster]  # of each cluster, the vertex nearest to its middle
    border = np.bincount(model.chart_vertex, minlength=len(model.vertices))[model.chart_vertex] > 1
    target[border] = np.flatnonzero(border)
    triangles = target[model.triangles.astype(np.int64)]
    a, b, c = triangles.T
    return triangles[(a != b) & (b != c) & (c != a)]


def _eye() -> Floats:
    """World to camera: the body is FAR away along -z."""
    eye = np.eye(4, dtype=np.float32)
    eye[2, 3] = -FAR
    return eye
