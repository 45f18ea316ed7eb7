from fractions import Fraction

import numpy as np
import pytest

from bodystream.models.body.kinematics import local_turns, matrices, quaternions
from bodystream.pipeline.clip import ROW, clock_of, continuous, floor_of, inverse, motion_of, product
from bodystream.pipeline.ground import world_axes
from bodystream.training.poses import about_y
from tests import recordings

LEVEL = world_axes([0, -1, 0])
NTSC = recordings.NTSC


def rows(times, id=1, speed=1.0, turn=1.0):
    """Somebody who walks along x at `speed` m/s and turns about the vertical at `turn` rad/s."""
    pose = recordings.pose3d()
    found = np.zeros(len(times), ROW)
    for row, time in zip(found, times, strict=True):
        row["time"], row["id"] = time, id
        row["root"] = pose.root + np.array([speed * time, 0, 0])
        row["turns"] = quaternions(about_y(np.array(turn * time)) @ pose.turns)
        row["lengths"] = pose.lengths
    return found


class TestClock:
    def test_even_frames_are_its_own(self):
        times = np.array([float(5 + k / NTSC) for k in range(100)])
        clock = clock_of(times, NTSC)
        assert (clock.rate, clock.count) == (NTSC, 100)
        assert clock.times == pytest.approx(times, abs=1e-9)

    def test_rounded_times_keep_the_nominal_rate(self):
        times = np.round([k * 1001 / 30000 for k in range(300)], 3)
        assert clock_of(times, NTSC).count == 300

    def test_every_third_frame_is_a_third_of_the_rate(self):
        assert clock_of(np.arange(0, 3, 0.1), Fraction(30)).rate == 10

    def test_dropped_frames_are_filled_in(self):
        times = np.delete(np.arange(30) / 30, [4, 11, 12])
        clock = clock_of(times, Fraction(30))
        assert (clock.rate, clock.count) == (30, 30)

    def test_without_a_nominal_rate_the_middle_interval_tells(self):
        times = np.cumsum([0, 0.04, 0.04, 0.1, 0.04, 0.02])
        assert clock_of(times, None).rate == 25

    def test_one_frame_and_none(self):
        one = clock_of(np.array([2.5]), None)
        assert (one.count, one.start, one.rate) == (1, 2.5, 30)
        assert clock_of(np.zeros(0), Fraction(25)).count == 0


class TestMotion:
    def test_on_its_own_frames_it_is_what_was_found(self):
        times = np.arange(10) / 25
        motion = motion_of(rows(times), clock_of(times, Fraction(25)), LEVEL, 0.0)
        assert motion.known.all()
        assert motion.root == pytest.approx(rows(times)["root"] * [1, -1, -1], abs=1e-6)
        wanted = LEVEL @ matrices(rows(times)["turns"])
        assert matrices(motion.turns) == pytest.approx(wanted, abs=1e-6)

    def test_uneven_frames_are_interpolated_on_media_time(self):
        rng = np.random.default_rng(1)
        times = np.sort(np.append(rng.uniform(0, 2, 60), [0, 2]))
        clock = clock_of(times, Fraction(25))
        motion = motion_of(rows(times), clock, LEVEL, 0.0)
        exact = rows(clock.times)
        assert motion.root == pytest.approx(exact["root"] * [1, -1, -1], abs=1e-5)
        assert matrices(motion.turns) == pytest.approx(LEVEL @ matrices(exact["turns"]), abs=2e-4)

    def test_short_gaps_are_bridged_and_long_ones_held(self):
        frames = np.array([0, 1, 2, 7, 8, 9, 20, 21])  # 5 and 11 steps apart
        times = np.arange(25) / 25
        motion = motion_of(rows(frames / 25), clock_of(times, Fraction(25)), LEVEL, 0.0)
        assert np.flatnonzero(motion.known).tolist() == [*range(10), 20, 21]
        x = motion.root[:, 0]
        assert x[:10] == pytest.approx(x[0] + np.arange(10) / 25, abs=1e-5)
        assert x[10:20] == pytest.approx(np.full(10, x[9]))
        assert x[22:] == pytest.approx(np.full(3, x[21]))

    def test_before_somebody_comes_their_first_pose_is_held(self):
        times = np.arange(10) / 25
        motion = motion_of(rows(times[6:]), clock_of(times, Fraction(25)), LEVEL, 0.0)
        assert motion.known.tolist() == [False] * 6 + [True] * 4
        assert motion.root[0] == pytest.approx(motion.root[6])

    def test_frames_further_apart_than_a_gap_are_no_gaps(self):
        times = np.arange(0, 10, 0.5)
        assert motion_of(rows(times), clock_of(times, Fraction(30)), LEVEL, 0.0).known.all()

    def test_times_that_a_container_rounded(self):
        times = np.round([k * 1001 / 30000 for k in range(30)], 3)
        motion = motion_of(rows(times[3:28]), clock_of(times, NTSC), LEVEL, 0.0)
        assert np.flatnonzero(motion.known).tolist() == [*range(3, 28)]

    def test_a_person_twice_at_one_moment_is_there_once(self):
        times = np.array([0, 0, 0.04, 0.04])
        assert motion_of(rows(times), clock_of(np.unique(times), None), LEVEL, 0.0).known.all()

    def test_bones_are_the_clip_s_middle_ones(self):
        found = rows(np.arange(9) / 25)
        found["lengths"][0] *= 3
        motion = motion_of(found, clock_of(found["time"], None), LEVEL, 0.0)
        assert motion.skeleton.lengths == pytest.approx(recordings.pose3d().lengths)

    def test_local_turns_are_those_of_the_flipped_body(self):
        times = np.arange(4) / 25
        motion = motion_of(rows(times), clock_of(times, None), LEVEL, 0.0)
        flip = np.diag([1.0, -1, -1]).astype(np.float32)
        wanted = local_turns(matrices(motion.turns) @ flip)
        assert matrices(motion.local()) == pytest.approx(wanted, abs=1e-5)

    def test_signs_do_not_change_in_full_turns(self):
        times = np.arange(200) / 25
        motion = motion_of(rows(times, turn=3.0), clock_of(times, None), LEVEL, 0.0)
        for q in (motion.turns, motion.local()):
            assert (np.abs(np.diff(q, axis=0)).max()) < 0.2


def test_the_floor_is_under_the_lowest_foot():
    found = rows(np.arange(40) / 25)
    floor = floor_of(found, LEVEL)
    found["root"][:, 1] -= 0.25  # up, to the camera
    assert floor_of(found, LEVEL) == pytest.approx(floor + 0.25, abs=1e-5)
    found["root"][:1, 1] += 5  # one frame far below ground
    assert floor_of(found, LEVEL) == pytest.approx(floor + 0.25, abs=0.01)


def test_quaternions_by_hand():
    i, j, k = np.eye(4, dtype=np.float32)[1:]
    assert product(i, j).tolist() == k.tolist()
    assert product(j, i).tolist() == (-k).tolist()
    assert product(i, inverse(i)).tolist() == [1, 0, 0, 0]
    assert continuous(np.stack([i, -i, -i - j, i + j]))[:, 1].tolist() == [1, 1, 1, 1]
