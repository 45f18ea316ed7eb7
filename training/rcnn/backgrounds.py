"""What is behind made-up people, and what stands before them: gradients, clouds of noise, shapes, textures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.errors import SourceUnreadable
from bodystream.training.rendered import SKINS

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

FROM_PICTURES = 0.5  # share of backgrounds, where there are pictures
SHAPES = 14  # at most
LIMBS = (
    0.25  # share of shapes that are drawn as a limb might be: a round stick, some of them of skin's colour
)
OBJECTS = 2  # at most


def background(size: tuple[int, int], pictures: Sequence[Path], rng: np.random.Generator) -> Floats:
    """Colours (H, W, 3), BGR, 0..1. Raises SourceUnreadable for a picture that is none."""
    if pictures and rng.random() < FROM_PICTURES:
        return _cut_out(pictures[int(rng.integers(len(pictures)))], size, rng)
    image = _surface(size, rng)
    if rng.random() < 0.6:  # a floor
        row = int(rng.uniform(0.3, 0.95) * size[0])
        image[row:] = _surface(size, rng)[row:]
    for _ in range(rng.integers(SHAPES + 1)):
        _shape(image, rng)
    return np.clip(image, 0, 1)


def objects(size: tuple[int, int], rng: np.random.Generator) -> list[tuple[Mask, Floats]]:
    """Things to stand before people: where they are, (H, W), and their colours, (H, W, 3)."""
    found = []
    for _ in range(rng.integers(1, OBJECTS + 1)):
        mask = np.zeros(size, np.uint8)
        centre = rng.uniform(0, 1, 2) * size[::-1]
        sides = np.exp(rng.uniform(np.log(0.06), np.log(0.4), 2)) * max(size)
        if rng.random() < 0.7:
            corners = cv2.boxPoints((centre.tolist(), sides.tolist(), float(rng.normal(0, 12))))
            cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1)
        else:
            axes = tuple(int(side / 2) + 1 for side in sides)
            cv2.ellipse(mask, tuple(int(c) for c in centre), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        found.append((mask > 0, np.clip(_surface(size, rng), 0, 1)))
    return found


def _cut_out(path: Path, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A random part of a picture."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SourceUnreadable(f"{path} is no picture; --backgrounds needs a folder of .jpg or .png files")
    height, width = picture.shape[:2]
    scale = min(height / size[0], width / size[1])
    h, w = (int(max(1, rng.uniform(0.5, 1.0) * scale * side)) for side in size)
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    part = cv2.resize(picture[y : y + h, x : x + w], size[::-1], interpolation=cv2.INTER_AREA)
    part = part[:, ::-1] if rng.random() < 0.5 else part
    return np.ascontiguousarray(part, np.float32) / np.float32(255)


def _surface(size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A colour, a gradient, clouds of noise of several sizes, sometimes stripes or tiles."""
    height, width = size
    angle = rng.uniform(0, 2 * np.pi)
    along = (
        np.linspace(0, np.cos(angle), width, dtype=np.float32)[None]
        + np.linspace(0, np.sin(angle), height, dtype=np.float32)[:, None]
    )
    image = _colour(rng) + along[..., None] * rng.normal(0, 0.15, 3).astype(np.float32)
    for cells in (2, 5, 12, 32, 80):
        if rng.random() < 0.45:
            strength, tint = rng.uniform(0, 0.14), rng.uniform(0, 0.7) ** 2
            noise = rng.normal(0, strength, (cells, cells, 1)) + rng.normal(
                0, strength * tint, (cells, cells, 3)
            )
            way = cv2.INTER_NEAREST if rng.random() < 0.15 else cv2.INTER_LINEAR
            image += cv2.resize(noise.astype(np.float32), (width, height), interpolation=way)
    if rng.random() < 0.25:  # stripes: blinds, boards, fences
        period, share = rng.uniform(0.01, 0.15), rng.uniform(0.1, 0.9)
        stripes = ((along / np.float32(period)) % 1 < share)[..., None]
        image += stripes * rng.normal(0, 0.12, 3).astype(np.float32)
    return np.asarray(image, np.float32)


def _colour(rng: np.random.Generator) -> Floats:
    """More grey than coloured."""
    return np.asarray(
        rng.uniform(0.05, 0.95) + rng.normal(0, 0.06 if rng.random() < 0.75 else 0.25, 3), np.float32
    )


def _shape(image: Floats, rng: np.random.Generator) -> None:
    """Draw a rectangle, an ellipse, a polygon or a stick into the image."""
    height, width = image.shape[:2]
    at = rng.uniform(-0.1, 1.1, 2) * [width, height]
    sides = np.exp(rng.uniform(np.log(0.03), np.log(0.5), 2)) * max(height, width)
    turn = float(rng.uniform(0, 180)) if rng.random() < 0.5 else 0.0
    colour = _colour(rng).tolist()
    if rng.random() < LIMBS:
        if rng.random() < 0.5:
            skin = np.array(SKINS[rng.integers(len(SKINS))])[::-1]
            colour = (skin * rng.uniform(0.5, 1.1)).tolist()
        end = at + rng.normal(0, sides.max() / 2, 2)
        thick = int(rng.uniform(0.01, 0.07) * height) + 1
        cv2.line(image, _px(at), _px(end), colour, thick, cv2.LINE_AA)
        cv2.circle(image, _px(end), int(0.6 * thick) + 1, colour, -1, cv2.LINE_AA)
        return
    pattern = rng.random() < 0.2
    mask: NDArray[Any] = np.zeros((height, width), np.uint8) if pattern else image
    fill = 1 if pattern else colour
    kind = rng.random()
    if kind < 0.5:
        corners = cv2.boxPoints((at.tolist(), sides.tolist(), turn))
        cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), fill)
    elif kind < 0.75:
        cv2.ellipse(mask, _px(at), (int(sides[0] / 2) + 1, int(sides[1] / 2) + 1), turn, 0, 360, fill, -1)
    else:
        corners = at + rng.normal(0, sides.max() / 2, (int(rng.integers(3, 7)), 2))
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], fill)
    if pattern:
        where = mask > 0
        image[where] = _surface((height, width), rng)[where]


def _px(point: NDArray[np.floating]) -> tuple[int, int]:
    return int(point[0]), int(point[1])
