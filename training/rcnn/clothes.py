"""What tells the front of clothes from their back: prints, open jackets, faded knees, pockets, toe caps.

`training.rendered` paints people in one colour to a garment. Photographed people wear more than that, and most of
it is on one side; without it a face of a few px is all that tells where a made-up person looks.
"""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.skeleton import SEGMENTS
from bodystream.models.body.skin import landmarks_on, shares
from bodystream.training.people import rest_normals
from bodystream.training.rendered import Paint

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Shares of people: something on the chest, a jacket that is open, a print on the back, faded thighs and knees,
# pockets on the seat, toe caps of another colour.
PRINT, JACKET, BACK, FADED, POCKETS, CAPS = 0.45, 0.35, 0.15, 0.5, 0.5, 0.5


def detailed(paint: Paint, rng: np.random.Generator) -> Paint:
    """The same person with details on their clothes."""
    body = _regions()
    colours = paint.colours.copy()
    x, y, _ = load().vertices.T
    if rng.random() < JACKET:
        half = rng.uniform(0.03, 0.07)
        colours[body.trunk & body.front & (np.abs(x) < half)] = _other(rng)
    elif rng.random() < PRINT / (1 - JACKET):
        _put_print(colours, body.trunk & body.front, x, y, rng)
    if rng.random() < BACK:
        _put_print(colours, body.trunk & body.back, x, y, rng)
    if rng.random() < FADED:
        faded = (body.legs & body.front)[:, None]
        colours = np.where(faded, colours + rng.uniform(0.08, 0.3), colours)
    if rng.random() < POCKETS:
        middle = body.hips_y + rng.uniform(-0.02, 0.04)
        pocket = (np.abs(np.abs(x) - 0.085) < 0.045) & (np.abs(y - middle) < 0.06)
        colours[pocket & body.back & (body.legs | body.trunk)] *= rng.uniform(0.3, 0.7)
    if rng.random() < CAPS:
        colours[body.toes] = _other(rng)
    return replace(paint, colours=np.clip(colours, 0, 1).astype(np.float32))


def _put_print(colours: Floats, where: Mask, x: Floats, y: Floats, rng: np.random.Generator) -> None:
    """A filled ellipse, or a band, between shoulders and hips, in place."""
    body = _regions()
    height = body.hips_y - body.shoulders_y
    middle = body.shoulders_y + rng.uniform(0.25, 0.55) * height
    wide, tall = rng.uniform(0.06, 0.14), rng.uniform(0.04, 0.12)
    inside = (x / wide) ** 2 + ((y - middle) / tall) ** 2 < 1
    if rng.random() < 0.3:
        inside = np.abs(y - middle) < tall / 2
    colours[where & inside] = _other(rng)


def _other(rng: np.random.Generator) -> Floats:
    return np.asarray(rng.uniform(0.03, 0.97, 3), np.float32)


class _Regions(NamedTuple):
    """Vertices of the body, bool (V,), and heights of shoulders and hips at rest, m, y down."""

    trunk: Mask
    legs: Mask
    toes: Mask
    front: Mask
    back: Mask
    shoulders_y: float
    hips_y: float


@cache
def _regions() -> _Regions:
    share, vertices, normal = shares(), load().vertices, rest_normals()
    marks = landmarks_on(vertices)

    def mostly(*words: str) -> Mask:
        own = [i for i, name in enumerate(SEGMENTS) if name.endswith(words)]
        return np.asarray(share[:, own].sum(1) > 0.5)

    toe, heel = marks[31, 2], marks[29, 2]  # z is to the back
    return _Regions(
        trunk=mostly("pelvis", "chest"),
        legs=mostly("thigh", "shank"),
        toes=mostly("foot") & (vertices[:, 2] < toe + 0.35 * (heel - toe)),
        front=normal[:, 2] < -0.25,
        back=normal[:, 2] > 0.25,
        shoulders_y=float(marks[[11, 12], 1].mean()),
        hips_y=float(marks[[23, 24], 1].mean()),
    )
