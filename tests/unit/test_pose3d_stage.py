"""The stage `pose3d`: people over time, through gaps, hidden joints and other frame rates."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from bodystream.models.body.fit import Figures, Targets, fit
from bodystream.models.body.freedoms import FREEDOMS, posture_of, turns_of_posture
from bodystream.models.body.joint_sets import BLAZEPOSE
from bodystream.models.body.kinematics import JOINTS, height_of, joints_at, posed, skeleton_of
from bodystream.models.body.pose import pose_body
from bodystream.models.body.skeleton import bone_lengths
from bodystream.pipeline.contacts import Contacts
from bodystream.pipeline.lens import LEVEL, Lens
from bodystream.pipeline.stages.pose3d import FitPose3d
from bodystream.pipeline.types import Frame, Person
from bodystream.training.poses import about_y

LENGTHS = np.array([0.515, 0.327, 0.193, 0.281, 0.246, 0.412, 0.408], np.float32)
SIZE = (1280, 720)
LENS = Lens(60.0, None, None, "test", False, np.array(LEVEL), "level")
LEFT_ARM = np.array([13, 15, 17, 19, 21])  # landmarks of the left arm below the shoulder
LEFT_WRIST = JOINTS.index("left_wrist")


class Walk:
    """Someone who hangs in the air and walks, in place or across, at `heading`, and turns if told to."""

    def __init__(self, heading=0.5, turning=0.0, speed=0.0, moving=1.0, x=0.0, z=4.0, size=1.0):
        self.heading, self.turning, self.speed, self.moving = heading, turning, speed, moving
        self.x, self.z, self.lengths = x, z, LENGTHS * np.float32(size)
        self.skeleton = skeleton_of(self.lengths)

    def at(self, time):
        """Joints (23, 3) and landmarks (33, 3) in front of the camera, and turns (17, 3, 3)."""
        swing = self.moving * np.sin(2 * np.pi * 0.9 * time)
        rest = posture_of(np.eye(3)[None, None].repeat(17, 1), np.zeros((1, 3)))
        step = np.zeros((1, FREEDOMS))
        step[0, 3 + 12], step[0, 3 + 18] = -0.5 * swing, 0.5 * swing  # thighs, about the axis to the left
        step[0, 3 + 9], step[0, 3 + 15] = 0.4 * swing, -0.4 * swing  # upper arms
        step[0, [24, 31]] = 0.5 + 0.3 * swing  # elbows
        step[0, [28, 35]] = 0.5 + 0.4 * swing, 0.5 - 0.4 * swing  # knees
        heading = self.heading + self.turning * time
        turns = about_y(np.asarray(heading)) @ turns_of_posture(rest.moved(step))[0]
        root = np.array([self.x + self.speed * time, 0.1, self.z])
        starts, landmarks = posed(self.skeleton, turns, root)
        return joints_at(starts, landmarks), landmarks, turns


def seen(walk, time, id=1, confidence=0.95, noise=0.0, rng=None):
    """The person as the stages before give them."""
    _, points, _ = walk.at(time)
    sure = np.full((33, 1), confidence)
    pixels = LENS.of(SIZE).project(points)
    world = points - points[[23, 24]].mean(0)
    if noise:
        pixels, world = (
            pixels + rng.normal(0, 100 * noise, pixels.shape),
            world + rng.normal(0, noise, world.shape),
        )
    landmarks = np.hstack([pixels, sure]).astype(np.float32)
    world = np.hstack([world, sure]).astype(np.float32)
    body = pose_body(landmarks, world, bone_lengths(world[:, :3], landmarks[:, 2]))
    return Person(np.zeros(4, np.float32), 0.9, id, None, landmarks, world, None, body)


def frame(time):
    image = np.broadcast_to(np.uint8(0), (SIZE[1], SIZE[0], 3))
    return Frame(0, Fraction(time).limit_denominator(10000), 0, image, "test")


def follow(walk, rate=30, seconds=2.0, change=lambda person, time: person, stage=None, **noise):
    """Poses and true joints of every frame: joints (T, 23, 4), (T, 23, 3), turns twice (T, 17, 3, 3)."""
    stage = stage or FitPose3d(LENS, contacts=False)  # feet swing in the air, so none stands
    found, truth, turns, true_turns = [], [], [], []
    for i in range(int(seconds * rate)):
        (person,) = stage(frame(i / rate), [change(seen(walk, i / rate, **noise), i / rate)])
        joints, _, turned = walk.at(i / rate)
        found.append(person.pose3d.joints)
        turns.append(person.pose3d.turns)
        truth.append(joints)
        true_turns.append(turned)
    return np.stack(found), np.stack(truth), np.stack(turns), np.stack(true_turns)


def off(found, truth):
    """Distances (T, 23), m."""
    return np.linalg.norm(found[..., :3] - truth, axis=-1)


def degrees(a, b):
    cosine = (np.einsum("...ij,...ij->...", a, b) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("rate", [60, 30, 15])
def test_motion_without_noise_is_recovered(rate):
    found, truth, turns, true_turns = follow(Walk(), rate)
    assert off(found, truth).mean() < 0.005
    assert np.median(degrees(turns, true_turns)) < 1


def test_the_first_frame_is_a_pose_already():
    found, truth, *_ = follow(Walk(), 30, 1 / 30)
    assert len(found) == 1 and off(found, truth).max() < 0.005


def test_somebody_who_stands_still_stays_still():
    found, *_ = follow(Walk(moving=0), seconds=3)
    assert np.ptp(found[30:, :, :3], axis=0).max() < 1e-3


def test_a_person_who_turns_away_is_followed_round():
    found, truth, turns, true_turns = follow(Walk(turning=1.5), 30, 4.0)
    assert off(found, truth).max() < 0.03
    assert degrees(turns, true_turns)[:, 0].max() < 3


def test_a_person_who_walks_across_is_where_they_are():
    found, truth, *_ = follow(Walk(heading=np.pi / 2, speed=1.2, x=-1.2), 30, 2.0)
    assert off(found, truth).mean() < 0.01


def test_noise_is_steadied_and_adds_no_bias():
    rng = np.random.default_rng(0)
    found, truth, *_ = follow(Walk(), 30, 3.0, noise=0.02, rng=rng)
    shake = np.linalg.norm(np.diff(found[..., :3] - truth, 2, axis=0), axis=-1).mean()
    white = 0.02 * np.sqrt(6) * 1.6  # mean length of the second difference of white noise in space
    assert shake < 0.65 * white
    assert np.abs((found[..., :3] - truth).mean(0)).max() < 0.03


def test_bones_are_constant():
    rng = np.random.default_rng(0)
    found, *_ = follow(Walk(), 30, 4.0, noise=0.02, rng=rng)
    for a, b in (("left_hip", "left_knee"), ("right_elbow", "right_wrist"), ("left_knee", "left_ankle")):
        ends = found[30:, [JOINTS.index(a), JOINTS.index(b)], :3]
        length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)
        assert length.std() / length.mean() < 0.01


def hide(landmarks, first, last, confidence=0.05, away=(400.0, -300.0), lift=0.5):
    """Give some landmarks of a while another place and no confidence."""

    def change(person, time):
        if not first <= time < last:
            return person
        flat, world = person.landmarks.copy(), person.world.copy()
        flat[landmarks, :2] += away
        flat[landmarks, 2] = world[landmarks, 3] = confidence
        world[landmarks, :3] += lift
        return replace(person, landmarks=flat, world=world)

    return change


def test_hidden_joints_are_held_and_do_not_jump_when_they_return():
    walk = Walk(moving=0.3)
    found, truth, *_ = follow(walk, 30, 3.0, hide(LEFT_ARM, 1.0, 2.0))
    wrist = found[:, LEFT_WRIST]
    assert off(found, truth)[:, LEFT_WRIST].max() < 0.25  # seen, it would be 0.7 m off
    assert wrist[40, 3] < 0.2 and wrist[20, 3] > 0.9  # confidence falls while it is hidden
    steps = np.linalg.norm(np.diff(wrist[:, :3], axis=0), axis=-1)
    assert steps[58:75].max() < 0.06


def test_a_joint_that_is_no_number_is_one_that_is_not_seen():
    def change(person, time):
        if not 1 <= time < 1.5:
            return person
        flat, world = person.landmarks.copy(), person.world.copy()
        flat[LEFT_ARM], world[LEFT_ARM] = np.nan, np.nan
        return replace(person, landmarks=flat, world=world, body=None)

    found, truth, *_ = follow(Walk(moving=0.3), 30, 2.0, change)
    assert np.isfinite(found).all()
    assert off(found, truth).max() < 0.2


@pytest.mark.parametrize("nothing", ["nan", "none"])
def test_a_person_without_any_landmark_is_held(nothing):
    def change(person, time):
        if not 1 <= time < 1.2:
            return person
        if nothing == "none":
            return replace(person, landmarks=None, world=None, body=None)
        return replace(person, landmarks=person.landmarks * np.nan, world=person.world * np.nan, body=None)

    found, truth, *_ = follow(Walk(moving=0.3), 30, 2.0, change)
    assert np.isfinite(found).all()
    assert off(found, truth).max() < 0.2
    assert found[33, :, 3].max() < 0.1


def test_a_stranger_without_landmarks_has_no_pose():
    person = seen(Walk(), 0.0)
    for odd in (replace(person, body=None), replace(person, landmarks=None, world=None, body=None)):
        (given,) = FitPose3d(LENS)(frame(0), [odd])
        assert given.pose3d is None


def test_people_half_out_of_the_picture_are_followed():
    legs = np.arange(25, 33)
    found, truth, *_ = follow(Walk(moving=0.3), 30, 2.0, hide(legs, 0.5, 9.0, 0.1, (0.0, 200.0), 0.2))
    upper = [JOINTS.index(name) for name in ("left_shoulder", "right_elbow", "head", "pelvis")]
    assert off(found, truth)[:, upper].mean() < 0.05
    assert np.isfinite(found).all()


def test_a_gap_is_bridged_without_running_on():
    stage, walk = FitPose3d(LENS), Walk(heading=np.pi / 2, speed=1.0, x=-1.0)
    for i in range(30):
        stage(frame(i / 30), [seen(walk, i / 30)])
    for time in (1.5, 1.5 + 1 / 30):
        (person,) = stage(frame(time), [seen(walk, time)])
        assert off(person.pose3d.joints, walk.at(time)[0]).max() < 0.03


def test_people_who_are_gone_are_forgotten_and_so_is_everybody_after_a_reset():
    stage = FitPose3d(LENS)
    stage(frame(0), [seen(Walk(), 0.0)])
    (person,) = stage(frame(5), [seen(Walk(size=0.8), 5.0)])
    assert person.pose3d.lengths == pytest.approx(LENGTHS * 0.8, rel=1e-3)
    stage.reset()
    (person,) = stage(frame(5.1), [seen(Walk(size=1.2), 5.1)])
    assert person.pose3d.lengths == pytest.approx(LENGTHS * 1.2, rel=1e-3)


def test_bones_follow_what_is_learnt_of_a_person_without_a_jump():
    stage = FitPose3d(LENS)
    lengths = []
    for i in range(120):
        walk = Walk(size=1.0 if i < 60 else 1.1)
        (person,) = stage(frame(i / 30), [seen(walk, i / 30)])
        lengths.append(person.pose3d.lengths)
    steps = np.abs(np.diff(lengths, axis=0)) / LENGTHS
    assert steps.max() < 0.001
    assert lengths[-1][0] > lengths[40][0]


def test_a_known_height_scales_bones_and_distance():
    walk = Walk()
    plain, *_ = follow(walk, 30, 0.5)
    taller = 1.2 * float(height_of(LENGTHS))
    scaled, *_ = follow(walk, 30, 0.5, stage=FitPose3d(LENS, height_m=taller))
    assert scaled[-1, 0, 2] / plain[-1, 0, 2] == pytest.approx(1.2, rel=0.01)


def test_nobody_and_twelve_people():
    stage = FitPose3d(LENS)
    assert list(stage(frame(0), [])) == []
    walks = [Walk(heading=0.5 * i, x=-1.5 + 0.25 * i, z=3 + 0.4 * i, size=0.9 + 0.02 * i) for i in range(12)]
    for time in (0.1, 0.1 + 1 / 30):
        people = stage(frame(time), [seen(walk, time, id=i + 1) for i, walk in enumerate(walks)])
    assert [person.id for person in people] == list(range(1, 13))
    for walk, person in zip(walks, people, strict=True):
        assert off(person.pose3d.joints, walk.at(time)[0]).max() < 0.02


def test_people_do_not_depend_on_who_else_is_there():
    walk, other = Walk(), Walk(x=0.8, z=3.0, heading=2.0)
    alone, together = FitPose3d(LENS), FitPose3d(LENS)
    for i in range(10):
        (a,) = alone(frame(i / 30), [seen(walk, i / 30)])
        b, _ = together(frame(i / 30), [seen(walk, i / 30), seen(other, i / 30, id=2)])
    assert np.allclose(a.pose3d.joints, b.pose3d.joints, atol=1e-3)


def test_distortion_is_undone():
    camera = LENS.of(SIZE)
    bent = replace(camera, distortion=np.array([-0.2, 0.05, 0.0, 0.0]))
    lens = replace(LENS, camera=bent)
    walk = Walk(x=1.0, moving=0)

    def change(person, time):
        pixels = bent.project(walk.at(time)[1]).astype(np.float32)
        return replace(person, landmarks=np.hstack([pixels, person.landmarks[:, 2:]]))

    found, truth, *_ = follow(walk, 30, 0.5, change, FitPose3d(lens))
    assert off(found, truth).max() < 0.01


def test_lag_is_under_fifteen_milliseconds():
    found, truth, *_ = follow(Walk(), 30, 4.0)
    away = (found[..., :3] - found[:, :1, :3]) - (truth - truth[:, :1])
    speed = np.gradient(truth - truth[:, :1], 1 / 30, axis=0)
    assert abs((away * speed).sum() / (speed * speed).sum()) < 0.015


class Sway(Walk):
    """Someone who stands, feet on one spot, and sways to all sides."""

    def __init__(self):
        super().__init__(moving=0)
        self.figures = Figures.of(BLAZEPOSE, skeleton_of(self.lengths[None]))
        _, landmarks, turns = super().at(0.0)
        self.start = posture_of(turns[None], np.array([[self.x, 0.1, self.z]]))
        points = landmarks[None, BLAZEPOSE.columns]
        still, weights = np.zeros_like(points), np.zeros_like(points)
        weights[:, BLAZEPOSE.feet] = 1e3
        self.targets = Targets(
            still, weights[..., 0] * 0, still[..., :2], weights[..., 0] * 0,
            self.start.root, np.full(1, 10.0), points.astype(np.float64), weights, np.zeros(1),
        )  # fmt: skip

    def at(self, time):
        away = np.array([0.06 * np.sin(2 * time), 0.03 + 0.03 * np.cos(3 * time), 0.08 * np.sin(2.5 * time)])
        targets = replace(self.targets, root=self.start.root + away)
        found = fit(self.figures, targets, self.start, 20)
        starts, landmarks = posed(skeleton_of(self.lengths), found.turns[0], found.posture.root[0])
        return joints_at(starts, landmarks), landmarks, found.turns[0]


TOES = [JOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("heel", "toe")]


def slide(found):
    """Mean speed of the feet after the first second, m/s at 30 frames a second."""
    return 30 * np.linalg.norm(np.diff(found[30:, TOES, :3], axis=0), axis=-1).mean()


def test_feet_that_stand_do_not_slide():
    truth = np.stack([Sway().at(i / 30)[0] for i in range(0, 90, 10)])
    assert np.ptp(truth[:, TOES], axis=0).max() < 0.02  # they do stand
    free, *_ = follow(Sway(), 30, 3.0, noise=0.01, rng=np.random.default_rng(0))
    held, truth, *_ = follow(Sway(), 30, 3.0, stage=FitPose3d(LENS), noise=0.01, rng=np.random.default_rng(0))
    assert slide(held) < 0.4 * slide(free)
    assert off(held, truth)[30:].mean() < off(free, truth)[30:].mean() + 0.002


def test_feet_that_only_pause_in_the_air_are_soon_let_go():
    for turning in (0.0, 1.5):
        found, truth, *_ = follow(Walk(turning=turning), 30, 2.0, stage=FitPose3d(LENS))
        assert off(found, truth).mean() < 0.015
        assert off(found, truth).max() < 0.12


def test_a_foot_that_starts_to_walk_is_let_go_without_a_jump():
    class Start(Walk):
        def at(self, time):
            self.moving = float(np.clip(time - 1.0, 0, 1))
            return super().at(time)

    held, truth, *_ = follow(Start(), 30, 2.0, stage=FitPose3d(LENS))
    steps = np.linalg.norm(np.diff(held[..., :3], axis=0), axis=-1)
    true_steps = np.linalg.norm(np.diff(truth, axis=0), axis=-1)
    assert (steps - true_steps).max() < 0.06


def test_a_known_foot_is_watched_where_it_is_seen():
    """By hand: a point that rests is taken after a while, and let go when it is seen elsewhere."""
    point, step = np.array([[[0.2, 1.0, 4.0]]]), np.array([1 / 30])
    contacts, known = Contacts.none(point), np.ones((1, 1), bool)
    for _ in range(12):
        contacts = contacts.watched(point, known, step).settled(point, step)
    assert contacts.hold == 1 and np.allclose(contacts.anchors, point)
    aside = np.array([1.0, 0, 0])
    nearby = contacts.watched(point + 0.03 * aside, known, step)
    assert 0.3 < nearby.hold < 0.9
    assert contacts.watched(point + 0.07 * aside, known, step).hold == 0
    assert contacts.watched(point, ~known, step).hold == 0
