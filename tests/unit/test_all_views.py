"""A known walk, projected into made-up cameras, comes back out of them; planted errors do no harm."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bodystream.errors import SourceUnreadable
from bodystream.evaluation.all_views import in_time, reference_of, together, with_keypoints
from bodystream.evaluation.joints import LANDMARKS
from bodystream.evaluation.one_view import Seen, behind, difference, mean_view, scored
from bodystream.evaluation.triangulate import smoothed, triangulated
from bodystream.models.keypoints import SWAP
from tests.walk import CAMERAS, RATE, moments, seen_by, walk

FRAMES = 60
TIMES = np.arange(FRAMES) / RATE


def reference(people, views=(), cameras=CAMERAS, **options):
    return reference_of(cameras, TIMES, [people, *views], **options)


def miss_mm(found, truth) -> float:
    """Mean distance of the joints, mm, but for the filter's ends."""
    return float(1000 * np.linalg.norm((found - truth[:, LANDMARKS])[5:-5], axis=-1).mean())


def test_a_walk_comes_back_within_a_millimetre():
    truth = walk()
    found = reference(together(CAMERAS, moments(truth), 1))
    assert miss_mm(found.people[0].points, truth) < 1
    assert max(found.trust.turned_deg) < 0.01
    assert max(found.trust.reprojection_px) < 1
    assert max(found.trust.left_out_mm) < 1
    straight = walk(1)[0]
    for bone, ends in ((3, (11, 13)), (5, (23, 25)), (6, (25, 27))):
        assert found.bones[0, bone] == pytest.approx(
            np.linalg.norm(straight[ends[0]] - straight[ends[1]]), rel=0.1
        )


def test_outliers_survive_and_are_told():
    truth = walk()
    seen = together(CAMERAS, moments(truth), 1)
    random = np.random.default_rng(0)
    wild = random.random(seen.shape[:4]) < 0.05  # 5 % of all landmarks, up to 300 px off
    seen[..., :2] += wild[..., None] * random.uniform(-300, 300, (*seen.shape[:4], 2)).astype(np.float32)
    seen[0, 20:30, 2] = np.nan  # one camera loses the person for ten frames
    seen[0, 40:45, 1, :, :2] = seen[0, 40:45, 1][:, SWAP, :2]  # and another one takes the back for the front
    found = reference(seen)
    assert miss_mm(found.people[0].points, truth) < 3
    assert max(found.trust.reprojection_px) > 2  # the outliers are not hidden


def test_wrong_cameras_are_turned_back():
    truth = walk()
    seen = together(CAMERAS, moments(truth), 1)
    turn = np.asarray(cv2.Rodrigues(np.array([0.004, 0.012, 0.002]))[0])
    wrong = [*CAMERAS[:2], replace(CAMERAS[2], R=turn @ CAMERAS[2].R, t=turn @ CAMERAS[2].t), CAMERAS[3]]
    fixed, kept = (reference(seen, cameras=wrong, turn_cameras=turned) for turned in (True, False))
    assert max(fixed.trust.reprojection_px) < 0.5 * max(kept.trust.reprojection_px)
    assert fixed.trust.turned_deg[2] == pytest.approx(0.73, abs=0.2)
    assert kept.trust.turned_deg == pytest.approx([0, 0, 0, 0], abs=1e-4)


def test_two_people_stay_who_they_are():
    one, two = walk(x=-0.5), walk(x=0.6)
    frames = moments(one, two)
    for frame in range(20, 40):
        frames[frame] = [view[::-1] for view in frames[frame]]  # the order of records means nothing
        frames[frame][2] = frames[frame][2][:1]  # and one camera sees one of them only
    seen = together(CAMERAS, frames, 2)
    found = reference(seen)
    errors = sorted(min(miss_mm(person.points, truth) for truth in (one, two)) for person in found.people)
    assert errors[1] < 1
    assert np.linalg.norm(found.people[0].points - found.people[1].points, axis=-1).min() > 0.5


def test_nobody_makes_no_reference():
    seen = together(CAMERAS, [[[], [], [], []]] * FRAMES, 1)
    with pytest.raises(SourceUnreadable, match="seen by two cameras"):
        reference(seen)


def test_points_of_one_camera_are_nowhere():
    seen = np.full((1, 4, 1, 3), np.nan, np.float32)
    seen[0, 0] = (240, 280, 1)
    assert np.isnan(triangulated(CAMERAS, seen)).all()
    seen[0, 2] = (240, 280, 0.3)  # not sure enough
    assert np.isnan(triangulated(CAMERAS, seen)).all()
    seen[0, 2] = (240, 280, 0.9)
    assert np.isfinite(triangulated(CAMERAS, seen)).all()


def test_the_filter_takes_what_is_fast_and_is_not_late():
    times = np.arange(240) / 60
    slow, fast = np.sin(2 * np.pi * times), np.sin(2 * np.pi * 20 * times)
    found = smoothed(times, slow + 0.5 * fast, 6.0)
    np.testing.assert_allclose(found[20:-20], slow[20:-20], atol=0.012)
    at_cutoff = smoothed(times, np.sin(2 * np.pi * 6 * times), 6.0)[60:-60]
    assert np.abs(at_cutoff).max() == pytest.approx(np.sqrt(0.5), abs=0.03)
    gap = slow.copy()
    gap[100:103] = np.nan
    assert np.isnan(smoothed(times, gap, 6.0)).sum() == 3
    np.testing.assert_allclose(smoothed(times, np.full(240, 3.0), 6.0), 3.0)


