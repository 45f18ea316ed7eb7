"""Draw models/body/jersey.png, the texture of the demonstration: a striped jersey, jeans, gloves, shoes and a mask.

python training/make_atlas.py [FILE]
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.parts import PARTS

TILE = 128  # px: finer than a body part of a person who fills a 1080p picture
COLUMNS, ROWS = 6, 4
Image = NDArray[np.uint8]
Colour = tuple[int, int, int]  # BGR

CREAM, RED, NAVY, DENIM, SEAM = (225, 240, 248), (58, 52, 205), (92, 48, 30), (150, 96, 52), (70, 190, 240)
GLOVE, SHOE, SOLE, MASK, BROW = (40, 160, 245), (48, 60, 92), (235, 235, 235), (190, 150, 90), (235, 215, 120)


def main() -> None:
    """Write the atlas."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "models/body/jersey.png"
    tiles = [tile(name) for name in PARTS]
    rows = [np.hstack(tiles[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(ROWS)]
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def tile(name: str) -> Image:
    """One part, U to the right and V downwards; a right part is the mirror image of the left one by its chart."""
    if "torso" in name:
        return trunk(front="front" in name)
    if "upper arm" in name:
        return stripes(CREAM, RED, 7)
    if "lower arm" in name:
        return stripes(CREAM, RED, 7, cuff=NAVY)
    if "leg" in name:
        return jeans(turned_up="lower" in name)
    if "hand" in name:
        return grid(GLOVE, 6)
    return shoe() if "foot" in name else head()


def stripes(ground: Colour, ink: Colour, count: int, cuff: Colour | None = None) -> Image:
    """Rings of cloth: V runs along a limb."""
    image = plain(ground)
    pitch = TILE / count
    for k in range(count):
        image[round((k + 0.5) * pitch) : round((k + 1) * pitch)] = ink
    if cuff is not None:
        image[-TILE // 8 :] = cuff
    return image


def trunk(*, front: bool) -> Image:
    """A jersey down to the belt; a badge on the heart's side of the chest, a star in the middle of the back."""
    image = stripes(CREAM, RED, 12)
    image[: TILE // 16] = NAVY
    image[-TILE // 5 :] = DENIM
    image[-TILE // 5 - TILE // 20 : -TILE // 5] = NAVY
    centre, radius = (
        ((round(0.64 * TILE), round(0.3 * TILE)), TILE // 12) if front else ((TILE // 2,) * 2, TILE // 5)
    )
    cv2.circle(image, centre, radius + 3, NAVY, cv2.FILLED, cv2.LINE_AA)
    turns = np.arange(10) * np.pi / 5
    reach = np.where(np.arange(10) % 2 == 0, radius, 0.42 * radius)
    star = np.stack([np.sin(turns), -np.cos(turns)], axis=1) * reach[:, None] + centre
    cv2.fillPoly(image, [np.rint(star).astype(np.int32)], SEAM, cv2.LINE_AA)
    return image


def jeans(*, turned_up: bool) -> Image:
    """Denim with a seam along each side of the chart from below the hip on, and a turn-up above the ankle."""
    image = grid(DENIM, 10, fade=0.12)
    for u in (0.06, 0.94):
        cv2.line(image, (round(u * TILE), 0 if turned_up else TILE // 3), (round(u * TILE), TILE), SEAM, 2)
    if turned_up:
        image[-TILE // 9 :] = CREAM
    return image


def shoe() -> Image:
    """A sole in the lower sheet (U under a half), an upper with laces over it."""
    image = plain(SHOE)
    image[:, : TILE // 2] = SOLE
    for v in np.linspace(0.35, 0.7, 4):
        cv2.line(
            image, (round(0.62 * TILE), round(v * TILE)), (round(0.88 * TILE), round(v * TILE)), CREAM, 3
        )
    return image


def head() -> Image:
    """A wrestler's mask: rings of two blues."""
    return grid(MASK, 8, ink=BROW, fade=0.8)


def grid(
    ground: Colour,
    count: int,
    *,
    ink: Colour = (255, 255, 255),
    fade: float = 0.35,
) -> Image:
    """A chequered cloth, `count` squares a side, every other one faded towards `ink`."""
    image = plain(ground)
    v, u = np.indices((TILE, TILE)) * count // TILE
    light = (1 - fade) * np.array(ground) + fade * np.array(ink)
    image[(u + v) % 2 == 1] = light.astype(np.uint8)
    return image


def plain(colour: Colour) -> Image:
    """A tile of one colour, BGR."""
    return np.full((TILE, TILE, 3), colour, np.uint8)


if __name__ == "__main__":
    main()
