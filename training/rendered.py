"""People drawn as a camera would see them, to run the landmark net on: posed, dressed, painted, lit.

They are mannequins, not photographs: no cloth that hangs, no hair that moves, and a face of a few spots of colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.skeleton import SEGMENTS
from bodystream.models.body.skin import blend, landmarks_on, shares
from bodystream.training.people import Figure, articulated, landmarks_of, rest_normals, scalp, waves

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

FAR, REACH = (
    1000.0,
    4.0,
)  # as in `models.body.raster`: an eye so far away that nothing is foreshortened once more
SKINS = ((0.86, 0.70, 0.60), (0.75, 0.57, 0.45), (0.52, 0.36, 0.27), (0.33, 0.22, 0.17))  # RGB
AMBIENT = (0.35, 0.75)
SLEEVES, SHORTS = 0.5, 0.3  # shares of people with bare forearms and with bare shanks
EYE_M, BROW_M, MOUTH_M = 0.013, 0.02, 0.022


@dataclass(frozen=True, slots=True)
class Paint:
    """One person's colours at the rest body's vertices, (V, 3) RGB 0..1, and the light that falls on them:
    its direction (3,) in camera axes, and what is there without it.
    """

    colours: Floats
    light: Floats
    ambient: float


def painted(rng: np.random.Generator) -> Paint:
    """Skin, shirt, trousers, shoes, hair and a face."""
    share = shares()
    skin = np.array(SKINS[rng.integers(len(SKINS))]) * rng.uniform(0.85, 1.1)
    shirt, trousers, shoes = rng.uniform(0.05, 0.95, (3, 3))
    hair = rng.uniform(0.03, 0.5) * np.array([1.0, 0.8, 0.6])
    bare = ["head", "hand"]
    bare += ["forearm"] if rng.random() < SLEEVES else []
    bare += ["shank"] if rng.random() < SHORTS else []
    colours = np.zeros((len(share), 3))
    for i, name in enumerate(SEGMENTS):
        colour = shirt
        if name == "pelvis" or name.endswith(("thigh", "shank")):
            colour = trousers
        if name.endswith("foot"):
            colour = shoes
        if any(word in name for word in bare):
            colour = skin
        colours += share[:, i, None] * colour
    clothed = share[:, [i for i, name in enumerate(SEGMENTS) if name in ("pelvis", "chest")]].sum(1) > 0.5
    pattern = waves(rng, metres=rng.uniform(0.05, 0.3))[:, None] * rng.uniform(0, 0.25)
    colours += np.where(clothed[:, None], pattern, 0.2 * pattern)
    top = scalp()[:, None]
    colours = (1 - top) * colours + top * hair
    colours = _with_face(colours, hair)
    direction = rng.normal((0, -1, -1), 1)  # rather from above, and from the camera's side
    return Paint(
        np.clip(colours, 0, 1).astype(np.float32),
        (direction / np.linalg.norm(direction)).astype(np.float32),
        float(rng.uniform(*AMBIENT)),
    )


def _with_face(colours: NDArray[np.float64], hair: NDArray[np.float64]) -> NDArray[np.float64]:
    vertices = load().vertices
    marks = landmarks_on(vertices)
    out = colours.copy()

    def spot(place: Floats, radius: float, colour: Sequence[float] | NDArray[np.float64]) -> None:
        near = np.linalg.norm((vertices - place) / [1.6, 1, 2], axis=1) < radius
        out[near] = colour

    for eye in (2, 5):
        spot(marks[eye] - [0, 0.02, 0], BROW_M / 2, hair)
        spot(marks[eye], EYE_M, (0.9, 0.9, 0.9))
        spot(marks[eye], EYE_M / 2, (0.1, 0.07, 0.05))
    spot(marks[[9, 10]].mean(0), MOUTH_M / 1.6, (0.6, 0.25, 0.25))
    return out


class Drawn(NamedTuple):
    """A picture, BGR; the person's 33 landmarks (33, 3) in camera axes, m; and their surface's vertices (V, 3):
    x and y in px of the picture, and the depth from the pelvis in px of that scale.
    """

    picture: Image
    marks: Floats
    vertices: Floats


def drawn(
    figure: Figure,
    paint: Paint,
    turns: Floats,
    camera: Floats,
    place: Floats,
    focal_px: float,
    background: Image,
) -> Drawn:
    """One pose before the background.

    `turns` (17, 3, 3) in upright axes, `camera` (3, 3) takes these to the camera's, `place` (3,) is the pelvis', m.
    """
    segments = articulated(turns, figure.joints)
    vertices = blend(figure.body, segments) @ camera.T + place
    marks = landmarks_of(figure, segments) @ camera.T + place
    facing = np.einsum("vij,vj->vi", (shares() @ turns.reshape(17, 9)).reshape(-1, 3, 3), rest_normals())
    lit = np.clip(facing @ camera.T @ paint.light, 0, 1)[:, None]
    colours = paint.colours * (paint.ambient + (1 - paint.ambient) * lit)
    height, width = background.shape[:2]
    centre = np.array([width / 2, height / 2])
    flat = focal_px * vertices[:, :2] / np.maximum(vertices[:, 2:], 0.2) + centre
    depth = vertices[:, 2] - place[2]
    picture = _rasterised(flat.astype(np.float32), depth, colours, background)
    surface = np.column_stack([flat, depth * focal_px / place[2]])
    return Drawn(picture, marks.astype(np.float32), surface.astype(np.float32))


def _rasterised(flat: Floats, depth: Floats, colours: Floats, background: Image) -> Image:
    """Vertices at px (V, 2) with depths, m, and colours, RGB, over the background."""
    height, width = background.shape[:2]
    chart = load().chart_vertex.astype(np.int64)
    points = np.empty((len(chart), 3), np.float32)
    points[:, 0] = (flat[chart, 0] - width / 2) / height
    points[:, 1] = -(flat[chart, 1] - height / 2) / height
    points[:, 2] = -np.clip(depth[chart], -0.99 * REACH, 0.99 * REACH)
    eye = np.eye(4, dtype=np.float32)
    eye[2, 3] = -FAR
    image, away = cv2.triangleRasterize(
        points,
        _triangles(),
        np.ascontiguousarray(colours[chart][:, ::-1], np.float32),
        (background / np.float32(255)).astype(np.float32),
        np.full((height, width), FAR + REACH, np.float32),
        eye,
        2 * np.arctan(0.5 / FAR),
        FAR - REACH,
        FAR + REACH,
        _settings(),
    )
    del away
    smooth = cv2.GaussianBlur(np.asarray(image, np.float32), (3, 3), 0.6)
    return np.clip(smooth * 255, 0, 255).astype(np.uint8)


@cache
def _triangles() -> NDArray[np.int32]:
    return np.ascontiguousarray(load().triangles.astype(np.int32))


@cache
def _settings() -> cv2.TriangleRasterizeSettings:
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_CW)
    return settings
