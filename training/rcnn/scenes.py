"""Pictures of up to four made-up people, and all that is so about them: what an R-CNN is trained on without data.

People of different shapes are posed, dressed, painted and lit (`training.people`, `training.rendered`), placed
before one camera so that nearer ones hide farther ones, and put before a background made by code. The picture
then gets a camera's exposure, blur, noise and compression. Everything follows from the seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.raster import rasterised, render
from bodystream.models.body.skin import blend, shares
from bodystream.models.keypoints import COCO
from bodystream.training.motion import rotations, windows
from bodystream.training.people import Figure, articulated, landmarks_of, make_figure, rest_normals
from bodystream.training.poses import Motion, about_y
from bodystream.training.rcnn.backgrounds import background, objects
from bodystream.training.rcnn.clothes import detailed
from bodystream.training.rendered import Paint, painted

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

MOST = 4  # people in a scene
HOW_MANY = (0.06, 0.34, 0.30, 0.19, 0.11)  # chance of 0, 1, .. people
FOCAL = (0.8, 1.6)  # of the long side: 64 to 35 degrees, what phones and webcams have
TALL_M = 1.7
APPARENT = (0.22, 1.25)  # how high somebody of 1.7 m would stand, of the picture's height
LEVEL, TILTED = (6.0, 8.0), (-12.0, 40.0)  # degrees that the camera looks down: mean and deviation, or range
ROLL = 4.0  # degrees, deviation
BESIDE = 0.45  # chance that somebody stands close to the one before, at about the same depth
SEEN_PX, SEEN_SHARE = 40, 0.2  # whoever shows less than this is taken out of the scene again
COVERED = 0.3  # share of scenes with something that stands before somebody
FIGURES, NEW_FIGURE = 24, 0.1  # kept to be posed again, and the chance that one is replaced at a scene
PAINTS, NEW_PAINT = 48, 0.2
POSES = 32  # made at a time
NEAREST_M = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """One person in a picture. `box` (4,) of the visible pixels, x0 y0 x1 y1, px; `mask` bool (H, W) of these;
    `part` uint8 (H, W), 1..24 there, else 0, and `uv` float32 (2, H, W), 0..1; `joints` (33, 3), landmarks in
    camera axes, m; `keypoints` (17, 3), COCO's: px, px, 0 outside the picture, 1 hidden, 2 visible.
    """

    box: Floats
    mask: Mask
    part: Image
    uv: Floats
    joints: Floats
    keypoints: Floats


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture uint8 (H, W, 3), BGR, its focal length, px, and the people in it."""

    image: Image
    focal_px: float
    people: tuple[Seen, ...]


@dataclass(frozen=True)
class Scenes:
    """An endless source of scenes of `size` (H, W), px; people move as in `motion`, or in made-up poses alone.

    `pictures` serve as backgrounds of half of the scenes, where there are any: nobody may be in them.
    """

    motion: Motion | None = None
    size: tuple[int, int] = (256, 320)
    pictures: Sequence[Path] = ()

    def scenes(self, seed: int, rank: int = 0) -> Iterator[Scene]:
        """Yield scenes: the same ones for the same seed and rank, others for others."""
        rng = np.random.default_rng([seed, rank])
        people = self._people(rng)
        while True:
            yield _scene(people, self.size, self.pictures, rng)

    def _people(self, rng: np.random.Generator) -> "Iterator[_Person]":
        figures = [make_figure(rng)]
        paints = [detailed(painted(rng), rng)]
        while True:
            for turns in windows(self.motion, POSES, 1, rng)[:, 0]:
                if len(figures) < FIGURES or rng.random() < NEW_FIGURE:
                    figures = [make_figure(rng), *figures][:FIGURES]
                if len(paints) < PAINTS or rng.random() < NEW_PAINT:
                    paints = [detailed(painted(rng), rng), *paints][:PAINTS]
                yield _Person(figures[rng.integers(len(figures))], paints[rng.integers(len(paints))], turns)


class _Person(NamedTuple):
    figure: Figure
    paint: Paint
    turns: Floats  # (17, 3, 3), upright axes


