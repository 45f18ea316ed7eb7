"""Drawings by their properties: fonts and edges differ between OpenCV 4 and 5, so no golden pictures."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from bodystream.models.keypoints import KEYPOINTS
from bodystream.pipeline.draw import ALL, LEFT, MIDDLE, PALETTE, RIGHT, Hud, Layers, Rate, colour_of, draw
from bodystream.pipeline.types import Floats, Image, Person, Result, Silhouette, Span

NOTHING = Layers(masks=False, skeleton=False, boxes=False, ids=False, hud=False)
SKELETON = Layers(masks=False, skeleton=True, boxes=False, ids=False, hud=False)
MASKS = Layers(masks=True, skeleton=False, boxes=False, ids=False, hud=False)
BOXES = Layers(masks=False, skeleton=False, boxes=True, ids=False, hud=False)
IDS = Layers(masks=False, skeleton=False, boxes=False, ids=True, hud=False)
HUD = Layers(masks=False, skeleton=False, boxes=False, ids=False, hud=True)

GREY = 100
# (width, height) of a picture and the box of a person in it
SIZES = [
    ((640, 360), (200, 60, 330, 340)),
    ((1280, 720), (400, 120, 660, 680)),
    ((3840, 2160), (1200, 360, 1980, 2040)),
]


def picture(width: int, height: int) -> Image:
    return np.full((height, width, 3), GREY, np.uint8)


def standing(box: tuple[float, float, float, float], confidence: float = 1.0) -> Floats:
    """A stick figure that faces the camera and fills `box`: (33, 3). Its left is on the image's right."""
    across = {
        "shoulder": 0.3,
        "elbow": 0.4,
        "wrist": 0.45,
        "hip": 0.2,
        "knee": 0.22,
        "ankle": 0.24,
        "heel": 0.2,
    }
    down = {
        "shoulder": 0.2,
        "elbow": 0.37,
        "wrist": 0.53,
        "hip": 0.55,
        "knee": 0.76,
        "ankle": 0.93,
        "heel": 0.96,
    }
    points = np.empty((len(KEYPOINTS), 3), np.float32)
    for j, name in enumerate(KEYPOINTS):
        part = name.replace("left_", "").replace("right_", "")
        side = 1 if "left" in name else -1 if "right" in name else 0
        x, y = across.get(part, 0.08), down.get(part, 0.1)
        if part in ("pinky", "index", "thumb"):
            x, y = 0.47, 0.58
        elif part == "foot_index":
            x, y = 0.3, 0.98
        points[j] = 0.5 + side * x, y, confidence
    x0, y0, x1, y1 = box
    points[:, :2] = points[:, :2] * [x1 - x0, y1 - y0] + [x0, y0]
    return points


def person(box: tuple[float, float, float, float], id: int = 1, confidence: float | None = 1.0) -> Person:
    landmarks = None if confidence is None else standing(box, confidence)
    return Person(np.array(box, np.float32), 0.9, id, landmarks=landmarks)


def result(size: tuple[int, int], *people: Person, masks: bool = False) -> Result:
    """A result whose silhouettes fill the people's boxes, as far as they lie in the image."""
    made = Result(0, Fraction(0), size, people)
    made.__dict__["silhouettes"] = tuple(filled(p, size) if masks else None for p in people)
    return made


def filled(who: Person, size: tuple[int, int]) -> Silhouette | None:
    x0, y0, x1, y1 = np.clip(who.box, 0, [*size, *size]).astype(int).tolist()
    return Silhouette(x0, y0, np.ones((y1 - y0, x1 - x0), bool)) if x1 > x0 and y1 > y0 else None