def test_keypoints_of_the_same_person_in_other_pixels_and_late():
    truth = walk()
    seen = together(CAMERAS, moments(truth), 1)
    double = [camera.fitted((960, 1280)) for camera in CAMERAS]
    late = [
        [[seen_by(by, walk(FRAMES)[max(frame - 2, 0)]).landmarks, seen_by(by, walk(x=1.5)[frame]).landmarks]
         for frame in range(FRAMES)]
        for by in double
    ]  # fmt: skip
    found = with_keypoints(late, double, CAMERAS, seen)
    np.testing.assert_allclose(found[0, 2:, ..., :2], seen[0, :-2, ..., :2], atol=0.01)
    moved, by_s = in_time(found, seen, TIMES)
    assert by_s == pytest.approx(2 / RATE, abs=0.002)
    np.testing.assert_allclose(moved[0, 5:50, ..., :2], seen[0, 5:50, ..., :2], atol=0.6)
    assert miss_mm(reference(seen, [moved]).people[0].points, truth) < 1


def seen_alone(truths, cameras=CAMERAS, change=lambda people, frame, camera: people):
    """Moments as one_view wants them, of perfect nets."""
    return [
        [
            Seen(
                TIMES[frame],
                tuple(change([seen_by(by, t[frame], n) for n, t in enumerate(truths, 1)], frame, i)),
            )
            for i, by in enumerate(cameras)
        ]
        for frame in range(FRAMES)
    ]


def test_perfect_nets_score_perfectly_and_planted_errors_are_found():
    truth = walk()
    whole = reference(together(CAMERAS, moments(truth), 1))
    views = scored(whole, seen_alone([truth]), TIMES, RATE)
    perfect = mean_view(views)
    assert perfect.frames == 4 * 46  # without a sixth and a fifteenth of a second
    assert perfect.pa_mm < 1
    assert perfect.mpjpe_mm < 1
    assert perfect.root_cm < 0.3
    assert abs(perfect.lag_ms) < 1

    def worse(people, frame, camera):
        world = people[0].world.copy()
        world[:, 2] *= 0.7
        return [replace(people[0], world=world)]

    flat = scored(whole, seen_alone([truth], change=worse), TIMES, RATE)
    assert mean_view(flat).mpjpe_mm > 15
    mean, low, high = difference(flat, views, RATE)["mpjpe_mm"]
    assert low < mean < high
    assert mean == pytest.approx(mean_view(flat).mpjpe_mm - perfect.mpjpe_mm, abs=0.5)


def test_who_is_late_is_behind():
    truth = walk()
    whole = reference(together(CAMERAS, moments(truth), 1))

    def late(people, frame, camera):
        return [seen_by(CAMERAS[camera], truth[max(frame - 2, 0)])]

    views = [
        scored(whole, seen_alone([truth], change=change), TIMES, RATE) for change in (late, lambda p, *_: p)
    ]
    assert np.ravel(behind(*views)) == pytest.approx([2000 / RATE] * 4, abs=1)
    assert np.ravel(behind(views[1], views[1])) == pytest.approx([0] * 4, abs=0.5)
    assert mean_view(views[0]).lag_ms == pytest.approx(2000 / RATE, abs=1)


def test_flipped_people_are_still_themselves():
    truth = walk()
    whole = reference(together(CAMERAS, moments(truth), 1))

    def flipped(people, frame, camera):
        return [replace(people[0], landmarks=people[0].landmarks[SWAP], world=people[0].world[SWAP])]

    views = scored(whole, seen_alone([truth], change=flipped), TIMES, RATE)
    assert [view[0].identity.found for view in views] == [FRAMES] * 4
    assert mean_view(views).mpjpe_mm > 100


def test_ids_that_change_and_swap_are_counted():
    one, two = walk(x=-0.5), walk(x=0.6)
    whole = reference(together(CAMERAS, moments(one, two), 2))

    def ids(people, frame, camera):
        first, second = people
        if camera == 0 and frame >= 30:  # they swap
            first, second = replace(first, id=2), replace(second, id=1)
        if camera == 1 and frame >= 30:  # one is lost for a while and comes back as somebody new
            first = replace(first, id=7)
            return [second] if frame < 35 else [first, second]
        return [first, second]

    views = scored(whole, seen_alone([one, two], change=ids), TIMES, RATE)
    told = [[(v.identity.changes, v.identity.swaps) for v in view] for view in views]
    assert told[0] == [(1, 1), (1, 1)]
    assert sorted(told[1]) == [(0, 0), (1, 0)]
    assert told[2] == told[3] == [(0, 0), (0, 0)]
    assert sorted(view.identity.found for view in views[1]) == [FRAMES - 5, FRAMES]
