"""Painted body surfaces: a texture texel by texel, the rest by properties."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from bodystream.errors import BodystreamError, SourceNotFound, SourceUnreadable, UsageError
from bodystream.models.body.parts import MIRROR_PART, PARTS
from bodystream.pipeline.draw import ALL, Layers, colour_of, draw
from bodystream.pipeline.draw_surface import (
    COLUMNS,
    PART_COLOURS,
    PART_SHARE,
    ROWS,
    Texture,
    paint,
    read_texture,
)
from bodystream.pipeline.types import Dense, Image, Iuv, Mask, Person, Result
from tests.unit.test_draw import as_seen

GREY = 100
SIZES = [(360, 1), (720, 1), (2160, 4)]  # height of a picture and of its lines, px


def picture(height: int, width: int) -> Image:
    return np.full((height, width, 3), GREY, np.uint8)


def iuv(part: int, height: int = 40, width: int = 40, x: int = 0, y: int = 0) -> Iuv:
    """All one part, U from 0 at the left edge to 1 at the right one, V likewise downwards."""
    v, u = np.indices((height, width), np.float32) + np.float32(0.5)
    whole = np.full((height, width), part, np.uint8)
    return Iuv(x, y, whole, np.stack([u / width, v / height]), np.full_like(whole, 200))


def painted(map_: Iuv, skin: str | Texture, size: int = 60, hairline: int = 1) -> Image:
    canvas = picture(size, size)
    paint(canvas, map_, skin, hairline)  # type: ignore[arg-type]
    return canvas


def person(height: float, x: float = 0, y: float = 0, id: int = 1) -> Person:
    """Two parts side by side in a rectangle twice as high as wide."""
    part = np.full((128, 64), 9, np.uint8)
    part[:, 32:] = 10
    v, u = np.indices(part.shape).astype(np.float32) + np.float32(0.5)
    to_image = np.array([[height / 128, 0, x], [0, height / 128, y]])
    uv = np.stack([u % 32 / 32, v / 128])
    mask = Mask(np.full((128, 64), 255, np.uint8), to_image)
    box = np.array([x, y, x + height / 2, y + height], np.float32)
    return Person(box, 0.9, id, mask, dense=Dense(part, uv, np.full_like(part, 255), to_image))


def result(size: tuple[int, int], *people: Person) -> Result:
    return Result(0, 0, size, people)  # type: ignore[arg-type]


def atlas(path: Path, image: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def numbered(side: int = 8, channels: int = 3) -> np.ndarray:
    """An atlas whose tile k is grey of 10 k, its left column black but for the topmost pixel, which is white."""
    tiles = np.zeros((ROWS * side, COLUMNS * side, channels), np.uint8)
    for k in range(len(PARTS)):
        tile = tiles[k // COLUMNS * side :, k % COLUMNS * side :][:side, :side]
        tile[:] = 10 * k
        tile[:, 0], tile[0, 0] = 0, 255
    if channels == 4:
        tiles[..., 3] = 255
    return tiles


class TestParts:
    def test_a_part_has_its_colour_over_the_picture(self) -> None:
        canvas = painted(iuv(7, x=5, y=10), "parts")
        wanted = (1 - PART_SHARE) * GREY + PART_SHARE * np.array(PART_COLOURS[6])
        assert np.abs(canvas[30, 25] - wanted).max() <= 1
        assert (canvas[:10] == GREY).all() and (canvas[:, :5] == GREY).all() and (canvas[50:] == GREY).all()

    def test_pixels_without_a_part_are_left_alone(self) -> None:
        map_ = iuv(7)
        map_.part[:, 20:] = 0
        for skin in ("parts", "isolines"):
            assert (painted(map_, skin)[:, 20:] == GREY).all()

    def test_colours_are_told_apart_and_neighbours_more(self) -> None:
        seen = {part: as_seen(colour, np.eye(3)) for part, colour in enumerate(PART_COLOURS, start=1)}
        apart = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(seen, 2)}
        assert len(seen) == 24
        assert min(apart.values()) > 28
        assert min(apart[pair] for pair in touching()) > 44

    def test_left_and_right_have_one_hue_and_the_left_is_lighter(self) -> None:
        for right in range(1, 25):
            left = int(MIRROR_PART[right])
            if PARTS[right - 1].startswith("right"):
                a, b = (as_seen(PART_COLOURS[part - 1], np.eye(3)) for part in (right, left))
                assert b[0] > a[0] + 15
                turn = np.angle(complex(a[1], a[2]) / complex(b[1], b[2]))
                assert abs(np.degrees(turn)) < 10


def touching() -> Sequence[tuple[int, int]]:
    """Parts that have a border in common, or often lie beside one another in a picture."""
    legs = [(7, 8), (9, 10), (11, 12), (13, 14), (7, 9), (8, 10), (7, 11), (8, 12), (9, 13), (10, 14)]
    feet = [(11, 13), (12, 14), (6, 11), (6, 13), (5, 12), (5, 14), (5, 6)]
    torso = [
        (1, 2),
        (1, 7),
        (1, 8),
        (2, 9),
        (2, 10),
        *((t, a) for t in (1, 2) for a in (15, 16, 17, 18, 23, 24)),
    ]
    arms = [(15, 17), (16, 18), (15, 19), (16, 20), (17, 21), (18, 22), (19, 21), (20, 22)]
    return [*legs, *feet, *torso, *arms, (3, 20), (3, 22), (4, 19), (4, 21), (23, 24)]


class TestIsolines:
    @pytest.mark.parametrize(("height", "hairline"), SIZES)
    def test_lines_stand_at_every_eighth(self, height: int, hairline: int) -> None:
        side = 16 * 8 * max(1, hairline // 2)
        canvas = painted(iuv(9, side, side), "isolines", side, hairline)
        row = canvas[side // 2 - side // 16].max(axis=1)
        bright = np.flatnonzero((row[1:] > 130) & (row[:-1] <= 130)) + 1
        np.testing.assert_allclose(bright, np.arange(1, 8) * side / 8, atol=hairline)
        column = canvas[:, side // 2 - side // 16].max(axis=1)
        np.testing.assert_array_equal(column > 130, row > 130)

    def test_fewer_lines_on_small_people_and_they_do_not_fill_them(self) -> None:
        shares = []
        for side in (200, 60, 30, 12):
            canvas = painted(iuv(9, side, side), "isolines", side)
            shares.append((canvas.max(axis=2) > 130).mean())
        assert max(shares) < 0.35

    def test_borders_of_parts_are_lines_too(self) -> None:
        map_ = iuv(9)
        map_.part[:, 20:] = 10
        map_.uv[:] = 0.5
        canvas = painted(map_, "isolines")
        assert canvas[20, 20].max() > 130 and canvas[20, 10].max() < 130


class TestTexture:
    @pytest.mark.parametrize("part", [1, 6, 7, 24])
    def test_a_part_takes_its_own_tile_and_nothing_of_the_neighbours(self, tmp_path: Path, part: int) -> None:
        texture = read_texture(atlas(tmp_path / "a.png", numbered()))
        canvas = painted(iuv(part), texture)
        inner = canvas[20, 10:40]
        assert np.abs(inner - (0.08 * GREY + 0.92 * 10 * (part - 1))).max() <= 2
        assert canvas[0, 0, 0] > 200  # white where U and V are 0: U goes right, V goes down
        assert canvas[38, 0, 0] < 0.08 * GREY + 2  # black at U = 0

    def test_bilinear_within_the_tile(self, tmp_path: Path) -> None:
        image = np.zeros((ROWS * 2, COLUMNS * 2), np.uint8)
        image[:, 1::2] = 200  # two texels a tile: 0 and 200, centres at U = 1/4 and 3/4
        texture = read_texture(atlas(tmp_path / "a.png", image))
        row = painted(iuv(1, 40, 40), texture)[20, :40, 0]
        ramp = np.clip(((np.arange(40) + 0.5) / 40 - 0.25) * 2, 0, 1) * 200
        np.testing.assert_allclose(row, 0.08 * GREY + 0.92 * ramp, atol=4)

    def test_what_is_transparent_shows_the_picture(self, tmp_path: Path) -> None:
        image = numbered(channels=4)
        image[..., 3] = 0
        assert (painted(iuv(5), read_texture(atlas(tmp_path / "a.png", image))) == GREY).all()
        image[..., :3], image[..., 3] = 200, 128
        canvas = painted(iuv(5), read_texture(atlas(tmp_path / "a.png", image)))
        share = 0.92 * 128 / 255
        assert np.abs(canvas[20, 20] - ((1 - share) * GREY + share * 200)).max() <= 2

    def test_light_and_shade_of_the_picture_go_through(self, tmp_path: Path) -> None:
        texture = read_texture(atlas(tmp_path / "a.png", np.full((32, 48, 3), 150, np.uint8)))
        canvas = picture(60, 60)
        canvas[:, 30:] = 40
        paint(canvas, iuv(2, 60, 60), texture, 1)
        assert canvas[30, 10, 0] > 150 > canvas[30, 50, 0] + 30

    def test_small_people_are_painted_from_smaller_copies(self, tmp_path: Path) -> None:
        stripes = np.zeros((ROWS * 256, COLUMNS * 256), np.uint8)
        stripes[:, ::2] = 255
        texture = read_texture(atlas(tmp_path / "a.png", stripes))
        assert [level.shape[0] for level in texture.levels] == [1024, 512, 256, 128, 64]
        row = painted(iuv(3, 20, 20), texture)[10, 2:18, 0]
        assert np.ptp(row) <= 2, "half grey, not a chance pattern"

    @pytest.mark.parametrize("kind", ["grey", "16 bits", "with alpha", ".jpg"])
    def test_pictures_of_every_kind(self, tmp_path: Path, kind: str) -> None:
        image = np.full((64, 96, 3), 120, np.uint8)
        if kind == "grey":
            image = image[..., 0]
        elif kind == "16 bits":
            image = image.astype(np.uint16) * 257
        elif kind == "with alpha":
            image = np.dstack([image, np.full((64, 96), 255, np.uint8)])
        texture = read_texture(atlas(tmp_path / f"a{kind if kind == '.jpg' else '.png'}", image))
        assert np.abs(texture.levels[0].reshape(-1, 4) - np.array([120, 120, 120, 255.0])).max() <= 1

    @pytest.mark.parametrize(
        ("what", "error", "says"),
        [
            ("missing", SourceNotFound, "no texture"),
            ("folder", SourceNotFound, "no texture"),
            ("empty", SourceUnreadable, "not a picture"),
            ("text", SourceUnreadable, "not a picture"),
            ((98, 90), UsageError, "90×98"),
            ((90, 96), UsageError, "96×90"),
            ((2, 2), UsageError, "6 × 4 tiles"),
        ],
    )
    def test_mistakes(
        self, tmp_path: Path, what: str | tuple[int, int], error: type[BodystreamError], says: str
    ) -> None:
        path = tmp_path / "a.png"
        if what == "folder":
            path.mkdir()
        elif what in ("empty", "text"):
            path.write_text("" if what == "empty" else "no picture")
        elif not isinstance(what, str):
            atlas(path, np.zeros((*what, 3), np.uint8))
        with pytest.raises(error, match=says) as caught:
            read_texture(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


class TestDrawing:
    SURFACE = Layers(skeleton=False, boxes=False, ids=False, hud=False)

    def test_a_painted_person_is_outlined_and_not_tinted(self) -> None:
        drawn = draw(picture(360, 640), result((640, 360), person(300, 100, 30, id=3)), self.SURFACE)
        wanted = (1 - PART_SHARE) * GREY + PART_SHARE * np.array(PART_COLOURS[8])
        assert np.abs(drawn[180, 130] - wanted).max() <= 1
        assert np.abs(drawn[180, 100] - np.array(colour_of(3))).max() < 20

    def test_without_the_layer_or_a_dense_map_people_are_tinted(self) -> None:
        who = person(300, 100, 30)
        bare = Person(who.box, who.score, who.id, who.mask)
        off = draw(picture(360, 640), result((640, 360), who), Layers(surface=False))
        assert (off == draw(picture(360, 640), result((640, 360), bare), ALL)).all()

    def test_surfaces_without_masks(self) -> None:
        layers = Layers(masks=False, skeleton=False, boxes=False, ids=False, hud=False)
        drawn = draw(picture(360, 640), result((640, 360), person(300, 100, 30)), layers)
        colours = {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()}
        assert len(colours) == 3  # the picture, and two parts

    def test_nothing_is_pasted_where_nobody_has_a_dense_map(self) -> None:
        shown = result((640, 360), Person(np.array([10, 10, 50, 90], np.float32), 0.9, 1))
        draw(picture(360, 640), shown, Layers(masks=False))
        assert not {"surfaces", "silhouettes"} & shown.__dict__.keys()

    @pytest.mark.parametrize("skin", ["parts", "isolines", "texture"])
    @pytest.mark.parametrize("size", [(1, 1), (17, 9), (640, 360), (3840, 2160)])
    def test_any_size_and_people_over_the_edge(
        self, tmp_path: Path, skin: str, size: tuple[int, int]
    ) -> None:
        width, height = size
        chosen = read_texture(atlas(tmp_path / "a.png", numbered())) if skin == "texture" else skin
        people = (
            person(height, 0, 0, 1),
            person(height, width - 0.5, height - 0.5, 2),
            person(height, -height / 4, -3, 3),
            person(height, 2 * width, 0, 4),
            person(2, width / 2, height / 2, 5),
        )
        drawn = draw(picture(height, width), result(size, *people), Layers(skin=chosen))  # type: ignore[arg-type]
        assert drawn.shape == (height, width, 3)
        assert (drawn != GREY).any()
