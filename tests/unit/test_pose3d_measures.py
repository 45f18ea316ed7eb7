"""The measures of 3D pose: numbers that can be checked by hand, and errors that were planted."""

import numpy as np
import pytest

from bodystream.evaluation.joints import HIPS, JOINTS, SCORED, indices
from bodystream.evaluation.pose3d import (
    Motion,
    aligned,
    at,
    bone_spread,
    bootstrap,
    frame_errors,
    lag,
    later,
    mean_of,
    procrustes,
    score,
    slide,
)

RATE = 60
TIMES = np.arange(120) / RATE
FEET = indices("left_heel", "right_heel", "left_toe", "right_toe")


def standing() -> np.ndarray:
    """A body at rest, (16, 3) m, y down, mid hips at the origin."""
    points = np.zeros((len(JOINTS), 3))
    heights = {"shoulder": -0.5, "elbow": -0.2, "wrist": 0.05, "hip": 0, "knee": 0.4, "ankle": 0.8}
    heights |= {"heel": 0.85, "toe": 0.85}
    widths = {"shoulder": 0.18, "elbow": 0.25, "wrist": 0.27, "hip": 0.1}
    for i, name in enumerate(JOINTS):
        side, _, joint = name.partition("_")
        x = widths.get(joint, 0.1) * (1 if side == "left" else -1)
        points[i] = (x, heights[joint], -0.15 if joint == "toe" else 0)
    return points


def walking(times: np.ndarray = TIMES, turn: float = 0.4) -> np.ndarray:
    """A body that walks along x, swings its arms and legs, and turns a little: (F, 16, 3)."""
    points = np.repeat(standing()[None], len(times), axis=0)
    phase = 2 * np.pi * times
    for i, name in enumerate(JOINTS):
        side, _, joint = name.partition("_")
        sign = 1 if (side == "left") == (joint not in ("elbow", "wrist")) else -1
        swing = {"elbow": 0.1, "wrist": 0.2, "knee": 0.15, "ankle": 0.3, "heel": 0.3, "toe": 0.3}
        points[:, i, 0] += sign * swing.get(joint, 0) * np.sin(phase)
    cos, sin = np.cos(turn * times), np.sin(turn * times)
    x, z = points[..., 0].copy(), points[..., 2].copy()
    points[..., 0], points[..., 2] = cos[:, None] * x + sin[:, None] * z, cos[:, None] * z - sin[:, None] * x
    return points + np.stack([times, 0 * times, 3 + 0 * times], axis=1)[:, None]


def motion(points: np.ndarray, times: np.ndarray = TIMES) -> Motion:
    return Motion(times, points)


def test_of_the_same_motion_there_is_no_error():
    found = score(motion(walking()), motion(walking()))
    assert found.frames == 120
    assert found.rate == pytest.approx(60)
    errors = (found.pa_mm, found.mpjpe_mm, found.acceleration_mm, found.lag_ms, found.root_cm)
    assert errors == pytest.approx((0, 0, 0, 0, 0), abs=0.01)  # a parabola is not quite the minimum's form
    assert (found.pck, found.auc) == (1.0, 1.0)


def test_one_wrong_joint_of_twelve_by_hand():
    wrong = walking()
    wrong[:, JOINTS.index("left_wrist"), 2] += 0.12
    found = score(motion(wrong), motion(walking()))
    assert found.mpjpe_mm == pytest.approx(120 / 12)
    assert found.pck == 1.0
    # At the limits from 0 to 115 mm one joint of twelve is wrong; 120 mm may round either way.
    assert found.auc == pytest.approx(1 - 24 / 31 / 12, abs=1 / 31 / 12 + 1e-9)
    wrong[:, JOINTS.index("left_wrist"), 2] += 0.12
    assert score(motion(wrong), motion(walking())).pck == pytest.approx(11 / 12)
    assert score(motion(wrong), motion(walking())).acceleration_mm == pytest.approx(0, abs=1e-9)


def test_the_hips_are_the_origin_and_the_root_is_told_apart():
    found = score(motion(walking() + np.array([0.3, 0, 0.4])), motion(walking()))
    assert found.mpjpe_mm == pytest.approx(0, abs=1e-9)
    assert found.root_cm == pytest.approx(50)


def test_scale_and_turn_cost_mpjpe_and_not_pa():
    points = walking()
    hips = points[:, HIPS].mean(1, keepdims=True)
    bigger = hips + 1.1 * (points - hips)
    found = score(motion(bigger), motion(points))
    away = np.linalg.norm(points - hips, axis=-1)[:, : len(SCORED)].mean()
    assert found.mpjpe_mm == pytest.approx(100 * away)
    assert found.pa_mm == pytest.approx(0, abs=1e-6)
    assert found.bone_spread == pytest.approx(score(motion(points), motion(points)).bone_spread)
    turned = points @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    assert score(motion(turned), motion(points)).pa_mm == pytest.approx(0, abs=1e-6)
    assert score(motion(turned), motion(points)).mpjpe_mm > 100
    back = aligned(motion(turned), motion(points))
    np.testing.assert_allclose(back.points, points, atol=1e-9)


