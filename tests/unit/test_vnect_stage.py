"""VNect's maps read off, and through the fit: a known posed skeleton comes back."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from bodystream.models.body.joint_sets import BLAZEPOSE, VNECT_21
from bodystream.models.body.kinematics import height_of, posed, rest_lengths, skeleton_of
from bodystream.models.crop import crop_to_image
from bodystream.models.keypoints import KEYPOINTS, VNECT_KEYPOINTS
from bodystream.models.vnect import (
    CELLS,
    PIXELS,
    STRIDE,
    TWO_SCALES,
    UNIT_M,
    VnectNet,
    crop_of,
    joints_of,
    maxima,
)
from bodystream.pipeline.chain import Chain
from bodystream.pipeline.filters import VNECT, one_euro
from bodystream.pipeline.stages.follow import Follow
from bodystream.pipeline.stages.pose3d import FitPose3d
from bodystream.pipeline.stages.steady import Steady
from bodystream.pipeline.stages.vnect import Vnect
from bodystream.pipeline.types import Person
from tests.fakes import Clock, FakeStage, frame, person
from tests.unit.test_pose3d_stage import LENS, SIZE, Walk
from tests.unit.test_pose3d_stage import frame as at

HEIGHT_M = 1.70  # of the person of whom the maps are made
NORM = 0.9  # the size of the joints in the maps, of the person's own: VNect's are of a normalised height


def maps_of(points_px, world, crop):
    """Maps (4, 21, 46, 46) of joints (21, 2), px of the image, and (21, 3), m: Gaussians of 1.5 cells, and planes.

    About its joint a location map is as the network was taught: the joint's place all over the heatmap's blob. Here
    it also slopes, so that reading it elsewhere than at the maximum is found out.
    """
    to_image = crop_to_image(crop, PIXELS)
    cells = (points_px - to_image[:, 2]) @ np.linalg.inv(to_image[:, :2]).T / STRIDE - 0.5  # (21, 2)
    rows, columns = np.mgrid[:CELLS, :CELLS]
    away = np.stack([columns, rows]) - cells[:, :, None, None]  # (21, 2, 46, 46)
    heat = 0.95 * np.exp(-(away**2).sum(1) / (2 * 1.5**2))
    places = world[:, :, None, None] / UNIT_M + 0.05 * away.sum(1)[:, None]
    return np.concatenate([heat[None], places.swapaxes(0, 1)]).astype(np.float32)


class Scene:
    """Somebody who walks, and the network that sees them without fault."""

    def __init__(self, **walk):
        self.walk = Walk(**walk)
        self.walk.lengths = rest_lengths() * np.float32(HEIGHT_M / height_of(rest_lengths()))
        self.walk.skeleton = skeleton_of(self.walk.lengths)
        self.time = 0.0

    def joints(self):
        """The 23 joints in front of the camera, VNect's 21 (21, 3) m, and their pixels (21, 2)."""
        joints, _, turns = self.walk.at(self.time)
        root = np.array([self.walk.x + self.walk.speed * self.time, 0.1, self.walk.z])
        starts, _ = posed(self.walk.skeleton, turns, root)
        rest = VNECT_21.at_rest(self.walk.skeleton)
        arms = rest - self.walk.skeleton.starts[VNECT_21.owners]
        points = starts[VNECT_21.owners] + (turns[VNECT_21.owners] @ arms[..., None])[..., 0]
        return joints, points, LENS.of(SIZE).project(points)

    def box(self):
        _, _, pixels = self.joints()
        return np.concatenate([pixels.min(0), pixels.max(0)]).astype(np.float32)

    def net(self, image, boxes):
        _, points, pixels = self.joints()
        world = NORM * (points - points[VNECT_KEYPOINTS.index("pelvis")])
        read = [joints_of(maps_of(pixels, world, crop_of(box)), crop_of(box)) for box in boxes]
        return tuple(np.stack(each) for each in zip(*read, strict=True))