def changed(before: Image, after: Image) -> tuple[int, int, int, int]:
    """The smallest rectangle (x0, y0, x1, y1) that holds every pixel that differs."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def at(image: Image, landmarks: Floats, name: str) -> tuple[int, ...]:
    x, y = landmarks[KEYPOINTS.index(name), :2].astype(int)
    return tuple(image[y, x].tolist())


@pytest.mark.parametrize(("size", "box"), SIZES)
def test_left_and_right_joints_have_their_colours(size: tuple[int, int], box: tuple[float, ...]) -> None:
    who = person(box)
    drawn = draw(picture(*size), result(size, who), SKELETON)
    assert who.landmarks is not None
    for part in ("shoulder", "elbow", "hip", "knee"):
        assert at(drawn, who.landmarks, f"left_{part}") == LEFT
        assert at(drawn, who.landmarks, f"right_{part}") == RIGHT
    assert at(drawn, who.landmarks, "nose") == MIDDLE


@pytest.mark.parametrize(("size", "box"), SIZES)
def test_limbs_have_the_colour_of_their_side_and_the_girdle_none(
    size: tuple[int, int], box: tuple[float, ...]
) -> None:
    who = person(box)
    drawn = draw(picture(*size), result(size, who), SKELETON)
    assert who.landmarks is not None
    points = dict(zip(KEYPOINTS, who.landmarks[:, :2], strict=True))

    def between(a: str, b: str) -> tuple[int, ...]:
        x, y = ((points[a] + points[b]) / 2).astype(int)
        return tuple(drawn[y, x].tolist())

    assert between("left_hip", "left_knee") == LEFT
    assert between("right_hip", "right_knee") == RIGHT
    assert between("left_shoulder", "right_shoulder") == MIDDLE


def test_strokes_grow_with_the_picture() -> None:
    shares = []
    for size, box in SIZES:
        drawn = draw(picture(*size), result(size, person(box)), SKELETON)
        shares.append(float((drawn != GREY).any(axis=2).mean()))
    assert max(shares) < 1.5 * min(shares)


def test_strokes_shrink_with_the_person() -> None:
    size, box = (1280, 720), (600.0, 300.0, 615.0, 340.0)  # 40 px tall, as in a surveillance picture
    drawn = draw(picture(*size), result(size, person(box)), SKELETON)
    inside = drawn[300:340, 600:615]
    warmth = inside[..., 2].astype(int) - inside[..., 0]  # red less blue
    assert (warmth > 60).any() and (warmth < -60).any()  # both sides are there
    assert (inside != GREY).any(axis=2).mean() < 0.5  # the person is not painted over


def test_a_joint_of_low_confidence_is_hollow_and_one_of_none_is_not_drawn() -> None:
    size, box = SIZES[1]
    who = person(box)
    assert who.landmarks is not None
    sure = draw(picture(*size), result(size, who), SKELETON)
    unsure = draw(picture(*size), result(size, person(box, confidence=0.3)), SKELETON)
    none = draw(picture(*size), result(size, person(box, confidence=0.1)), SKELETON)
    assert at(sure, who.landmarks, "left_knee") == LEFT
    assert max(at(unsure, who.landmarks, "left_knee")) < 60  # dark within
    assert (unsure == LEFT).all(axis=2).any()  # and a ring of the side's colour
    assert (none == GREY).all()


def test_a_silhouette_is_tinted_and_nothing_else() -> None:
    size = (1280, 720)
    who = person((300, 200, 500, 600), id=3)
    before = picture(*size)
    drawn = draw(before, result(size, who, masks=True), MASKS)
    expected = 0.6 * GREY + 0.4 * np.array(colour_of(3))
    assert np.abs(drawn[400, 400] - expected).max() <= 1
    x0, y0, x1, y1 = changed(before, drawn)
    assert 298 <= x0 <= 300 and 198 <= y0 <= 200 and 500 <= x1 <= 502 and 600 <= y1 <= 602


def test_a_silhouette_has_a_contour_and_its_hole_stays_open() -> None:
    size = (1280, 720)
    inside = np.ones((400, 200), bool)
    inside[150:250, 50:150] = False
    shown = Result(0, Fraction(0), size, (person((300, 200, 500, 600)),))
    shown.__dict__["silhouettes"] = (Silhouette(300, 200, inside),)
    drawn = draw(picture(*size), shown, MASKS)
    assert np.abs(drawn[400, 300] - np.array(colour_of(1))).max() < 12  # anti-aliased, so not the very colour
    assert tuple(drawn[400, 400].tolist()) == (GREY, GREY, GREY)


def test_the_tint_keeps_the_texture_below() -> None:
    size = (64, 64)
    before = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    drawn = draw(before, result(size, person((0, 0, 64, 64)), masks=True), MASKS)
    inner = np.s_[8:56, 8:56]
    for channel in range(3):
        assert (
            np.corrcoef(before[inner][..., channel].ravel(), drawn[inner][..., channel].ravel())[0, 1] > 0.99
        )


def test_a_box_lies_on_its_outermost_pixels() -> None:
    size = (640, 360)
    before = picture(*size)
    drawn = draw(before, result(size, person((100, 50, 200, 300))), BOXES)
    assert changed(before, drawn) == (100, 50, 200, 300)
    assert tuple(drawn[50, 100].tolist()) == colour_of(1)
    assert tuple(drawn[175, 150].tolist()) == (GREY, GREY, GREY)


def test_an_id_is_above_its_box_and_within_the_picture_at_its_edges() -> None:
    size = (640, 360)
    before = picture(*size)
    x0, _, _, y1 = changed(before, draw(before, result(size, person((100, 150, 200, 300))), IDS))
    assert (x0, y1) == (100, 150)
    for box in ((-50, -40, 60, 200), (600, -10, 700, 100), (635, 100, 640, 200)):
        plate = draw(before, result(size, person(box, id=123)), IDS)
        x0, y0, x1, y1 = changed(before, plate)
        assert x1 - x0 > 25 and y1 - y0 > 10  # the whole plate with three digits
        assert (plate == colour_of(123)).all(axis=2).any()


def test_a_person_without_id_or_out_of_sight_gets_no_plate() -> None:
    size = (640, 360)
    shown = result(
        size, person((100, 50, 200, 300), id=0), person((700, 50, 800, 300)), person((10, -90, 60, -5))
    )
    assert (draw(picture(*size), shown, IDS) == GREY).all()


def test_the_hud_is_a_translucent_panel_in_the_corner() -> None:
    size = (1280, 720)
    before = np.full((720, 1280, 3), 250, np.uint8)
    before[:, ::2] = 150
    drawn = draw(before, result(size), HUD, ("fps\t28.4", "detect\t11.8 ms"))
    x0, y0, x1, y1 = changed(before, drawn)
    assert 0 < x0 < 40 and 0 < y0 < 40 and x1 < 400 and y1 < 200
    stripes = drawn[y0 + 1, x0 + 1 : x1 - 1].mean(axis=1)
    assert stripes.max() < 130 and np.ptp(stripes) > 20  # dark, and the picture below shows
    assert drawn[y0:y1, x0:x1].max() > 230  # bright letters
    taller = changed(
        before, draw(before, result(size), HUD, ("fps\t28.4", "detect\t11.8 ms", "segment\t14.2 ms"))
    )
    assert taller[3] > y1


def test_layers_are_independent() -> None:
    size = (1280, 720)
    shown = result(size, person((400, 120, 660, 680)), masks=True)
    before = picture(*size)
    single = [draw(before, shown, layers, ("fps\t1.0",)) for layers in (MASKS, SKELETON, BOXES, IDS, HUD)]
    assert len({image.tobytes() for image in single}) == 5
    assert all((image != before).any() for image in single)
    assert (draw(before, shown, NOTHING, ("fps\t1.0",)) == before).all()


def test_masks_are_not_pasted_where_they_are_not_wanted() -> None:
    shown = Result(0, Fraction(0), (640, 360), (person((100, 50, 200, 300)),))
    draw(picture(640, 360), shown, SKELETON)
    assert "silhouettes" not in shown.__dict__


def test_the_input_is_left_alone() -> None:
    before = picture(640, 360)
    before.flags.writeable = False
    drawn = draw(before, result((640, 360), person((100, 50, 200, 300)), masks=True), ALL, ("fps\t1.0",))
    assert (before == GREY).all()
    assert drawn.shape == before.shape and drawn.dtype == np.uint8 and not np.shares_memory(before, drawn)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (639, 359), (16, 2000), (7680, 4320)])
def test_any_size_and_people_at_or_over_the_edge(size: tuple[int, int]) -> None:
    w, h = size
    people = (
        person((-w, -h, 2 * w, 2 * h), id=1),
        person((0, 0, w, h), id=2),
        person((w - 1, h - 1, w + 50, h + 50), id=3),
        person((5 * w, 5 * h, 6 * w, 6 * h), id=4),
    )
    drawn = draw(picture(w, h), result(size, *people, masks=True), ALL, ("fps\t28.4", "detect\t11.8 ms"))
    assert drawn.shape == (h, w, 3)
    assert (drawn != GREY).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e9, -1e30])
def test_coordinates_that_are_no_place_are_left_out(value: float) -> None:
    size, box = SIZES[1]
    who = person(box)
    assert who.landmarks is not None
    who.landmarks[KEYPOINTS.index("left_knee"), :2] = value
    drawn = draw(picture(*size), result(size, who), SKELETON)
    assert at(drawn, who.landmarks, "right_knee") == RIGHT
    x0, y0, x1, y1 = changed(picture(*size), drawn)
    assert x0 > box[0] - 20 and y0 > box[1] - 20 and x1 < box[2] + 20 and y1 < box[3] + 20
    nowhere = Person(np.array([value, 0, value, 10], np.float32), 0.5, 1)
    assert (draw(picture(*size), result(size, nowhere)) == GREY).all()


def test_no_people_and_people_without_masks_or_landmarks() -> None:
    size = (640, 360)
    assert (draw(picture(*size), result(size)) == GREY).all()
    bare = person((100, 50, 200, 300), confidence=None)
    assert (draw(picture(*size), result(size, bare), SKELETON) == GREY).all()
    assert (draw(picture(*size), result(size, bare), MASKS) == GREY).all()


def test_colours_stay_with_the_id() -> None:
    assert [colour_of(i) for i in (1, 2, 9)] == [PALETTE[0], PALETTE[1], PALETTE[0]]
    assert colour_of(0) not in PALETTE


# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency, 2009,
# severity 1.0, on linear RGB.
VISIONS = {
    "full": np.eye(3),
    "without red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "without green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_are_told_apart(vision: str) -> None:
    ids = [as_seen(colour, VISIONS[vision]) for colour in PALETTE]
    sides = [as_seen(colour, VISIONS[vision]) for colour in (LEFT, MIDDLE, RIGHT)]
    assert min(np.linalg.norm(a - b) for a, b in combinations(ids, 2)) > 30
    assert min(np.linalg.norm(a - b) for a, b in combinations(sides, 2)) > 30


def as_seen(colour: tuple[int, int, int], vision: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of a BGR colour."""
    encoded = np.array(colour[::-1]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )  # sRGB, D65
    xyz = to_xyz @ np.clip(vision @ linear, 0, 1) / [0.9505, 1.0, 1.089]
    fx, fy, fz = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def timed(index: int, start_ms: float, late: tuple[Span, ...] = (), **steps_ms: float) -> Result:
    spans = tuple(Span(name, index, int(start_ms * 1e6), 0, int(ms * 1e6)) for name, ms in steps_ms.items())
    return Result(index, Fraction(index, 30), (64, 48), (), spans + late)