def test_a_mirror_image_is_no_rotation():
    points = walking()[:1]
    mirrored = points * (-1, 1, 1)
    assert np.linalg.norm(procrustes(mirrored, points) - points, axis=-1).mean() > 0.01


@pytest.mark.parametrize("late_ms", [-21, 0, 7, 35, 69])
def test_a_planted_lag_is_found_between_frames(late_ms):
    late = walking(TIMES - late_ms / 1000)
    assert 1000 * lag(motion(late), motion(walking())) == pytest.approx(late_ms, abs=1)
    late[:, JOINTS.index("left_wrist"), 0] += 0.1
    assert 1000 * later(motion(late), motion(walking()), steady_off=True) == pytest.approx(late_ms, abs=1)


def test_who_stands_still_has_no_lag_to_tell():
    still = np.repeat(standing()[None], 120, axis=0)
    assert (
        np.isnan(lag(motion(still), motion(walking()))) or abs(lag(motion(still), motion(walking()))) < 0.25
    )
    assert np.isnan(lag(Motion(TIMES[:2], walking()[:2]), motion(walking())))


def test_acceleration_by_hand():
    jerk = walking()
    jerk[60, JOINTS.index("right_knee"), 1] += 0.012
    found = score(motion(jerk), motion(walking()))
    # 12, -24, 12 mm/frame² in three of the 118 frames, at one joint of twelve
    assert found.acceleration_mm == pytest.approx(48 / 118 / 12)
    assert found.acceleration_m_s2 == pytest.approx(48 / 118 / 12 * 3600 / 1000)
    assert score(motion(jerk), motion(walking()), rate=30).acceleration_mm == pytest.approx(4 * 48 / 118 / 12)


def test_bones_that_breathe():
    points = np.repeat(standing()[None], 2, axis=0)
    points[1, indices("left_wrist")] = points[1, indices("left_elbow")] + 1.2 * (
        points[1, indices("left_wrist")] - points[1, indices("left_elbow")]
    )
    # One bone of ten has lengths l and 1.2 l: deviation .1 l, mean 1.1 l.
    assert bone_spread(points) == pytest.approx(0.1 / 1.1 / 10)


def test_feet_slide_only_while_the_reference_stands():
    stands = np.repeat(standing()[None], 120, axis=0)
    stands[60:, FEET, 0] += np.arange(60)[:, None] / 60  # after a second they go off at 1 m/s
    slides = stands.copy()
    slides[:60, FEET, 2] += np.arange(60)[:, None] / 60 * 0.05
    slides[60:, FEET, 2] += 0.05
    assert 1000 * slide(motion(slides), motion(stands)) == pytest.approx(50, rel=0.02)
    assert slide(motion(stands), motion(stands)) == pytest.approx(0, abs=0.01)
    assert np.isnan(slide(Motion(TIMES, slides, placed=False), motion(stands)))
    stands[:, FEET] = np.nan  # then ankles tell
    assert slide(motion(slides), motion(stands)) == pytest.approx(0)


def test_times_between_frames_are_filled_and_gaps_are_not():
    line = Motion(np.array([0.0, 0.05, 0.35]), np.array([0.0, 1, 2])[:, None, None] * np.ones((3, 16, 3)))
    np.testing.assert_allclose(at(line, np.array([0, 0.025, 0.05]))[:, 0, 0], [0, 0.5, 1])
    assert np.isnan(at(line, np.array([-0.1, 0.1, 0.4]))).all()
    line.points[1] = np.nan
    np.testing.assert_array_equal(
        np.isnan(at(line, np.array([0.0, 0.025, 0.05, 0.35]))[:, 0, 0]), [0, 1, 1, 0]
    )


def test_joints_that_a_reference_lacks_are_not_asked_for_and_frames_are():
    truth, mine = walking(), walking()
    truth[:, JOINTS.index("left_wrist")] = np.nan
    truth[5] = np.nan
    mine[7, JOINTS.index("left_knee")] = np.nan
    mine[:, JOINTS.index("left_wrist")] = np.nan
    found = score(motion(mine), motion(truth))
    assert found.frames == 118
    assert found.mpjpe_mm == pytest.approx(0, abs=1e-9)
    errors = frame_errors(motion(mine), motion(truth))
    assert np.isnan(errors[[5, 7]]).all()
    assert np.isfinite(errors).all(1).sum() == 118


def test_nobody_is_scored_as_nothing():
    nobody = motion(np.full((120, 16, 3), np.nan))
    found = score(nobody, motion(walking()))
    assert found.frames == 0
    assert np.isnan([found.pa_mm, found.pck, found.lag_ms, found.bone_spread, found.slide_mm_s]).all()
    assert score(Motion(TIMES[:0], walking()[:0]), motion(walking())).frames == 0
    both = mean_of([found, score(motion(walking()), motion(walking()))])
    assert both.frames == 120
    assert both.pck == 1.0


def test_the_range_of_a_difference_holds_its_mean():
    random = np.random.default_rng(1)
    mean, low, high = bootstrap([random.normal(3, 1, 100), np.full(4, np.nan)], RATE)
    assert low < mean < high
    assert mean == pytest.approx(3, abs=0.3)
    assert high - low < 1
    assert np.isnan(bootstrap([np.full(4, np.nan)], RATE)).all()