def test_the_set_is_that_of_the_keypoints():
    assert VNECT_21.keypoints == VNECT_21.names == VNECT_KEYPOINTS
    assert BLAZEPOSE.keypoints == KEYPOINTS
    assert [VNECT_KEYPOINTS[i] for i in VNECT_21.hips] == ["left_hip", "right_hip"]
    assert [VNECT_KEYPOINTS[i] for i in VNECT_21.feet] == ["right_foot", "left_foot"]
    assert [KEYPOINTS[i] for i in BLAZEPOSE.hips] == ["left_hip", "right_hip"]
    assert {BLAZEPOSE.names[i] for i in BLAZEPOSE.feet} == {
        f"{side}_{part}" for side in ("left", "right") for part in ("heel", "foot_index")
    }
    assert len(VNECT_21.limbs) == len(BLAZEPOSE.limbs) == 12
    assert BLAZEPOSE.nearest.tolist() == list(range(33))
    nearest = dict(zip(KEYPOINTS, (VNECT_KEYPOINTS[i] for i in VNECT_21.nearest), strict=True))
    assert nearest["left_knee"] == "left_knee" and nearest["left_heel"] == "left_ankle"
    assert nearest["right_thumb"] == "right_hand" and nearest["mouth_left"] == "head"
    assert nearest["right_foot_index"] == "right_foot"


def test_landmarks_beside_the_joints_of_a_resting_body_are_its_own():
    skeleton = skeleton_of(rest_lengths()[None])
    away = np.array([0.3, 0.2, 4.0])
    found = VNECT_21.landmarks(VNECT_21.at_rest(skeleton) + away, skeleton)
    np.testing.assert_allclose(found, skeleton.landmarks + away, atol=1e-5)


def test_maxima_between_cells_of_gaussians_and_at_the_edge():
    rows, columns = np.mgrid[:10, :12]
    places = np.array([[3.3, 4.7], [5.0, 6.0], [0.0, 9.0], [11.0, 0.2]])
    maps = np.stack([np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 3) for x, y in places])
    found, height = maxima(maps.astype(np.float32))
    np.testing.assert_allclose(found[:2], places[:2], atol=1e-3)
    np.testing.assert_allclose(found[2:], places[2:], atol=0.5)
    assert (height > 0.7).all() and (height <= 1).all()
    flat, none = maxima(np.zeros((1, 4, 5), np.float32))
    assert flat.tolist() == [[0, 0]] and none.tolist() == [0]


def test_joints_are_read_where_they_are():
    scene = Scene(heading=0.7)
    _, points, pixels = scene.joints()
    landmarks, world = scene.net(None, [scene.box()])
    assert np.abs(landmarks[0, :, :2] - pixels).max() < 0.02  # px of the image
    assert landmarks[0, :, 2].min() > 0.8
    hips = points[VNECT_21.hips].mean(0)
    assert np.abs(world[0, :, :3] - NORM * (points - hips)).max() < 1e-4  # m
    assert world.dtype == landmarks.dtype == np.float32


def test_two_scales_give_the_same_joints():
    """A network that sees the same person at each scale: its maps shrink with the picture."""
    scene = Scene()
    _, points, pixels = scene.joints()
    world = points - points[VNECT_KEYPOINTS.index("pelvis")]
    (crop,) = [crop_of(scene.box())]
    calls = []

    def session(batch):
        assert batch.shape == (1, PIXELS, PIXELS, 3) and batch.dtype == np.uint8
        scale = TWO_SCALES[len(calls)]
        calls.append(scale)
        seen = replace(crop, size=crop.size / scale)
        return tuple(each[None] for each in maps_of(pixels, world, seen))

    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    landmarks, space = VnectNet(session, TWO_SCALES)(image, scene.box()[None])
    assert calls == [1.0, 0.7]
    assert np.abs(landmarks[0, :, :2] - pixels).max() < 0.1 * crop.size / CELLS  # a tenth of a cell
    assert np.linalg.norm(space[0, :, :3] - (points - points[VNECT_21.hips].mean(0)), axis=1).max() < 0.02


def test_the_network_sees_the_box_with_its_margin():
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:110, 100:120] = 255  # a person of 20 × 50 px
    seen = []

    def session(batch):
        seen.append(batch)
        return (np.zeros((len(batch), 21, CELLS, CELLS), np.float32),) * 4

    VnectNet(session)(image, np.array([[100, 60, 120, 110], [0, 0, 300, 10]], np.float32))
    (batch,) = seen
    bright = np.argwhere(batch[0, ..., 0] > 127)
    scale = PIXELS / (1.4 * 50)
    np.testing.assert_allclose(np.ptp(bright, axis=0) + 1, [50 * scale, 20 * scale], atol=2)
    assert len(VnectNet(session)(image, np.empty((0, 4), np.float32))[0]) == 0


