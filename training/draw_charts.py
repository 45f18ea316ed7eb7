"""Draw the charts and a texture that shows them: `python -m bodystream.training.draw_charts`.

Writes docs/charts.png (the body from front and back with part numbers and lines of equal U and V) and
models/body/charts.png (a texture that shows them: one tile a part, 6 columns × 4 rows in part order, U to the
right, V downwards).
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.body import data
from bodystream.models.body.parts import PARTS

ROOT = Path(__file__).parent.parent
SCALE = 400  # px per m in the picture of the charts
TILE = 160  # px
COLUMNS = 6
INK, CHALK = (20, 20, 20), (255, 255, 255)
FINE = 3  # the picture is drawn this much larger and then reduced: no saw-teeth

Image = NDArray[np.uint8]
Array = NDArray[np.float64]


def main() -> None:
    """Draw both."""
    save(ROOT / "docs/charts.png", charts_picture(data.load()), 32)
    save(ROOT / "models/body/charts.png", atlas(), 64)


def save(path: Path, image: Image, shades: int) -> None:
    """Write a PNG with so many shades a channel: flat areas pack well."""
    step = 256 // shades
    flat = np.minimum((image.astype(int) + step // 2) // step * step, 255).astype(np.uint8)
    cv2.imwrite(str(path), flat, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def part_colour(number: int) -> tuple[float, float, float]:
    """BGR of a part, hues as far apart as 24 allow; a pair's two sides have one hue, light and dark."""
    names = [name.removeprefix("left ").removeprefix("right ") for name in PARTS]
    kinds = list(dict.fromkeys(names))
    hue = kinds.index(names[number - 1]) * 5 % len(kinds) / len(kinds)
    bright = 0.95 if PARTS[number - 1].startswith("left") else 0.75
    hsv = np.array([[[180 * hue, 120, 255 * bright]]], np.uint8)
    blue, green, red = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return float(blue), float(green), float(red)


def charts_picture(body: data.BodyModel) -> Image:
    """The body from the front, from behind, from its left, its left hand and foot: BGR."""
    views = [
        view(body, np.eye(3), SCALE, range(1, 25)),
        view(body, np.diag([-1.0, 1.0, -1.0]), SCALE, range(1, 25)),
        view(body, np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]]), SCALE, range(1, 25)),
        details(body),
    ]
    height = max(image.shape[0] for image in views)
    gap = [(0, 0), (12, 12), (0, 0)]
    return np.hstack([
        np.pad(image, [(0, height - image.shape[0]), *gap[1:]], constant_values=255) for image in views
    ])  # fmt: skip


def details(body: data.BodyModel) -> Image:
    """Left hand and foot, both sides of each, larger, one under the other."""
    down = body.joints[6, 1] - body.joints[6, 0]
    down = down / np.linalg.norm(down)
    pinky, index = (
        (body.landmark_weights[k][:, None] * body.vertices[body.landmark_vertices[k]]).sum(0)
        for k in (17, 19)
    )
    away = np.cross(down, pinky - index)  # out of the back of the hand
    away = away / np.linalg.norm(away) * np.sign(away[0])
    palm = np.stack([np.cross(down, away), down, away])
    sole = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]])
    top = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    rows = [
        [view(body, turn, 2 * SCALE, [4]) for turn in (palm, np.diag([-1.0, 1, -1]) @ palm)],
        [view(body, turn, 1.5 * SCALE, [5]) for turn in (sole, top)],
    ]
    stacked = []
    for row in rows:
        height = max(image.shape[0] for image in row)
        stacked.append(np.hstack([
            np.pad(image, [(8, 8 + height - image.shape[0]), (8, 8), (0, 0)], constant_values=255) for image in row
        ]))  # fmt: skip
    width = max(image.shape[1] for image in stacked)
    return np.vstack([
        np.pad(image, [(0, 0), (0, width - image.shape[1]), (0, 0)], constant_values=255) for image in stacked
    ])  # fmt: skip


def view(body: data.BodyModel, turn: Array, scale: float, parts: Sequence[int]) -> Image:
    """The given parts seen along the third row of `turn` (right, down, away), BGR on white."""
    points = body.vertices.astype(float) @ turn.T
    corners = body.chart_vertex[body.triangles]
    part = body.part[body.triangles[:, 0]]
    shown = np.isin(part, list(parts))
    placed = points[corners[shown]]  # (T, 3, 3)
    low = placed.reshape(-1, 3).min(0)
    pixels = (placed[..., :2] - low[:2]) * scale * FINE + 2 * FINE
    width, height = (int(np.ceil(v)) + 2 * FINE for v in pixels.reshape(-1, 2).max(0))
    normal = np.cross(placed[:, 1] - placed[:, 0], placed[:, 2] - placed[:, 0])
    facing = normal[:, 2] < 0
    order = np.flatnonzero(facing)[np.argsort(-placed[facing, :, 2].mean(1), kind="stable")]
    light = 0.6 + 0.4 * -normal[:, 2] / (np.linalg.norm(normal, axis=1) + 1e-12)
    light = np.rint(light * 12) / 12  # few shades pack better
    uv = body.uv[body.triangles[shown]]
    flat, number = np.full((height, width, 3), 255, np.uint8), np.zeros((height, width), np.uint8)
    at = np.zeros((height, width, 2), np.float32)
    for t in order.tolist():
        paint(flat, number, at, pixels[t], uv[t], int(part[shown][t]), float(light[t]))
    lines = isolines(at, number)
    flat[lines] = (flat[lines] * 0.55).astype(np.uint8)
    small = cv2.resize(flat, None, fx=1 / FINE, fy=1 / FINE, interpolation=cv2.INTER_AREA)
    picture = np.asarray(small, np.uint8)
    for k in parts:
        label(picture, cv2.resize((number == k).astype(np.uint8), small.shape[1::-1]), k)
    return picture