class _Layer(NamedTuple):
    """A person drawn alone: the `window`, what they show in it, colours BGR 0..1, distance m, inf beside them."""

    window: tuple[slice, slice]
    part: Image
    uv: Floats
    colours: Floats
    distance: Floats
    joints: Floats


def _scene(
    people: Iterator[_Person], size: tuple[int, int], pictures: Sequence[Path], rng: np.random.Generator
) -> Scene:
    focal = float(rng.uniform(*FOCAL) * max(size))
    tilt, light = _camera(rng), _light(rng)
    layers: list[_Layer] = []
    before: Floats | None = None
    for _ in range(rng.choice(len(HOW_MANY), p=HOW_MANY)):
        person = next(people)
        place = before = _place(focal, size, before, rng)
        turn = tilt @ about_y(np.asarray(rng.uniform(-np.pi, np.pi)))
        layer = _layer(person, turn, place, light, focal, size)
        if layer is not None:
            layers.append(layer)
    things = objects(size, rng) if layers and rng.random() < COVERED else []
    depths = [float(layer.distance.min()) for layer in layers]
    covers = [(thing, rng.uniform(0.7 * min(depths), max(depths))) for thing in things]
    ground = background(size, pictures, rng)
    while True:
        image, owner = _composed(layers, covers, ground)
        shown = [int((owner == k + 1).sum()) for k in range(len(layers))]
        enough = [
            n >= max(SEEN_PX, SEEN_SHARE * float((layer.part > 0).sum()))
            for n, layer in zip(shown, layers, strict=True)
        ]
        if all(enough):
            break
        layers = [layer for layer, good in zip(layers, enough, strict=True) if good]
    seen = tuple(_seen(layer, owner, k + 1, focal) for k, layer in enumerate(layers))
    return Scene(photographed(image, rng), focal, seen)


def _camera(rng: np.random.Generator) -> Floats:
    """Upright axes to the camera's, (3, 3): looks down a little, and is not quite level."""
    pitch = rng.normal(*LEVEL) if rng.random() < 0.7 else rng.uniform(*TILTED)
    turn = rotations(np.radians([[pitch, 0, 0], [0, 0, rng.normal(0, ROLL)]]))
    return np.asarray(turn[1] @ turn[0], np.float32)


def _light(rng: np.random.Generator) -> Floats:
    """Where the light comes from, (3,), in camera axes: rather from above, and from the camera's side."""
    direction = rng.normal((0, -1, -1), 1)
    return np.asarray(direction / np.linalg.norm(direction), np.float32)


def _place(focal: float, size: tuple[int, int], before: Floats | None, rng: np.random.Generator) -> Floats:
    """Of somebody's pelvis, (3,), camera axes, m: anywhere in the picture, or beside whoever came before."""
    height, width = size
    if before is not None and rng.random() < BESIDE:
        place = before + rng.normal(0, (0.45, 0.12, 0.5))
        return np.asarray([*place[:2], max(place[2], 2 * NEAREST_M)], np.float32)
    tall = np.exp(rng.uniform(*np.log(APPARENT))) * height
    away = focal * TALL_M / tall
    x = rng.uniform(-0.46, 0.46) * width
    free = max(0.5 * height - 0.45 * tall, 0.15 * height)  # so far the pelvis may be from the middle
    y = np.clip(rng.normal(0.06 * height, 0.5 * free), -free, free)
    return np.asarray([x * away / focal, y * away / focal, away], np.float32)