def follow(scene, seconds, height_m=HEIGHT_M, rate=30, **options):
    """The chain box > follow > vnect > pose3d on a walk: distances of the 23 joints, m (T, 23), and the people."""
    boxes = FakeStage(lambda _frame, _people: [Person(scene.box(), 0.9)], gives=frozenset({"box", "score"}))
    fit = FitPose3d(LENS, height_m, contacts=False, refine=False, joints=VNECT_21, **options)
    chain = Chain([boxes, Follow(), Vnect(scene.net), fit], Clock())
    off, people = [], []
    for i in range(int(seconds * rate)):
        scene.time = i / rate
        ((found,), _, _) = chain(at(i / rate))
        people.append(found)
        off.append(np.linalg.norm(found.pose3d.joints[:, :3] - scene.joints()[0], axis=-1))
    return np.array(off), people


def test_a_posed_skeleton_comes_back_through_stage_and_fit():
    off, people = follow(Scene(heading=0.6, turning=0.8), 2.0)
    assert 1000 * off.mean() < 2, f"{1000 * off.mean():.1f} mm"  # of somebody 4 m away; 0.5 measured
    assert people[-1].id == 1
    assert people[-1].landmarks.shape == (21, 3) and people[-1].world.shape == (21, 4)
    assert people[-1].pose3d.joints.shape == (23, 4)
    assert people[-1].pose3d.joints[:, 3].min() > 0.7


def test_the_first_frame_is_a_pose_already():
    off, _ = follow(Scene(heading=-2.0), 1 / 30)
    assert 1000 * off.max() < 0.1, f"{1000 * off.max():.1f} mm"


def test_without_a_height_everybody_is_the_mean_body():
    _, (found,) = follow(Scene(), 1 / 30, None)
    np.testing.assert_allclose(found.pose3d.lengths, rest_lengths(), rtol=1e-6)


def test_somebody_who_is_not_seen_gets_no_pose_and_one_who_was_keeps_theirs():
    fit = FitPose3d(LENS, joints=VNECT_21, refine=False)
    assert fit.needs == {"id", "landmarks", "world"}
    scene = Scene()
    landmarks, world = scene.net(None, [scene.box()])
    known = replace(person(id=1), landmarks=landmarks[0], world=world[0])
    unknown = replace(person(id=2), landmarks=None, world=None)
    assert [p.pose3d is None for p in fit(at(0), [known, unknown])] == [False, True]
    (hidden,) = fit(at(0.04), [replace(known, landmarks=None, world=None)])
    assert np.isfinite(hidden.pose3d.joints).all()


def test_steady_filters_by_the_paper_s_settings_and_on_media_time():
    steady, random = Steady(VNECT), np.random.default_rng(0)
    filtered = None
    for i in range(20):
        landmarks = np.column_stack([random.normal(100, 1, (21, 2)), np.full(21, 0.9)]).astype(np.float32)
        world = np.column_stack([random.normal(0, 0.01, (21, 3)), np.full(21, 0.9)]).astype(np.float32)
        seen = Person(np.array([0, 0, 50, 100], np.float32), 0.9, 3, None, landmarks, world)
        (out,) = steady(frame(i), [seen])
        filtered = one_euro(filtered, landmarks[:, :2], Fraction(i, 25), VNECT.landmarks, 140.0)
    np.testing.assert_array_equal(out.landmarks[:, :2], filtered.value)
    np.testing.assert_array_equal(out.landmarks[:, 2], landmarks[:, 2])
    assert np.abs(out.world[:, :3]).std() < 0.6 * np.abs(world[:, :3]).std()
    steady.reset()
    (fresh,) = steady(frame(20), [seen])
    np.testing.assert_array_equal(fresh.landmarks, seen.landmarks)
    (flat,) = steady(frame(21), [replace(seen, world=None)])
    assert flat.world is None
    (nowhere,) = steady(frame(22), [replace(seen, landmarks=None)])
    assert nowhere.landmarks is None
