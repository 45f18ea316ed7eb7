"""Dense maps pasted into images: golden ones by hand, then the properties that every pasting has."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from bodystream.pipeline.surfaces import paste
from bodystream.pipeline.types import Dense, Iuv, Mask, Person, Result, Silhouette
from tests import recordings

LEFT, RIGHT = 7, 12  # two parts


def whole(width: int, height: int, x: int = 0, y: int = 0) -> Silhouette:
    return Silhouette(x, y, np.ones((height, width), bool))


def dense(part: list[list[int]], scale: float = 1, x: float = 0, y: float = 0) -> Dense:
    """A map whose U is its own column and V its own row, in 16ths (128ths if it is large), placed upright."""
    numbers = np.array(part, np.uint8)
    v, u = np.indices(numbers.shape).astype(np.float32) / (16 if max(numbers.shape) <= 16 else 128)
    confidence = np.where(numbers > 0, 200, 0).astype(np.uint8)
    return Dense(numbers, np.stack([u, v]), confidence, np.array([[scale, 0.0, x], [0, scale, y]]))


def pasted(map_: Dense, silhouette: Silhouette) -> Iuv:
    found = paste(map_, silhouette)
    assert found is not None
    assert (found.part.dtype, found.uv.dtype, found.confidence.dtype) == (np.uint8, np.float32, np.uint8)
    assert found.part.shape == found.confidence.shape == found.uv.shape[1:] == silhouette.inside.shape
    assert not found.part[~silhouette.inside].any()
    assert not found.uv[:, found.part == 0].any() and not found.confidence[found.part == 0].any()
    assert ((found.uv >= 0) & (found.uv <= 1)).all()
    return found


def test_a_map_at_its_own_size_comes_out_as_it_is() -> None:
    map_ = dense([[7] * 6 + [12] * 6] * 8, x=3, y=2)
    found = pasted(map_, whole(20, 14))
    assert (found.x, found.y) == (0, 0)
    np.testing.assert_array_equal(found.part[2:10, 3:15], map_.part)
    np.testing.assert_allclose(found.uv[:, 2:10, 3:15], map_.uv, atol=1e-6)
    assert (found.confidence[2:10, 3:15] == 200).all()


def test_u_and_v_are_bilinear_within_a_part_and_never_mixed_across() -> None:
    # Enlarged fourfold: map column c has its centre at 4 c + 2, so U of image column x is ((x + .5) / 4 - .5) / 16.
    map_ = dense([[7] * 6 + [12] * 6] * 8, scale=4)
    found = pasted(map_, whole(48, 32))
    assert (found.part[:, :24] == LEFT).all() and (found.part[:, 24:] == RIGHT).all()
    ramp = ((np.arange(48) + 0.5) / 4 - 0.5) / 16
    np.testing.assert_allclose(found.uv[0, 16, 2:22], ramp[2:22], atol=1e-5)
    np.testing.assert_allclose(found.uv[0, 16, 26:46], ramp[26:46], atol=1e-5)
    # Beside the border each part goes on with its own last column.
    np.testing.assert_allclose(found.uv[0, 16, 22:26], [5 / 16, 5 / 16, 6 / 16, 6 / 16], atol=1e-3)


@pytest.mark.parametrize("wrap", [0.0, 1.0])
def test_opposite_ends_of_two_charts_that_meet_do_not_mix(wrap: float) -> None:
    map_ = dense([[7] * 6 + [12] * 6] * 8, scale=5)
    map_.uv[0] = np.where(map_.part == LEFT, wrap, 1 - wrap)
    found = pasted(map_, whole(60, 40))
    assert set(np.unique(found.uv[0])) == {0.0, 1.0}
    np.testing.assert_array_equal(found.uv[0] == wrap, found.part == LEFT)


def test_a_border_at_a_slant_is_smooth() -> None:
    rows, columns = np.indices((64, 64)) + 0.5
    part = np.where(rows > 20 + 0.3 * columns, RIGHT, LEFT)
    found = pasted(dense(part.tolist(), scale=5), whole(320, 320))
    border = (found.part == LEFT).sum(axis=0)  # how far down the first part reaches, column by column
    line = 100 + 0.3 * (np.arange(320) + 0.5)
    away = np.abs(border - line)[20:300]
    blocks = np.repeat(np.repeat(part == LEFT, 5, axis=0), 5, axis=1).sum(axis=0)
    assert away.max() < 2.5  # half a pixel of the map
    assert np.abs(np.diff(border)).max() <= 1  # no step, where blocks have steps of 5
    assert np.abs(np.diff(blocks)).max() == 5


def test_the_silhouette_decides_where_the_person_ends() -> None:
    inside = np.zeros((40, 60), bool)
    inside[5:35, 5:55] = True
    found = pasted(dense([[7] * 12] * 8, scale=5), Silhouette(0, 0, inside))
    assert (found.part[inside] == LEFT).all()
    # A little over a pixel of the map without any part is bridged, so that a finer silhouette leaves no fringe.
    narrow = pasted(dense([[0] * 3 + [7] * 6 + [0] * 3] * 8, scale=5), whole(60, 40))
    columns = np.flatnonzero(narrow.part[20])
    assert 15 - 8 <= columns[0] <= 15 - 6 and 45 + 6 <= columns[-1] + 1 <= 45 + 8
    assert (narrow.part[20, columns] == LEFT).all()


def test_a_silhouette_elsewhere_and_one_that_reaches_beyond_the_map() -> None:
    map_ = dense([[7] * 4] * 4, x=100, y=50)
    assert paste(map_, whole(20, 20)) is None
    found = pasted(map_, whole(40, 40, x=80, y=30))
    assert (found.x, found.y) == (80, 30)
    rows, columns = np.nonzero(found.part)
    assert (rows.min(), columns.min()) >= (18, 18) and (rows.max(), columns.max()) <= (25, 25)


def test_a_turned_map() -> None:
    map_ = dense([[7] * 10 + [12] * 10] * 20, scale=3)
    turned = replace(map_, to_image=np.array([[0.0, -3, 60], [3, 0, 0]]))  # a quarter to the right
    upright, found = pasted(map_, whole(60, 60)), pasted(turned, whole(60, 60))
    np.testing.assert_array_equal(found.part, np.rot90(upright.part, -1))
    np.testing.assert_allclose(found.uv, np.rot90(upright.uv, -1, axes=(1, 2)), atol=1e-5)
    angle = 0.4
    cos, sin = 3 * np.cos(angle), 3 * np.sin(angle)
    slanted = pasted(replace(map_, to_image=np.array([[cos, -sin, 30], [sin, cos, 5]])), whole(90, 90))
    area = (slanted.part == LEFT).sum() / (slanted.part == RIGHT).sum()
    assert area == pytest.approx(1, abs=0.05)


def test_large_people_are_pasted_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    map_ = replace(dense([[7] * 10 + [12] * 10] * 20), to_image=np.array([[3, -1.0, 20], [1, 3, 0]]))
    whole_ = pasted(map_, whole(80, 80))
    monkeypatch.setattr("bodystream.pipeline.surfaces.BAND_PX", 7 * 80)
    bands = pasted(map_, whole(80, 80))
    same = bands.part == whole_.part  # but where two parts cover a pixel alike, to the last bit
    assert same.mean() > 0.999
    np.testing.assert_allclose(bands.uv[:, same], whole_.uv[:, same], atol=1e-5)
    np.testing.assert_array_equal(bands.confidence[same], whole_.confidence[same])


@pytest.mark.parametrize("scale", [0.05, 0.1, 0.3])
def test_small_people(scale: float) -> None:
    part = np.zeros((128, 128), int)
    part[10:64, 40:90], part[64:120, 40:90] = LEFT, RIGHT
    size = int(np.ceil(128 * scale))
    found = pasted(dense(part.tolist(), scale), whole(size, size))
    assert {LEFT, RIGHT} <= set(np.unique(found.part))


def test_maps_of_which_nothing_can_be_pasted() -> None:
    empty = dense([[0] * 8] * 8)
    assert paste(empty, whole(8, 8)) is None
    assert paste(dense([[7] * 8] * 8), Silhouette(0, 0, np.zeros((8, 8), bool))) is None
    for to_image in (np.full((2, 3), np.nan), np.zeros((2, 3)), np.array([[1.0, 0, np.inf], [0, 1, 0]])):
        assert paste(replace(dense([[7] * 8] * 8), to_image=to_image), whole(8, 8)) is None


def test_one_pixel() -> None:
    found = pasted(dense([[0, 0, 0], [0, 9, 0], [0, 0, 0]], scale=4), whole(12, 12))
    assert (found.part[4:8, 4:8] == 9).all()
    np.testing.assert_allclose(found.uv[:, 4:8, 4:8], 1 / 16, atol=1e-6)
    assert pasted(dense([[9] * 3] * 3), whole(1, 1, 1, 1)).part.tolist() == [[9]]


def test_people_share_no_pixel_and_keep_their_places_in_the_list() -> None:
    people = [recordings.person(0), recordings.person(3, mask=False), recordings.person(1)]
    mask = people[0].mask
    assert mask is not None
    people[2] = replace(people[2], mask=mask, dense=recordings.dense(4, 3))
    result = Result(0, Fraction(0), (recordings.WIDTH, recordings.HEIGHT), tuple(people))
    first, none, third = result.surfaces
    assert none is None
    count = np.zeros((recordings.HEIGHT, recordings.WIDTH), int)
    for iuv in (first, third):
        if iuv is not None:
            h, w = iuv.part.shape
            count[iuv.y : iuv.y + h, iuv.x : iuv.x + w] += iuv.part > 0
    assert count.max() == 1
    assert result.surfaces is result.surfaces, "made once"


@pytest.mark.parametrize("at", [(-30, -20), (40, -25), (50, 30), (-20, 30), (-60, -60)])
def test_people_at_the_edge_of_the_picture(at: tuple[int, int]) -> None:
    x, y = at
    mask = Mask(np.full((60, 50), 255, np.uint8), np.array([[1.0, 0, x], [0, 1, y]]))
    map_ = dense([[7] * 25 + [12] * 25] * 60, x=x, y=y)
    person = Person(np.array([x, y, x + 50, y + 60], np.float32), 0.9, 1, mask, dense=map_)
    (iuv,) = Result(0, Fraction(0), (64, 48), (person,)).surfaces
    if at == (-60, -60):
        assert iuv is None
        return
    assert iuv is not None
    h, w = iuv.part.shape
    image = np.zeros((48, 64), np.uint8)
    image[iuv.y : iuv.y + h, iuv.x : iuv.x + w] = iuv.part
    wanted = np.zeros((200, 200), np.uint8)  # the image from row and column 70 on
    wanted[70 + y : 130 + y, 70 + x : 120 + x] = map_.part
    np.testing.assert_array_equal(image, wanted[70:118, 70:134])
