"""Dense correspondence drawn over a picture: parts in colours, lines of constant U and V, or a texture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.errors import SourceNotFound, SourceUnreadable, UsageError
from bodystream.models.body.parts import PARTS
from bodystream.pipeline.types import Image, Iuv

# BGR, by part from 1 on. A left part is the lighter one of its pair, of the same hue as the right one. Found by
# search for the largest distance between any two (CIE 1976, ΔE over 28, between parts that touch over 44); a test
# holds it.
PART_COLOURS: tuple[tuple[int, int, int], ...] = (
    (5, 80, 110),
    (139, 198, 235),
    (218, 62, 96),
    (251, 133, 170),
    (32, 196, 166),
    (80, 115, 111),
    (145, 69, 156),
    (232, 70, 250),
    (107, 102, 11),
    (230, 223, 93),
    (33, 166, 31),
    (172, 222, 183),
    (49, 56, 216),
    (140, 154, 235),
    (255, 175, 165),
    (212, 93, 15),
    (128, 250, 146),
    (47, 125, 56),
    (179, 139, 253),
    (96, 4, 176),
    (197, 167, 144),
    (147, 94, 8),
    (109, 82, 112),
    (240, 197, 245),
)

COLUMNS, ROWS = 6, 4  # tiles of an atlas: part k is tile k - 1, counted along the rows

PART_SHARE = 0.7  # of a part's colour in its pixels: the picture below stays readable
LINES = 8  # of constant U across a part, and of V: a line every eighth
LEAST_CELL = 8  # widths of a line between two of them, on the mean: fewer lines are drawn on small people
UNDER_LINES = 0.55  # of the picture's brightness below lines: they show on a white shirt
TEXTURE_SHARE = 0.92  # of an opaque texture in its pixels
# How far the picture's own light and shade go through a texture: a pixel twice as bright as the person's mean
# makes it this much brighter, within these bounds.
SHADING, DARKEST, BRIGHTEST = 0.8, 0.4, 1.6
COLOUR_OF = np.zeros((256, 1, 3), np.uint8)  # the same by part number, as cv2.applyColorMap wants it
COLOUR_OF[1 : len(PARTS) + 1, 0] = PART_COLOURS
LINE_COLOUR_OF = cv2.addWeighted(COLOUR_OF, 0.5, np.full_like(COLOUR_OF, 255), 0.5, 0)  # thin lines: lighter
UNIT = 128  # stands for a gain of 1 in 8 bits, so that gains go up to 2
LEAST_TILE = 16  # px: smaller copies of an atlas show nothing more


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """An atlas of 6 × 4 tiles, U to the right and V downwards in each; read with `read_texture`.

    `levels`: uint8 (h, w, 4) BGRA, colours already multiplied by alpha; each level half the size of the one
    before, so that a small person is painted without flicker.
    """

    levels: tuple[Image, ...]


Skin = Literal["parts", "isolines"] | Texture  # what people with a dense map are painted with


def read_texture(path: Path) -> Texture:
    """Read an atlas. Raises SourceNotFound, SourceUnreadable, and UsageError where 6 × 4 does not divide its size."""
    if not path.is_file():
        raise SourceNotFound(f"no texture {path}; give a picture of {COLUMNS} × {ROWS} tiles")
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise SourceUnreadable(f"texture {path} is not a picture that OpenCV reads; give a PNG or a JPEG")
    height, width = image.shape[:2]
    if width % COLUMNS or height % ROWS:
        raise UsageError(
            f"texture {path} is {width}×{height}; {COLUMNS} × {ROWS} tiles need a width that {COLUMNS} divides "
            f"and a height that {ROWS} divides, such as {COLUMNS * 256}×{ROWS * 256}"
        )
    levels = [_premultiplied(image)]
    while _halves(levels[-1]):
        height, width = levels[-1].shape[:2]
        smaller = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(smaller.astype(np.uint8, copy=False))
    return Texture(tuple(levels))


def paint(canvas: Image, iuv: Iuv, skin: Skin, hairline: int) -> None:
    """Paint one person's surface, in place; `hairline` is the width of a silhouette's outline, px."""
    height, width = iuv.part.shape
    region = canvas[iuv.y : iuv.y + height, iuv.x : iuv.x + width]
    if isinstance(skin, Texture):
        _paint_texture(region, iuv, skin)
    elif skin == "isolines":
        _paint_lines(region, iuv, max(1, hairline // 2))  # finer than the outline
    else:
        colours = cv2.applyColorMap(iuv.part, COLOUR_OF)
        cv2.copyTo(cv2.addWeighted(region, 1 - PART_SHARE, colours, PART_SHARE, 0), iuv.part, region)


def _paint_lines(region: Image, iuv: Iuv, line_px: int) -> None:
    count = _line_count(iuv.part, line_px)
    steps = np.minimum((iuv.uv * count).astype(np.uint16), count - 1)  # (2, h, w)
    cells = (iuv.part.astype(np.uint16) * count + steps[0]) * count + steps[1]
    lines = np.zeros(iuv.part.shape, np.uint8)
    lines[:, 1:] = cells[:, 1:] != cells[:, :-1]
    lines[1:] |= cells[1:] != cells[:-1]
    if line_px > 1:
        cv2.dilate(lines, np.ones((line_px, line_px), np.uint8), lines)
    cv2.copyTo(cv2.convertScaleAbs(region, alpha=UNDER_LINES), iuv.part, region)
    cv2.copyTo(cv2.applyColorMap(iuv.part, LINE_COLOUR_OF), cv2.copyTo(lines, iuv.part), region)


def _line_count(part: NDArray[np.uint8], line_px: int) -> int:
    """Choose LINES, or a half or a quarter of them where the cells would be too small to be seen."""
    cell_px = _part_px(part) / LINES / line_px
    return LINES if cell_px >= LEAST_CELL else LINES // 2 if 2 * cell_px >= LEAST_CELL else LINES // 4


def _part_px(part: NDArray[np.uint8]) -> float:
    """Side of a square of the mean area of the parts that are seen, px."""
    seen = np.bincount(part.ravel(), minlength=2)[1:]
    return float(np.sqrt(seen.sum() / max(1, np.count_nonzero(seen))))


def _paint_texture(region: Image, iuv: Iuv, texture: Texture) -> None:
    texels = _sampled(texture, iuv)  # (h, w, 4)
    grey = cv2.cvtColor(region, cv2.COLOR_BGR2GRAY)
    gain = cv2.LUT(grey, _gains(cv2.mean(grey, mask=iuv.part)[0]))
    colour = cv2.multiply(
        cv2.cvtColor(texels, cv2.COLOR_BGRA2BGR), cv2.merge([gain] * 3), scale=TEXTURE_SHARE / UNIT
    )
    through = cv2.convertScaleAbs(cv2.extractChannel(texels, 3), alpha=-TEXTURE_SHARE, beta=255)
    below = cv2.multiply(region, cv2.merge([through] * 3), scale=1 / 255)
    cv2.copyTo(cv2.add(below, colour), iuv.part, region)


def _sampled(texture: Texture, iuv: Iuv) -> Image:
    """Look every pixel's part, U and V up in the atlas: uint8 (h, w, 4), undefined where there is no part."""
    atlas = texture.levels[_level(texture, iuv.part)]
    tile_w, tile_h = atlas.shape[1] // COLUMNS, atlas.shape[0] // ROWS
    tile = np.arange(-1, 255).clip(0, len(PARTS) - 1)  # by part
    # Half a texel from the tile's edge at least, so that nothing of its neighbours comes in; cv2 counts the
    # centres of pixels as whole numbers.
    left, top = (tile % COLUMNS * tile_w - 0.5), (tile // COLUMNS * tile_h - 0.5)
    x = cv2.LUT(iuv.part, left.astype(np.float32)) + np.clip(iuv.uv[0] * tile_w, 0.5, tile_w - 0.5)
    y = cv2.LUT(iuv.part, top.astype(np.float32)) + np.clip(iuv.uv[1] * tile_h, 0.5, tile_h - 0.5)
    return np.asarray(cv2.remap(atlas, x, y, cv2.INTER_LINEAR), np.uint8)


def _level(texture: Texture, part: NDArray[np.uint8]) -> int:
    """Choose the level whose texels are about as large as the person's pixels."""
    height, width = texture.levels[0].shape[:2]
    tile_px = np.sqrt(height * width / len(PARTS))
    halvings = np.log2(max(1.0, tile_px / max(1.0, _part_px(part))))
    return min(round(float(halvings)), len(texture.levels) - 1)


def _gains(mean: float) -> NDArray[np.uint8]:
    """Table (256,) from a grey value to the texture's brightness, in 1 / UNIT."""
    relative = 1 + SHADING * (np.arange(256) - mean) / max(mean, 1.0)
    return (UNIT * relative.clip(DARKEST, BRIGHTEST)).astype(np.uint8)


def _halves(image: Image) -> bool:
    """Whether every tile can be halved by itself."""
    tiles = image.shape[1] // COLUMNS, image.shape[0] // ROWS
    return all(side % 2 == 0 and side >= 2 * LEAST_TILE for side in tiles)


def _premultiplied(image: NDArray[Any]) -> Image:
    """Any picture as uint8 BGRA with its colours multiplied by alpha."""
    image = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels != 4:
        to_bgra = cv2.COLOR_GRAY2BGRA if channels == 1 else cv2.COLOR_BGR2BGRA
        image = np.asarray(cv2.cvtColor(image, to_bgra), np.uint8)
    alpha = np.ascontiguousarray(image[..., 3])
    multiplied = cv2.multiply(image, cv2.merge([alpha] * 4), scale=1 / 255)
    return np.asarray(cv2.insertChannel(alpha, multiplied, 3), np.uint8)