def paint(
    flat: Image, number: Image, at: NDArray[np.float32], corners: Array, uv: Array, part: int, light: float
) -> None:
    """One triangle over what is there: its colour, its part and its U, V."""
    low = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    high = np.ceil(corners.max(0)).astype(int) + 1
    x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
    (ax, ay), (bx, by), (cx, cy) = corners
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0:
        return
    b = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
    c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
    inside = (b >= 0) & (c >= 0) & (b + c <= 1)
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    inside = inside[: flat[window].shape[0], : flat[window].shape[1]]
    b, c = b[: inside.shape[0], : inside.shape[1]], c[: inside.shape[0], : inside.shape[1]]
    flat[window][inside] = np.array(part_colour(part)) * light
    number[window][inside] = part
    value = uv[0] + b[..., None] * (uv[1] - uv[0]) + c[..., None] * (uv[2] - uv[0])
    at[window][inside] = value[inside]


def isolines(at: NDArray[np.float32], number: Image) -> NDArray[np.bool_]:
    """Pixels where U or V passes a tenth, or the part changes."""
    step = np.floor(at * 10 + 1e-4).astype(int)
    code = number.astype(int) * 10000 + step[..., 0] * 100 + step[..., 1]
    changed = np.zeros(number.shape, bool)
    changed[:, 1:] |= code[:, 1:] != code[:, :-1]
    changed[1:] |= code[1:] != code[:-1]
    return changed & (number > 0)


def label(picture: Image, region: Image, number: int) -> None:
    """The part's number in the middle of where it is widest, if it is wide enough."""
    depth = cv2.distanceTransform(np.pad(region, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    if depth.max() < 6:
        return
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    size = 0.4 if depth.max() < 14 else 0.6
    (wide, high), _ = cv2.getTextSize(str(number), cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    place = (int(x) - wide // 2, int(y) + high // 2)
    for colour, thick in (((255, 255, 255), 3), ((0, 0, 0), 1)):
        cv2.putText(picture, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)


def atlas() -> Image:
    """The default texture, BGR (4 TILE, 6 TILE, 3): tile k in part order, U to the right, V downwards."""
    tiles = [tile(number) for number in range(1, 25)]
    return np.vstack([np.hstack(tiles[row : row + COLUMNS]) for row in range(0, 24, COLUMNS)])


def tile(number: int) -> Image:
    """A checker of 8 × 8 in the part's colour with its number, an arrow along U and one along V."""
    cell = np.indices((TILE, TILE)) * 8 // TILE
    dark = (cell.sum(0) % 2 == 1)[..., None]
    colour = np.array(part_colour(number))
    image = np.where(dark, colour * 0.72, colour).astype(np.uint8)
    c = TILE // 2
    # Hands and feet are two sheets side by side: each half is named.
    centres = [(c, c)] if number not in (3, 4, 5, 6) else [(TILE // 4, c), (3 * TILE // 4, c)]
    for x, y in centres:
        (wide, high), _ = cv2.getTextSize(str(number), cv2.FONT_HERSHEY_DUPLEX, 1.2, 2)
        cv2.putText(
            image, str(number), (x - wide // 2, y + high // 2), cv2.FONT_HERSHEY_DUPLEX, 1.2, INK, 2, cv2.LINE_AA
        )  # fmt: skip
        reach = TILE // 7 if len(centres) == 2 else TILE // 3
        arrow(image, (x - reach, y + TILE // 4), (x + reach, y + TILE // 4), "U")
        arrow(image, (x - reach, y - TILE // 3), (x - reach, y + TILE // 6), "V")
    return image


def arrow(image: Image, start: tuple[int, int], end: tuple[int, int], name: str) -> None:
    """An arrow with a letter at its tip."""
    cv2.arrowedLine(image, start, end, CHALK, 2, cv2.LINE_AA, 0, 0.15)
    place = (end[0] - 4, end[1] + 16)
    cv2.putText(image, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, CHALK, 1, cv2.LINE_AA)


if __name__ == "__main__":
    main()