def test_hud_lines() -> None:
    hud = Hud()
    assert hud(timed(0, 0, detect=300, segment=90)) == ("detect\t300.0 ms", "segment\t90.0 ms")
    # The first value was a warm-up; the rate is that between starts, 40 ms.
    assert hud(timed(1, 400, detect=12, segment=14)) == ("fps\t2.5", "detect\t12.0 ms", "segment\t14.0 ms")
    assert hud(timed(2, 440, detect=14)) == ("fps\t25.0", "detect\t13.0 ms", "segment\t14.0 ms")


def test_hud_smooths_and_follows() -> None:
    hud = Hud()
    for i in range(60):
        lines = hud(timed(i, 40 * i, detect=10 if i % 2 else 14))
    assert lines[0] == "fps\t25.0"
    assert 11.5 < float(lines[1].split("\t")[1].split()[0]) < 12.5
    for i in range(60, 120):
        lines = hud(timed(i, 60 * 40 + 20 * (i - 60), detect=30))
    assert 49 < float(lines[0].split("\t")[1]) < 50.5
    assert 29.5 < float(lines[1].split("\t")[1].split()[0]) <= 30


def test_hud_takes_late_spans_of_earlier_frames_for_times_but_not_for_the_rate() -> None:
    hud = Hud()
    for i in range(10):
        late = (Span("encode", i - 3, int((40 * i + 7 * (i % 3)) * 1e6), 0, int(6e6)),)
        lines = hud(timed(i, 40 * i, late, detect=10))
    assert lines == ("fps\t25.0", "detect\t10.0 ms", "encode\t6.0 ms")


def test_a_result_that_is_shown_twice_counts_once_for_the_rate() -> None:
    rate = Rate()
    seen = [rate(timed(i // 2, 40 * (i // 2), detect=10)) for i in range(12)]
    assert seen[:2] == [None, None] and seen[2:] == pytest.approx([25.0] * 10)


def test_hud_without_spans_says_nothing() -> None:
    hud = Hud()
    assert hud(Result(0, Fraction(0), (64, 48), ())) == ()
    assert hud(timed(1, 0)) == ()
