"""Two, three, four cameras round a body at rest: perfect maps meet, worse maps meet worse."""

from dataclasses import replace

import numpy as np
import pytest

from bodystream.evaluation.multiview import collect, flicker, neighbours, pick, score, view
from bodystream.evaluation.refine import refined
from bodystream.pipeline.types import Dense, Iuv
from tests.scene import body, camera, result, seen

CAMERAS = [camera("a", 0), camera("b", 40), camera("c", 80)]


def moved_parts(dense: Dense, noise: float) -> Dense:
    """The map with U and V off by `noise`, standard deviation."""
    random = np.random.default_rng(0)
    return replace(dense, uv=(dense.uv + random.normal(0, noise, dense.uv.shape)).astype(np.float32))


def clip(noise: float = 0.0, frames: int = 1):
    people = [seen(by, body()) for by in CAMERAS]
    people = [replace(p, dense=moved_parts(p.dense, noise)) for p in people]
    return [[result(i, person) for person in people] for i in range(frames)]


def test_perfect_maps_give_meeting_rays_and_noise_does_not():
    rows = {name: collect(CAMERAS, clip(noise), 1) for name, noise in (("exact", 0.0), ("noisy", 0.05))}
    scores = score(rows, CAMERAS)
    for exact, noisy in zip(scores["exact"], scores["noisy"], strict=True):
        assert exact.gap_mm < 4
        assert exact.third_px < 1.5 or exact.cameras == (
            "a",
            "c",
        )  # from 80° apart little is seen by all three
        assert noisy.gap_mm > 2 * exact.gap_mm
        assert exact.equal_share == noisy.equal_share == pytest.approx(min(exact.share, noisy.share))
        assert exact.gap_at_equal_share_mm <= exact.gap_mm * 1.2
    by_pair = {pair.cameras: pair for pair in scores["exact"]}
    assert by_pair["a", "b"].share > by_pair["a", "c"].share > 0.05


def test_a_still_picture_does_not_flicker_and_every_pixel_that_changes_counts():
    same = collect(CAMERAS, clip(frames=2), 1)
    assert same.changed.tolist() == [0, 0, 0]
    assert (same.compared > 1000).all()
    before = Iuv(
        0, 0, np.full((2, 4), 5, np.uint8), np.zeros((2, 2, 4), np.float32), np.zeros((2, 4), np.uint8)
    )
    part = np.array([[6, 5, 0], [5, 6, 5]], np.uint8)
    now = Iuv(1, 0, part, np.zeros((2, 2, 3), np.float32), part)
    assert flicker(before, now) == (2, 5)
    assert flicker(before, None) == flicker(None, now) == (0, 0)
    assert flicker(before, replace(now, x=10)) == (0, 0)


def test_of_two_people_the_one_whom_all_see_is_taken():
    here, bystander = body(), body(x=0.8, z=0.5)
    people = [
        [seen(CAMERAS[0], bystander, 2), seen(CAMERAS[0], here)],
        [seen(CAMERAS[1], here), seen(CAMERAS[1], bystander, 2)],
        [seen(CAMERAS[2], here)],
    ]
    assert pick(CAMERAS, people) == (1, 0, 0)
    assert pick(CAMERAS, [people[0], [], people[2]]) == (1, None, 0)
    assert pick(CAMERAS, [[], [], []]) == (None, None, None)


def test_who_is_not_seen_by_a_camera_is_measured_between_the_others():
    moments = clip()
    moments[0][2] = result(0)
    found = collect(CAMERAS, moments, 1)
    assert {side: len(pairs) for side, pairs in found.pairs.items() if pairs} == {(0, 1): 1, (1, 0): 1}
    scores = score({"only": found}, CAMERAS)["only"]
    assert [pair.frames for pair in scores] == [1, 0, 0]
    assert np.isnan(scores[1].gap_mm)
    assert scores[1].share == 0


def test_neighbours_go_round():
    ring = [camera(name, degrees) for name, degrees in (("1", 20), ("2", 200), ("3", 110), ("4", 290))]
    assert neighbours(ring) == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert neighbours(ring[:2]) == [(0, 1)]


def test_nobody_is_a_view_of_no_pixels():
    assert view(None).pixels.shape == (0, 2)


def test_a_turned_camera_is_turned_back():
    random = np.random.default_rng(1)
    people = [[seen(by, body(x, z)) for by in CAMERAS] for x, z in random.normal(0, 0.3, (6, 2))]
    landmarks = np.array([[person.landmarks for person in row] for row in people])
    landmarks[0, 1] = np.nan  # not found there
    by = 0.01
    turn = np.array([[1, 0, 0], [0, np.cos(by), -np.sin(by)], [0, np.sin(by), np.cos(by)]])
    wrong = [CAMERAS[0], replace(CAMERAS[1], R=turn @ CAMERAS[1].R, t=turn @ CAMERAS[1].t), CAMERAS[2]]
    fixed = refined(wrong, landmarks)
    before = np.degrees(np.linalg.norm(wrong[1].R - CAMERAS[1].R))
    assert np.degrees(np.linalg.norm(fixed[1].R - CAMERAS[1].R)) < 0.3 * before
    np.testing.assert_allclose([c.centre for c in fixed], [c.centre for c in CAMERAS], atol=1e-9)
    kept = refined(CAMERAS, landmarks)
    assert max(np.abs(a.R - b.R).max() for a, b in zip(kept, CAMERAS, strict=True)) < 1e-4