def _layer(
    person: _Person, turn: Floats, place: Floats, light: Floats, focal: float, size: tuple[int, int]
) -> _Layer | None:
    """Draw one person; None where nothing of them is in the picture."""
    figure, paint, turns = person
    segments = articulated(turns, figure.joints)
    there = blend(figure.body, segments) @ turn.T + place  # (V, 3)
    if there[:, 2].min() < NEAREST_M:
        return None
    middle = np.array([size[1] / 2, size[0] / 2], np.float32)
    vertices = np.empty_like(there)
    vertices[:, :2] = focal * there[:, :2] / there[:, 2:] + middle
    vertices[:, 2] = (there[:, 2] - place[2]) * (focal / place[2])
    low = np.clip(np.floor(vertices[:, :2].min(0)), 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(vertices[:, :2].max(0)), 0, size[::-1]).astype(int)
    wide, high_px = (high - low).tolist()
    if min(wide, high_px) < 4:
        return None
    pixels = max(wide, high_px)
    to_grid = np.array([[1.0, 0, -low[0]], [0, 1, -low[1]]])
    shown = render(vertices, to_grid, pixels)
    colours, _ = rasterised(vertices, to_grid, pixels, _lit(paint, turns, turn, light)[:, ::-1])
    inner = slice(0, high_px), slice(0, wide)
    part = shown.part[inner]
    if not part.any():
        return None
    distance = place[2] * (1 + shown.depth[inner] / focal)
    return _Layer(
        window=(slice(low[1], high[1]), slice(low[0], high[0])),
        part=part,
        uv=shown.uv[:, inner[0], inner[1]],
        colours=colours[inner],
        distance=np.where(part > 0, distance, np.inf).astype(np.float32),
        joints=(landmarks_of(figure, segments) @ turn.T + place).astype(np.float32),
    )


def _lit(paint: Paint, turns: Floats, turn: Floats, light: Floats) -> Floats:
    """Colours of the vertices (V, 3), RGB, where the light falls on them."""
    toward = np.einsum(
        "sij,i->sj", turns, turn.T @ light
    )  # (17, 3): the light as each segment at rest has it
    facing = np.einsum("vj,vj->v", shares() @ toward, rest_normals())
    return paint.colours * (paint.ambient + (1 - paint.ambient) * np.clip(facing, 0, 1))[:, None]


def _composed(
    layers: Sequence[_Layer], covers: Sequence[tuple[tuple[Mask, Floats], float]], ground: Floats
) -> tuple[Floats, Image]:
    """The picture, BGR 0..1, and who is seen where: (H, W), 0 nobody."""
    image = ground.copy()
    owner = np.zeros(ground.shape[:2], np.uint8)
    nearest = np.full(ground.shape[:2], np.inf, np.float32)
    for k, layer in enumerate(layers):
        before = layer.distance < nearest[layer.window]
        image[layer.window][before] = layer.colours[before]
        owner[layer.window][before] = k + 1
        nearest[layer.window][before] = layer.distance[before]
    for (mask, colours), distance in covers:
        before = mask & (nearest > distance)
        image[before] = colours[before]
        owner[before] = 0
        nearest[before] = distance
    return image, owner


def _seen(layer: _Layer, owner: Image, number: int, focal: float) -> Seen:
    height, width = owner.shape
    mask = owner == number
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    part, uv = np.zeros_like(owner), np.zeros((2, height, width), np.float32)
    inside = mask[layer.window]
    part[layer.window] = np.where(inside, layer.part, 0)
    uv[:, layer.window[0], layer.window[1]] = np.where(inside, layer.uv, 0)
    points = layer.joints[COCO]
    flat = focal * points[:, :2] / points[:, 2:] + np.array([width / 2, height / 2], np.float32)
    column, row = np.floor(flat).astype(int).T
    there = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    own = mask[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    keypoints = np.column_stack([flat, there * (1 + own)]).astype(np.float32)
    return Seen(box, mask, part, uv, layer.joints, keypoints)


def photographed(image: Floats, rng: np.random.Generator) -> Image:
    """What a camera makes of colours 0..1: exposure, tint, blur, noise, compression."""
    gains = (rng.uniform(0.6, 1.25) * rng.uniform(0.9, 1.1, 3)).astype(np.float32)
    out = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.45, 1.1) if rng.random() < 0.9 else rng.uniform(1, 2))
    out = np.clip(np.asarray(out) * gains, 0, 1) ** np.float32(rng.uniform(0.75, 1.3)) * 255
    out += np.float32(rng.uniform(0, 7)) * rng.standard_normal(out.shape, np.float32)
    picture = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))])
        picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return picture
